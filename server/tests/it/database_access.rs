//! Who is let in by the database, and whom the server trusts with its data.

use std::path::Path;

use muster::config::{Config, Secret};

use crate::support::mariadb::{DatabaseAddress, Mariadb};
use crate::support::{TestServer, make_certificates, on_mariadb};

/// Another way to connect; the folder holds certificates of others.
type Change = fn(&mut Config, &Path);

/// Settings with which the database lets a server in.
fn use_tls(config: &mut Config, address: &DatabaseAddress, folder: &Path) {
    let mysql = &mut config.mysql;
    mysql.tls_config = "custom".to_owned();
    mysql.tls_ca = Some(folder.join("ca.pem"));
    mysql.tls_cert = Some(folder.join("client.pem"));
    mysql.tls_key = Some(folder.join("client.key"));
    let (_, port) = address.address.rsplit_once(':').unwrap();
    let by_name = DatabaseAddress { address: format!("localhost:{port}"), ..address.clone() };
    on_mariadb(config, &by_name);
    std::fs::write(folder.join("password"), format!("{}\n", address.password)).unwrap();
    config.mysql.password = Secret::default();
    config.mysql.password_path = Some(folder.join("password"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_can_be_trusted_is_trusted_with_the_data() {
    let (folder, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make_certificates(folder.path(), "localhost");
    make_certificates(others.path(), "localhost");
    let option = |name: &str, file: &str| format!("--{name}={}", folder.path().join(file).display());
    let (ca, cert, key) =
        (option("ssl-ca", "ca.pem"), option("ssl-cert", "server.pem"), option("ssl-key", "server.key"));
    let database = tokio::task::block_in_place(|| Mariadb::start(&[&ca, &cert, &key, "--require-secure-transport=ON"]));
    let server = TestServer::with(|config| {
        use_tls(config, &database.address(), folder.path());
        database.admin().execute("ALTER USER muster@'%' REQUIRE X509").unwrap();
        // Its own connections to the same server.
        config.mysql_read_replica.0 = config.mysql.clone();
    })
    .await;
    let mut agent = server.enrolled(1).await;
    assert!(agent.config().await.verdict.is_success());
    assert_eq!(server.rest.get("hosts/count").await.json()["count"], 1);
    let processes = server.rest.get("/debug/db/process-list").await;
    assert_eq!(processes.status, 200, "also on a connection of its own: {}", processes.text);
    assert!(server.metric("muster_read_replica_failures_total").await < 1.0, "the read replica was read");

    let prepared = async |change: Change| {
        let mut config = server.config().clone();
        change(&mut config, others.path());
        muster::prepare(&config, |_| {}).await.map_err(|error| format!("{error:#}"))
    };
    assert_eq!(prepared(|_, _| {}).await, Ok(0), "everything is done already");
    let refused: [(&str, Change); 4] = [
        ("in the clear", |config, _| {
            (config.mysql.tls_config, config.mysql.tls_ca) = (String::new(), None);
        }),
        ("by another CA than the server's", |config, others| config.mysql.tls_ca = Some(others.join("ca.pem"))),
        ("with a certificate for another name", |config, _| {
            config.mysql.address = config.mysql.address.replace("localhost", "127.0.0.1");
        }),
        ("without a certificate of its own", |config, _| (config.mysql.tls_cert, config.mysql.tls_key) = (None, None)),
    ];
    for (how, change) in refused {
        let error = prepared(change).await.expect_err(how);
        eprintln!("{how}: {error}");
        assert!(!error.contains(&database.address().password), "{error}");
    }
    let by_address: Change = |config, _| {
        config.mysql.address = config.mysql.address.replace("localhost", "127.0.0.1");
        config.mysql.tls_server_name = "localhost".to_owned();
    };
    assert_eq!(prepared(by_address).await, Ok(0), "under the name in the certificate");
    let unverified = prepared(|config, others| {
        (config.mysql.tls_config, config.mysql.tls_ca) = ("skip-verify".to_owned(), Some(others.join("ca.pem")));
    });
    assert_eq!(unverified.await, Ok(0), "encrypted, to whoever answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_password_is_none() {
    let database = tokio::task::block_in_place(|| Mariadb::start(&[]));
    let mut config = Config::default();
    on_mariadb(&mut config, &database.address());
    config.mysql.username = database.admin().username;
    config.mysql.password = Secret::default();
    assert_eq!(muster::prepare(&config, |_| {}).await.unwrap(), 0, "let in, and all is done already");
}
