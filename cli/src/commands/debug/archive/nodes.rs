//! The nodes that an archive is made of.

use std::time::Duration;

use anyhow::bail;
use futures_util::future::join_all;

use super::manifest::ManifestNode;
use crate::commands::ClientSession;
use crate::commands::debug::facts::{DebugNode, DebugNodes};
use crate::rest::{DebugClient, DebugConnection, RestError};

/// Most nodes of an archive.
const MAX_NODES: usize = 32;

/// Time for the answers that say which nodes there are, and to reach each of them.
const FIND_TIME: Duration = Duration::from_secs(10);

/// A node to ask.
#[derive(Clone)]
pub struct AskedNode {
    client: DebugClient,
    /// Empty if the server does not say.
    pub id: String,
    /// The folder of its entries; empty for the first node.
    pub folder: String,
}

impl std::fmt::Debug for AskedNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AskedNode").field("id", &self.id).field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl AskedNode {
    pub fn is_first(&self) -> bool {
        self.folder.is_empty()
    }

    /// A connection to the node.
    pub fn connection(&self) -> DebugConnection {
        self.client.connection(Some(self.id.as_str()).filter(|id| !id.is_empty()))
    }

    fn new(client: DebugClient, id: String, is_first: bool) -> Self {
        let folder = if is_first { String::new() } else { format!("nodes/{}/", as_folder(&id)) };
        Self { client, id, folder }
    }
}

/// The nodes that were found.
pub struct Found {
    pub asked: Vec<AskedNode>,
    /// Those that cannot be asked, with the reason.
    pub missed: Vec<ManifestNode>,
    /// The address of the first one.
    pub address: String,
}

/// Finds the node that answers at the address of the context or at each of the given addresses, and with `all` all nodes that
/// the database knows.
///
/// # Errors
/// When no address can be reached or the session is not good for `/debug`.
pub async fn find(session: &ClientSession, addresses: &[String], all: bool) -> anyhow::Result<Found> {
    let mut clients = Vec::new();
    if all || addresses.is_empty() {
        clients.push(session.debug_client(None)?);
    }
    for address in addresses {
        clients.push(session.debug_client(Some(address))?);
    }
    let (mut asked, mut missed) = (Vec::<AskedNode>::new(), Vec::new());
    for (client, answer) in join_all(clients.into_iter().map(identify)).await {
        match answer {
            Ok(id) if asked.iter().any(|node| node.id == id) => {}
            Ok(id) => asked.push(AskedNode::new(client, id, asked.is_empty())),
            Err(error @ (RestError::Unauthenticated | RestError::Forbidden(_) | RestError::PasswordReset)) => {
                return Err(error.into());
            }
            Err(error) => missed.push((client, error)),
        }
    }
    if asked.is_empty() {
        // A node that is too slow to say who it is may still answer something.
        match missed.pop() {
            Some((client, RestError::Slow(_) | RestError::Taken { .. } | RestError::Refused { .. })) => {
                asked.push(AskedNode::new(client, String::new(), true));
            }
            Some((_, error)) => return Err(error.into()),
            None => bail!("there is no address to ask"),
        }
    }
    let addresses = missed;
    let mut missed = Vec::new();
    if all {
        add_others(&mut asked, &mut missed).await;
    }
    // If all nodes are asked, an address that does not serve `/debug` is no loss.
    let is_complete = all && missed.is_empty();
    let named = addresses.iter().filter(|(_, error)| !(is_complete && matches!(error, RestError::NotServed { .. })));
    missed.extend(named.map(|(client, error)| unreached("", &format!("address {}", client.address()), error)));
    let address = asked[0].client.address().to_owned();
    Ok(Found { asked, missed, address })
}

async fn identify(client: DebugClient) -> (DebugClient, Result<String, RestError>) {
    let answer = client.connection(None).get("", FIND_TIME).await;
    (client, answer.map(|answer| answer.node))
}

/// Adds the nodes that the first one knows, as far as its address leads to them.
async fn add_others(asked: &mut Vec<AskedNode>, missed: &mut Vec<ManifestNode>) {
    let first = &asked[0];
    let list = match first.connection().get("nodes", FIND_TIME).await {
        Ok(answer) => serde_json::from_slice::<DebugNodes>(&answer.bytes).unwrap_or_default().nodes,
        Err(error) => return missed.push(unreached("", "other nodes, as nobody says which there are", &error)),
    };
    let others = list.into_iter().filter(|node| !asked.iter().any(|known| known.id == node.id));
    let (others, beyond) = {
        let mut others: Vec<_> = others.collect();
        let beyond = others.split_off(others.len().min(MAX_NODES.saturating_sub(asked.len())));
        (others, beyond)
    };
    let reach = |node: DebugNode| {
        let client = first.client.clone();
        async move {
            let answer = client.connection(Some(&node.id)).get("", FIND_TIME).await;
            (AskedNode::new(client, node.id, false), node.version.unwrap_or_default(), answer)
        }
    };
    let reached = join_all(others.into_iter().map(reach)).await;
    for (node, version, answer) in reached {
        match answer {
            Ok(_) => asked.push(node),
            Err(error) => {
                let address = node.client.address();
                let remedy = "; name its own address with --node-address URL";
                let problem = format!("{address} does not lead to it: {error}{remedy}");
                missed.push(ManifestNode { id: node.id, version, folder: String::new(), problem: Some(problem) });
            }
        }
    }
    missed.extend(beyond.into_iter().map(|node| ManifestNode {
        id: node.id,
        version: node.version.unwrap_or_default(),
        folder: String::new(),
        problem: Some(format!("an archive has at most {MAX_NODES} nodes; ask it alone with --node-address URL")),
    }));
}

fn unreached(id: &str, what: &str, error: &RestError) -> ManifestNode {
    let problem = Some(format!("{what}: {error}"));
    ManifestNode { id: id.to_owned(), version: String::new(), folder: String::new(), problem }
}

/// The id as the name of a folder: whatever could mean something else in a path is replaced.
fn as_folder(id: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    id.chars().take(80).map(|letter| if is_plain(letter) { letter } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::as_folder;

    #[test]
    fn ids_become_plain_folders() {
        assert_eq!(as_folder("node-1_A"), "node-1_A");
        assert_eq!(as_folder("../a:b"), "___a_b");
    }
}
