//! `fleetctl query`: starts and watches live queries, which run as jobs on the server.

pub(super) mod answers;
mod args;
mod ask;
mod duration;
pub(super) mod interrupts;
mod jobs;
mod pace;
mod progress;
mod request;
pub(super) mod states;
mod summary;
pub(super) mod tally;
mod watch;
mod writers;

pub use args::Args;
use args::Command;
pub use duration::{go_duration, shown as shown_seconds};
pub use summary::ended;

use super::ClientSession;

pub async fn run(session: &ClientSession, args: Args) -> anyhow::Result<()> {
    match args.command {
        None => ask::ask(session, args.ask).await,
        Some(Command::Attach(attach)) => ask::attach(session, attach).await,
        Some(Command::List(list)) => jobs::list(&session.authenticated().await?, list).await,
        Some(Command::Show(show)) => jobs::show(&session.authenticated().await?, show).await,
        Some(Command::Pause(job)) => pace::pause(&session.authenticated().await?, job.id).await,
        Some(Command::Resume(job)) => pace::resume(&session.authenticated().await?, job.id).await,
        Some(Command::Promote(job)) => pace::promote(&session.authenticated().await?, job.id).await,
        Some(Command::Rate(rate)) => pace::rate(&session.authenticated().await?, rate).await,
        Some(Command::Cancel(job)) => jobs::cancel(&session.authenticated().await?, job.id).await,
    }
}
