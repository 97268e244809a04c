//! Finding the ids of what operators know by name, for clients that send ids.

use muster_api::rest::Translated;
use muster_api::spec::LabelSpec;

use super::access::{Permission, Principal, normal_email};
use super::error::none_of;
use super::{Error, Fleet, Problem, Result, specs};
use crate::store::case::ByName;
use crate::store::entity::labels;
use crate::store::hosts::NamedHost;
use crate::store::{self, named};

/// Most things of one request.
const MAX_THINGS: usize = 1_000;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    User,
    Label,
    Host,
}

impl Fleet {
    /// Fills in the ids of these things.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users who may not read one of them; [`Error::Invalid`] for types that there are not, and for names
    /// that several hosts have; [`Error::NotFound`] for the first name that nothing has.
    pub async fn translate(&self, principal: &Principal, mut list: Vec<Translated>) -> Result<Vec<Translated>> {
        let things = things(&list)?;
        for thing in &things {
            principal.may(match thing {
                Thing::User => Permission::ManageUsers,
                Thing::Label => Permission::ReadLabels,
                Thing::Host => Permission::ReadHosts,
            })?;
        }
        let db = self.changes.reader();
        let names = |of: Thing| {
            let these = things.iter().zip(&list).filter(move |(thing, _)| **thing == of);
            these.map(|(_, one)| one.payload.identifier.clone()).collect::<Vec<String>>()
        };
        let hosts = store::hosts::named_many(db, &names(Thing::Host)).await?;
        let labels = if names(Thing::Label).is_empty() { Vec::new() } else { named::all::<labels::Entity>(db).await? };
        let label = |spec: LabelSpec| Some((spec.name, spec.id?));
        let labels: ByName<i64> = labels.into_iter().filter_map(specs::label_spec).filter_map(label).collect();
        for (position, (thing, one)) in things.into_iter().zip(&mut list).enumerate() {
            let name = &one.payload.identifier;
            let id = match thing {
                Thing::User => store::users::by_email(db, &normal_email(name)).await?.map(|user| user.id),
                Thing::Label => labels.get(name).copied(),
                Thing::Host => match hosts.get(name) {
                    Some(NamedHost::One { id, .. }) => Some(*id),
                    Some(NamedHost::Several) => {
                        let reason = format!("several hosts are called {name}; use an identifier");
                        return Err(Error::invalid(format!("list[{position}].payload.identifier"), reason));
                    }
                    None => None,
                },
            };
            one.payload.id = id.ok_or_else(|| Error::NotFound { kind: thing.kind(), key: name.clone() })?;
        }
        Ok(list)
    }
}

impl Thing {
    /// The thing of a type, or why there is none.
    fn of(word: &str) -> std::result::Result<Self, String> {
        match word {
            "user" => Ok(Self::User),
            "label" => Ok(Self::Label),
            "host" => Ok(Self::Host),
            "team" => Err("there are no teams here; labels take their place".to_owned()),
            other => Err(format!("expects user, label or host, not {other:?}")),
        }
    }

    /// The word in errors.
    fn kind(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Label => "Label",
            Self::Host => "Host",
        }
    }
}

fn things(list: &[Translated]) -> Result<Vec<Thing>> {
    if list.len() > MAX_THINGS {
        return Err(Error::invalid("list", format!("has more than {MAX_THINGS}; send it in parts")));
    }
    let mut problems = Vec::new();
    let mut things = Vec::new();
    for (position, one) in list.iter().enumerate() {
        match Thing::of(&one.of) {
            Ok(thing) => things.push(thing),
            Err(reason) => problems.push(Problem::new(format!("list[{position}].type"), reason)),
        }
    }
    none_of(problems)?;
    Ok(things)
}
