//! Telling a client of a campaign until it leaves.

use std::convert::Infallible;
use std::time::Duration;

use muster_api::rest::CampaignTotals;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::progress::SocketProgress;
use super::transport::Socket;
use super::{End, message, refused};
use crate::admin::AdminApi;
use crate::fleet::live::{Attendance, Brief, Follower, ResultLine};

/// Totals and status are looked at so often.
const ROUND: Duration = Duration::from_secs(5);

/// A sign of life, for what stands between and drops quiet connections.
const HEARTBEAT: Duration = Duration::from_secs(25);

/// A client that watches. Dropping it cancels the campaign, unless others watch too.
pub(super) struct SocketWatch<'a> {
    api: &'a AdminApi,
    socket: &'a mut Socket,
    follower: Follower,
    progress: SocketProgress,
    /// Answers the client was sent.
    sent: u64,
    is_over: bool,
    _attendance: Attendance,
}

impl<'a> SocketWatch<'a> {
    pub async fn new(api: &'a AdminApi, socket: &'a mut Socket, follower: Follower) -> Result<Self, End> {
        let attendance = api.fleet.live.attend(follower.job().id);
        Ok(Self {
            api,
            socket,
            follower,
            progress: SocketProgress::default(),
            sent: 0,
            is_over: false,
            _attendance: attendance,
        })
    }

    /// Goes on until the client leaves, also when every answer was sent. Each answer is read when the one before was
    /// taken, so a slow client slows nobody.
    pub async fn run(mut self) -> Result<Infallible, End> {
        let mut round = interval_at(Instant::now() + ROUND, ROUND);
        let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.tell_progress().await?;
        self.pass_on().await?;
        loop {
            tokio::select! {
                received = self.socket.receive() => {
                    if received.is_none() {
                        return Err(End::Left);
                    }
                }
                is_more = self.follower.more(), if !self.is_over => {
                    self.is_over = !is_more;
                    self.pass_on().await?;
                }
                _ = round.tick() => self.tell_progress().await?,
                _ = heartbeat.tick() => self.socket.beat().await?,
            }
        }
    }

    /// Sends all answers that are there.
    async fn pass_on(&mut self) -> Result<(), End> {
        loop {
            let lines = self.follower.read().await.map_err(refused)?;
            if lines.is_empty() {
                break;
            }
            self.send(&lines).await?;
        }
        // At once, because clients wait for it; all else can wait for the round.
        if let Some(status) = self.progress.finished(self.sent, self.is_over) {
            self.socket.send(message::of("status", &status)).await?;
        }
        Ok(())
    }

    async fn send(&mut self, lines: &[ResultLine]) -> Result<(), End> {
        let campaign = self.follower.job().id;
        let mut answers = Vec::new();
        for line in lines {
            match Brief::of(line) {
                Ok(answer) => answers.push(answer),
                Err(error) => tracing::error!(%error, live_query = campaign, "a kept answer cannot be read"),
            }
        }
        let ids: Vec<i64> = answers.iter().map(|answer| answer.host_id).collect();
        let names = self.api.fleet.hosts.computer_names(&ids).await.map_err(refused)?;
        for answer in &answers {
            let display_name = names.get(&answer.host_id).map_or(&*answer.hostname, String::as_str);
            self.socket.send(message::result(campaign, answer, display_name)).await?;
            self.sent += 1;
        }
        Ok(())
    }

    async fn tell_progress(&mut self) -> Result<(), End> {
        let tally = self.api.fleet.hosts.tally(self.follower.job().targets()).await.map_err(refused)?;
        let totals = CampaignTotals {
            count: tally.total,
            online: tally.online,
            offline: tally.offline,
            missing_in_action: tally.missing,
        };
        if let Some(totals) = self.progress.totals(totals) {
            self.socket.send(message::of("totals", &totals)).await?;
        }
        self.progress.paused(self.follower.job().is_paused());
        if let Some(status) = self.progress.status(self.sent, self.is_over) {
            self.socket.send(message::of("status", &status)).await?;
        }
        Ok(())
    }
}
