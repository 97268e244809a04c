//! The arguments that this process was started with.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::DebugApi;
use super::caller::DebugCaller;
use super::refusal::DebugAnswer;
use crate::config::{Config, HIDDEN, without_password};

/// Flags of the program that are no settings.
const OWN_FLAGS: [&str; 3] = ["config", "until-stdin-closes", "no-prompt"];

/// `GET pprof/cmdline`: separated by NUL.
pub(super) async fn cmdline(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    let arguments = api.in_pool(|| shown(std::env::args_os().map(|word| word.to_string_lossy().into_owned()))).await?;
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(arguments.join("\0")))
}

/// The arguments, without the values of secret settings and of flags that are none of the program's.
fn shown(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let settings = Config::keys();
    let is_shown = |flag: &str| {
        let setting = settings.iter().find(|key| key.flag() == flag);
        setting.map_or(OWN_FLAGS.contains(&flag), |key| !key.is_secret)
    };
    // Whether the next word is the value of a flag that is not shown.
    let mut is_next_hidden = false;
    let mut shown = Vec::new();
    for word in arguments {
        let was_hidden = std::mem::take(&mut is_next_hidden);
        let flag = word.strip_prefix("--").filter(|flag| !flag.is_empty());
        shown.push(match flag.map(|flag| flag.split_once('=').ok_or(flag)) {
            Some(Ok((flag, _))) if !is_shown(flag) => format!("--{flag}={HIDDEN}"),
            Some(Err(flag)) => {
                is_next_hidden = !is_shown(flag);
                word
            }
            _ if was_hidden => HIDDEN.to_owned(),
            _ => without_password(&word),
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secrets_and_of_unknown_flags_are_hidden() {
        let given = [
            "muster",
            "serve",
            "--until-stdin-closes",
            "--mysql_password=planted-1",
            "--redis_password",
            "planted-2",
            "--server_address=0.0.0.0:8080",
            "--auth_jwt_key",
            "planted-3",
            "--auth_jwt_key=planted-4",
            "--redis_address=redis://user:planted-5@redis:6379",
            "--config",
            "muster.yml",
        ];
        let expected = [
            "muster",
            "serve",
            "--until-stdin-closes",
            "--mysql_password=********",
            "--redis_password",
            "********",
            "--server_address=0.0.0.0:8080",
            "--auth_jwt_key",
            "********",
            "--auth_jwt_key=********",
            "--redis_address=redis://********@redis:6379",
            "--config",
            "muster.yml",
        ];
        assert_eq!(shown(given.map(str::to_owned).into_iter()), expected);
    }
}
