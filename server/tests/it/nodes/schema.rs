//! Hosts are asked for their tables once, whichever servers their requests come to.

use crate::checkin::schema::{asked, server, settled};
use crate::support::TestServer;

#[tokio::test]
async fn the_servers_together_ask_as_many_hosts_as_one() {
    let one = server().await;
    let other = TestServer::beside(&one).await;
    let mut agents = settled(&one, 8, "5.23.1").await;
    let mut total = 0;
    for round in 0..6 {
        let (here, there) = agents.split_at_mut(4);
        for (server, agents) in
            if round % 2 == 0 { [(&one, here), (&other, there)] } else { [(&other, here), (&one, there)] }
        {
            agents.iter_mut().for_each(|agent| server.address.draw(agent));
            total += asked(agents).await;
        }
        for server in [&one, &other] {
            server.run_tasks().await;
        }
    }
    assert_eq!(total, 5);
    for server in [&one, &other] {
        let schema = server.rest.get("/api/v1/fleet/schema?table=users").await.json();
        assert_eq!(schema["groups"][0]["reports"], 5, "{schema}");
        assert_eq!(schema["tables"][0]["reports"], 5);
    }
}
