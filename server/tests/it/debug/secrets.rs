use super::{get, items, quick};
use crate::support::{ENROLL_SECRET, Rest, ServerSetup};

const PLANTED: [&str; 3] = ["planted-mysql-password", "planted-redis-password", "planted-metrics-password"];

/// Secrets of the settings, of agents and of operators are in use, and no item has them.
#[tokio::test]
async fn no_answer_has_a_secret() {
    let [mysql, redis, metrics] = PLANTED;
    let setup = ServerSetup::on_sqlite(&[
        &format!("mysql_password={mysql}"),
        &format!("redis_sentinel_password={redis}"),
        "prometheus_basic_auth_username=scraper",
        &format!("prometheus_basic_auth_password={metrics}"),
    ]);
    let _process = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    let mut agent = setup.address().enrolled(1).await;
    assert!(agent.config().await.verdict.is_success());
    agent.read().await;
    let mut secrets = PLANTED.map(str::to_owned).to_vec();
    secrets.extend([ENROLL_SECRET.to_owned(), agent.node_key().to_owned(), rest.token().to_owned()]);
    assert!(secrets.iter().all(|secret| secret.len() > 8), "{secrets:?}");
    let mut asked = items(&rest).await;
    asked.extend(["", "pprof/", "no-such-item"].map(str::to_owned));
    for item in asked {
        let body = get(&rest, &quick(&item)).await.bytes().await.unwrap();
        let mut plain = Vec::new();
        let unpacked = std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*body), &mut plain);
        let body = if unpacked.is_ok() { plain } else { body.to_vec() };
        let text = String::from_utf8_lossy(&body);
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{item} has {secret}");
        }
    }
    let settings: serde_json::Value = get(&rest, "config").await.json().await.unwrap();
    assert_eq!(settings["mysql.password"], "********");
    assert_eq!(settings["redis.password"], "");
    assert_eq!(settings["server.workers"], "2");
}
