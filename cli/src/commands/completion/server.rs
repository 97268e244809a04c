//! The server of the context, asked for words. Whoever types waits for them, so the server has little time, and whatever goes
//! wrong is silent.

use std::path::PathBuf;
use std::time::Duration;

use crate::contexts::{self, Contexts, DEFAULT_CONTEXT};
use crate::rest::RestClient;

/// Time that the server has.
const LONGEST_WAIT: Duration = Duration::from_millis(1_500);

/// Most words that are proposed.
pub const MOST: usize = 200;

/// Asks the server of the context that is typed, if somebody is logged in there; `words` are all that are typed.
pub fn ask(ask: impl AsyncFnOnce(&RestClient, &[String]) -> Option<Vec<String>>) -> Vec<String> {
    let words: Vec<String> = std::env::args().collect();
    let Some(server) = server(&words) else { return Vec::new() };
    let in_time = async { tokio::time::timeout(LONGEST_WAIT, ask(&server, &words)).await };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(Ok(Some(found))) = runtime.map(|runtime| runtime.block_on(in_time)) else { return Vec::new() };
    found
}

fn server(words: &[String]) -> Option<RestClient> {
    let context = contexts(words)?.current().ok()?;
    if context.token.is_empty() {
        return None;
    }
    RestClient::new(&context, false).ok()
}

/// The file of contexts, as the words that are typed name it.
pub fn contexts(words: &[String]) -> Option<Contexts> {
    let path = flag(words, "--config", "CONFIG").map(PathBuf::from).or_else(|| contexts::default_path().ok())?;
    let context = flag(words, "--context", "CONTEXT").unwrap_or_else(|| DEFAULT_CONTEXT.to_owned());
    Contexts::open(path, &context).ok()
}

/// The value of a flag of every command, which may stand in a variable.
fn flag(words: &[String], name: &str, variable: &str) -> Option<String> {
    written(words, name).or_else(|| std::env::var(variable).ok()).filter(|value| !value.is_empty())
}

/// The value of a flag in the words that are typed.
pub fn written(words: &[String], name: &str) -> Option<String> {
    let position = words.iter().position(|word| word.split('=').next() == Some(name))?;
    let value = match words[position].split_once('=') {
        Some((_, value)) => value,
        // Shells may have split at the sign.
        None => words[position + 1..].iter().find(|word| *word != "=")?,
    };
    Some(value.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_found_in_what_is_typed() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(written(&words("query --platforms linux --query x"), "--platforms").as_deref(), Some("linux"));
        assert_eq!(written(&words("query --platforms=linux"), "--platforms").as_deref(), Some("linux"));
        assert_eq!(written(&words("query --platforms = linux"), "--platforms").as_deref(), Some("linux"));
        assert_eq!(written(&words("query --platforms"), "--platforms"), None);
    }
}
