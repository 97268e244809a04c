use agent_compat::Carver;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{SENT, archive};
use crate::support::TestServer;

/// A server with a complete carve of 23,040 bytes in three blocks.
async fn with_a_carve() -> (TestServer, Carver) {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let carver = Carver::numbered(1, 8_192, archive(23_040));
    assert_eq!(carver.send(&agent).await, SENT);
    (server, carver)
}

#[tokio::test]
async fn a_download_goes_on_where_it_was_interrupted() {
    let (server, carver) = with_a_carve().await;
    let get = async |headers: &[(&str, &str)]| {
        let request = server.rest.getting("carves/1/contents");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap()
    };
    let whole = get(&[]).await;
    let header = |name: &str| whole.headers()[name].to_str().unwrap().to_owned();
    let tag = header("etag");
    assert_eq!(
        [header("content-length"), header("accept-ranges"), header("content-type")],
        ["23040", "bytes", "application/x-tar"]
    );
    assert_eq!(header("content-disposition"), "attachment; filename=\"carve-1.tar\"");
    assert_eq!([header("cache-control"), header("x-content-type-options")], ["no-store", "nosniff"]);
    assert!(whole.bytes().await.unwrap() == carver.contents);
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=8191-8192", 8_191, 8_192),
        ("bytes=100-", 100, 23_039),
        ("bytes=-5", 23_035, 23_039),
        ("bytes=16384-99999", 16_384, 23_039),
    ] {
        let part = get(&[("Range", range), ("If-Range", &tag)]).await;
        assert_eq!(part.status(), 206, "{range}");
        assert_eq!(part.headers()["content-range"], format!("bytes {first}-{last}/23040"));
        assert_eq!(part.headers()["content-length"], (last - first + 1).to_string());
        assert!(part.bytes().await.unwrap() == carver.contents[first..=last], "{range}");
    }
    let outside = get(&[("Range", "bytes=23040-")]).await;
    assert_eq!(
        (outside.status().as_u16(), &outside.headers()["content-range"]),
        (416, &"bytes */23040".parse().unwrap())
    );
    let of_others = get(&[("Range", "bytes=5-"), ("If-Range", "\"another\"")]).await;
    assert_eq!(of_others.status(), 200);
}

/// With these a client finds out how much of a file it may go on after.
#[tokio::test]
async fn blocks_have_digests() {
    let (server, carver) = with_a_carve().await;
    let read = async |query: &str| -> Vec<Value> {
        let answer = server.rest.get(&format!("carves/1/blocks{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let digest = |data: &[u8]| Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let expected: Vec<Value> = carver
        .contents
        .chunks(8_192)
        .enumerate()
        .map(|(block, data)| json!({ "block_id": block, "size": data.len(), "sha256": digest(data) }))
        .collect();
    assert_eq!(read("").await, expected);
    assert_eq!(read("?count=2").await, expected[..2]);
    assert_eq!(read("?count=0").await, [] as [Value; 0]);
    assert_eq!(read("?count=99").await, expected);
    assert_eq!(server.user("maintainer").get("carves/1/blocks").await.status, 403);
}

#[tokio::test]
async fn compressed_contents_are_kept_as_they_are_and_called_so() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let contents = [&[0x28, 0xb5, 0x2f, 0xfd][..], &archive(100)].concat();
    assert_eq!(Carver::numbered(1, 64, contents).send(&agent).await, SENT);
    let response = server.rest.getting("carves/1/contents").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/zstd");
    assert_eq!(response.headers()["content-disposition"], "attachment; filename=\"carve-1.tar.zst\"");
}

#[tokio::test]
async fn carves_are_listed_by_pages_and_names() {
    let (server, _) = with_a_carve().await;
    let other = server.enrolled(2).await;
    for number in 2..=5 {
        server.clock.advance(std::time::Duration::from_secs(1));
        assert_eq!(Carver::numbered(number, 10, archive(10 * number as usize)).send(&other).await, SENT);
    }
    let ids = async |query: &str| -> Vec<i64> {
        let list: Value = server.rest.read(&format!("carves{query}")).await;
        list["carves"].as_array().unwrap().iter().map(|carve| carve["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids("").await, [1, 2, 3, 4, 5]);
    assert_eq!(ids("?page=1&per_page=2").await, [3, 4]);
    assert_eq!(ids("?order_key=created_at&order_direction=desc").await, [5, 4, 3, 2, 1]);
    assert_eq!(ids("?order_key=carve_size").await, [2, 3, 4, 5, 1]);
    assert_eq!(ids("?query=000000000004").await, [4]);
    assert_eq!(ids("?query=%25").await, [0; 0]);
    assert_eq!(server.rest.get("carves?order_key=color").await.status, 400);
    assert_eq!(server.rest.get("carves/99").await.status, 404);
    assert_eq!(server.rest.get("carves/1/block/3").await.problems(), ["block_id: block 3 not yet available"]);
    assert_eq!(server.rest.get("carves/1/block/first").await.status, 400);
}

/// Maintainers see that carves have come; what is in them is for admins.
#[tokio::test]
async fn only_admins_take_carves() {
    let (server, _) = with_a_carve().await;
    let (maintainer, observer) = (server.user("maintainer"), server.user("observer"));
    for path in ["carves", "carves/1"] {
        assert_eq!((maintainer.get(path).await.status, observer.get(path).await.status), (200, 403), "{path}");
    }
    for path in ["carves/1/contents", "carves/1/block/0"] {
        assert_eq!((maintainer.get(path).await.status, observer.get(path).await.status), (403, 403), "{path}");
    }
    assert_eq!(maintainer.send("DELETE", "carves/1", None).await.status, 403);
    assert_eq!(server.number("SELECT count(*) FROM activities WHERE kind = 'downloaded_carve'"), 0);
}

#[tokio::test]
async fn who_takes_and_deletes_carves_is_in_the_activities() {
    let (server, carver) = with_a_carve().await;
    let noted = |kind: &str| server.number(&format!("SELECT count(*) FROM activities WHERE kind = '{kind}'"));
    for _ in 0..3 {
        for path in ["carves/1/contents", "carves/1/block/0", "carves/1/block/1"] {
            assert_eq!(server.rest.get(path).await.status, 200);
        }
    }
    assert_eq!(noted("downloaded_carve"), 1, "one download in several requests");
    server.user("admin").get("carves/1/block/2").await;
    assert_eq!(noted("downloaded_carve"), 2, "another user");
    server.clock.advance(std::time::Duration::from_secs(3601));
    server.rest.get("carves/1/contents").await;
    assert_eq!(noted("downloaded_carve"), 3);
    assert_eq!(server.rest.send("DELETE", "carves/1", None).await.json(), json!({}));
    assert_eq!(noted("deleted_carve"), 1);
    assert_eq!((super::folders(&server), server.rest.get("carves/1").await.status), (0, 404));
    assert_eq!(server.rest.send("DELETE", "carves/1", None).await.status, 404);
    assert_eq!(carver.block_count(), 3);
}

/// The rows of such a query look as if the files were on their way.
#[tokio::test]
async fn a_live_query_that_seems_to_carve_says_where_the_files_are_to_be_seen() {
    let server = TestServer::start().await;
    server.enrolled(1).await;
    let start = async |sql: &str| {
        let answer = server.rest.post("live_queries", &json!({ "query": sql, "targets": { "all": true } })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let started = start("SELECT carve(path) FROM file WHERE path = '/etc/hosts'").await;
    assert!(started["warnings"][0].as_str().unwrap().contains("fleetctl get carves"), "{started}");
    assert_eq!(start("SELECT * FROM uptime").await.get("warnings"), None);
}
