use sea_orm::ActiveValue::NotSet;
use sea_orm::Set;
use uuid::Uuid;

use super::session::SessionId;
use super::{Carves, unavailable};
use crate::fleet::hosts::Host;
use crate::fleet::{Error, Result, within};
use crate::store::entity::carves::{ActiveModel, CarveStatusWord};
use crate::store::{Tx, carves, hosts};
use crate::under_way::{WaitsFor, waiting_for};

/// Most rows of one host. A host that carves by the hour has a fifth of them with the usual times.
pub(super) const MAX_ROWS: i64 = 1_000;

/// Longest id that an agent gives to a carve or its request, in bytes. Those that osquery makes have 36.
const MAX_ID: usize = 128;

/// Most characters of a host name in the name of a carve.
const MAX_HOST_NAME: usize = 80;

/// A carve that an agent wants to send.
#[derive(Debug, Clone)]
pub struct NewCarve {
    pub carve_id: String,
    pub request_id: String,
    pub block_count: u64,
    /// In bytes, as the next.
    pub block_size: u64,
    pub carve_size: u64,
}

/// Whether an agent may give this id to a carve or its request.
pub(super) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(|byte| byte.is_ascii_graphic())
}

impl NewCarve {
    fn check(&self) -> Result<()> {
        let Self { carve_id, request_id, block_count, block_size, carve_size } = self;
        for (name, id) in [("carve_id", carve_id), ("request_id", request_id)] {
            if !is_id(id) {
                let reason = format!("{name} must have 1 to {MAX_ID} visible ASCII characters");
                return Err(Error::invalid(name, reason));
            }
        }
        let fits = *block_count > 0
            && *block_size > 0
            && carve_size.div_ceil(*block_size) == *block_count
            && i64::try_from(*carve_size).is_ok()
            && i64::try_from(*block_size).is_ok();
        if !fits {
            let reason = "block_count blocks of block_size bytes are not carve_size bytes, or there are none";
            return Err(Error::invalid("carve_size", reason));
        }
        Ok(())
    }
}

impl Carves {
    /// Begins a carve of a host and gives its session. A carve that the host has begun before, and that is not complete,
    /// begins anew: the agent has not seen the session, or has made its archive again.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what will not be taken later either: it is too large, or the limits of what is kept are
    /// reached. [`Error::Unavailable`] for what may be taken in a moment.
    pub async fn begin(&self, host: &Host, new: &NewCarve) -> Result<String> {
        let begun = self.try_begin(host, new).await;
        self.metrics.carves(if begun.is_ok() { "begun" } else { "refused" }, 1);
        begun
    }

    async fn try_begin(&self, host: &Host, new: &NewCarve) -> Result<String> {
        new.check()?;
        self.check_sizes(new)?;
        let storage = self.storage()?;
        waiting_for(WaitsFor::CarveStorage, storage.check()).await.map_err(unavailable)?;
        let content_key = Uuid::new_v4().simple().to_string();
        let (now, session) = (self.clock.now(), SessionId::generate());
        let host_name: String = host.hostname().chars().take(MAX_HOST_NAME).collect();
        let time = now.to_utc().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let row = ActiveModel {
            id: NotSet,
            host_id: Set(host.id),
            name: Set(format!("{host_name}-{time}-{}", new.request_id)),
            carve_id: Set(new.carve_id.clone()),
            request_id: Set(new.request_id.clone()),
            session_hash: Set(session.hash()),
            content_key: Set(content_key.clone()),
            block_count: Set(signed(new.block_count)),
            block_size: Set(signed(new.block_size)),
            carve_size: Set(signed(new.carve_size)),
            received: Set(String::new()),
            received_bytes: Set(0),
            held_bytes: Set(signed(new.carve_size)),
            status: Set(CarveStatusWord::Receiving),
            error: Set(String::new()),
            created_at: Set(now),
            last_block_at: Set(now),
            completed_at: Set(None),
        };
        let begin = self.store.write_with(async |tx| {
            carves::begin(tx).await?;
            if hosts::locked(tx, host.id).await?.is_none() {
                return Err(Error::no_such("Host", host.id));
            }
            let before = carves::of_host(tx, host.id, &new.carve_id).await?;
            if let Some(before) = &before {
                if before.status == CarveStatusWord::Complete {
                    return Err(Error::invalid("carve_id", "this carve has come already"));
                }
                carves::delete(tx, before.id).await?;
            }
            self.check_room(tx, host.id, signed(new.carve_size)).await?;
            carves::insert(tx, row.clone()).await?;
            Ok(before.map(|before| before.content_key))
        });
        if let Some(before) = within(self.store_timeout, begin).await? {
            // At once: its bytes do not count any more, and agents may begin again as often as they like.
            waiting_for(WaitsFor::CarveStorage, storage.remove(&before)).await.map_err(unavailable)?;
        }
        // The row is there first: what no row holds is removed.
        waiting_for(WaitsFor::CarveStorage, storage.begin(&content_key)).await.map_err(unavailable)?;
        Ok(session.reveal())
    }

    fn check_sizes(&self, new: &NewCarve) -> Result<()> {
        let config = &self.config;
        if new.block_size > config.max_block_size.0 as u64 {
            let most = config.max_block_size.0;
            let reason = format!("blocks have {most} bytes at most; lower the agent's --carver_block_size");
            return Err(self.over("max_block_size", reason));
        }
        if new.block_count > u64::from(config.max_blocks) {
            let most = config.max_blocks;
            let reason = format!("a carve has {most} blocks at most; raise the agent's --carver_block_size");
            return Err(self.over("max_blocks", reason));
        }
        if new.carve_size > config.max_size.0 as u64 {
            return Err(self.over("max_size", format!("a carve has {} bytes at most", config.max_size.0)));
        }
        if config.max_receiving == 0 {
            return Err(self.over("max_receiving", "this server takes no carves".to_owned()));
        }
        Ok(())
    }

    async fn check_room(&self, tx: &Tx, host_id: i64, bytes: i64) -> Result<()> {
        let config = &self.config;
        let too_many = |held: i64, most: usize| i64::try_from(most).is_ok_and(|most| held.saturating_add(bytes) > most);
        let of_host = carves::totals(tx, Some(host_id)).await?;
        if of_host.receiving >= i64::from(config.max_host_receiving) {
            let reason = format!("{} other carves of this host are being received", of_host.receiving);
            return Err(self.over("max_host_receiving", reason));
        }
        if too_many(of_host.held_bytes, config.max_host_bytes.0) {
            return Err(self.over("max_host_bytes", "there is no room for more of this host".to_owned()));
        }
        let of_all = carves::totals(tx, None).await?;
        if too_many(of_all.held_bytes, config.max_total_bytes.0) {
            return Err(self.over("max_total_bytes", "there is no room for more carves".to_owned()));
        }
        if of_all.receiving >= i64::from(config.max_receiving) {
            self.metrics.limit_hit("carve_max_receiving");
            let reason = "as many carves are being received as carves.max_receiving allows";
            return Err(Error::Unavailable(reason.to_owned()));
        }
        if carves::count_of_host(tx, host_id).await? >= MAX_ROWS {
            self.metrics.limit_hit("carve_rows");
            let reason = format!("there are {MAX_ROWS} carves of this host, expired ones included; delete some");
            return Err(Error::invalid("carve", reason));
        }
        Ok(())
    }
}
