use std::borrow::Cow;

use ::redis::aio::ConnectionLike;
use ::redis::{Cmd, ErrorKind, RedisResult, Script, ServerErrorKind, Value, cmd};

/// A script that Redis runs as one atomic step.
#[derive(Debug)]
pub(super) struct ScriptStep {
    text: Cow<'static, str>,
    hash: String,
}

impl ScriptStep {
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        Self { hash: Script::new(&text).get_hash().to_owned(), text }
    }

    /// A step of a live query, behind the functions that these share.
    pub fn of_a_job(text: &str) -> Self {
        Self::new([include_str!("scripts/prelude.lua"), text].concat())
    }
}

/// A command or a script with its keys and arguments.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call<'a> {
    Command(&'a Cmd),
    Script { step: &'a ScriptStep, keys: &'a [String], arguments: &'a [&'a [u8]] },
}

impl Call<'_> {
    /// About how many bytes are sent.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Command(command) => command.get_packed_command().len(),
            Self::Script { arguments, .. } => arguments.iter().map(|argument| argument.len()).sum(),
        }
    }

    /// Sends the hash of a script, and its text only to a node that does not know the hash. `SCRIPT LOAD` would go to all
    /// nodes of a cluster, so that one node that is down would stop the others.
    pub async fn make(&self, connection: &mut impl ConnectionLike) -> RedisResult<Value> {
        match self {
            Self::Command(command) => command.query_async(connection).await,
            Self::Script { step, keys, arguments } => {
                match command("EVALSHA", &step.hash, keys, arguments).query_async(connection).await {
                    Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                        command("EVAL", &step.text, keys, arguments).query_async(connection).await
                    }
                    outcome => outcome,
                }
            }
        }
    }
}

fn command(name: &str, script: &str, keys: &[String], arguments: &[&[u8]]) -> Cmd {
    let mut command = cmd(name);
    command.arg(script).arg(keys.len());
    for key in keys {
        command.arg(key);
    }
    for argument in arguments {
        command.arg(*argument);
    }
    command
}
