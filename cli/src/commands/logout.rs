use serde_json::{Value, json};

use super::ClientSession;
use crate::output;
use crate::rest::RestError;

pub async fn run(session: &mut ClientSession) -> anyhow::Result<()> {
    let context = session.contexts.current()?;
    let server = session.anonymous()?.with_token(&context.token);
    let ended = server.post::<_, Value>("logout", &json!({})).await;
    // A session that the server no longer knows has ended all the same.
    match ended {
        Ok(_) | Err(RestError::Unauthenticated) => {}
        Err(error) => return Err(error.into()),
    }
    session.contexts.edit().token.clear();
    session.contexts.save()?;
    output::line("[+] Fleet logout successful and local token cleared!")
}
