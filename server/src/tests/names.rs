//! One rule for names, whatever the database takes for the same: A to Z are a to z, and every other character counts as it is.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sea_orm::{ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _};
use serde_json::json;

use super::size::count;
use super::world::World;
use crate::store::entity::{hosts, queries};
use crate::store::named;

/// Letters that some rule takes for others: ligatures and signs whose small forms are letters from a to z, letters with small
/// forms of their own, with two of them, or with none, and what patterns of SQL are made of.
const LETTERS: [char; 24] = [
    'a', 'A', 'k', 'K', '\u{212a}', 's', 'S', '\u{17f}', '\u{df}', '\u{1e9e}', 'i', 'I', '\u{130}', '\u{131}',
    '\u{e9}', '\u{c9}', '\u{3c3}', '\u{3a3}', '\u{3c2}', '\u{434}', '\u{414}', '%', '_', '!',
];

fn name() -> impl Strategy<Value = String> {
    let letters = prop::collection::vec(prop::sample::select(&LETTERS[..]), 1..4);
    letters.prop_map(|letters| letters.into_iter().collect())
}

/// Names that are given, and names that are asked for.
fn case() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    (prop::collection::vec(name(), 1..8), prop::collection::vec(name(), 0..6))
}

fn fold(name: &str) -> String {
    name.chars().map(|char| char.to_ascii_lowercase()).collect()
}

/// The first of the names that is the same.
fn same<'a>(names: &'a [String], name: &str) -> Option<&'a String> {
    names.iter().find(|other| fold(other) == fold(name))
}

fn in_path(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

async fn empty(world: &World) {
    let store = &world.app.store;
    store
        .write(async |tx| {
            for sql in [
                "DELETE FROM packs",
                "DELETE FROM queries",
                "DELETE FROM labels WHERE label_type = 'regular'",
                "DELETE FROM node_keys",
                "DELETE FROM label_members",
                "DELETE FROM hosts",
            ] {
                tx.execute_unprepared(sql).await?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

async fn names_are_as_the_rule_says(world: &World, given: &[String], asked: &[String]) -> Result<(), TestCaseError> {
    empty(world).await;
    let mut there: Vec<String> = Vec::new();
    for name in given {
        let is_taken = same(&there, name).is_some();
        for (path, body) in [
            ("queries", json!({ "name": name, "query": "SELECT 1" })),
            ("labels", json!({ "name": name, "query": "SELECT 1" })),
            ("packs", json!({ "name": name })),
        ] {
            let answered = world.post(path, body).await;
            prop_assert_eq!(
                answered.status,
                if is_taken { 409 } else { 200 },
                "{} {:?}: {}",
                path,
                name,
                answered.body
            );
        }
        world.enroll(name, "ubuntu").await;
        if !is_taken {
            there.push(name.clone());
        }
    }
    let hosts = hosts::Entity::find().count(world.app.store.reader()).await.unwrap();
    prop_assert_eq!(hosts, there.len() as u64, "{:?}", given);
    for name in given.iter().chain(asked) {
        let expected = same(&there, name);
        for kind in ["queries", "labels", "packs"] {
            let answered = world.get(&format!("spec/{kind}/{}", in_path(name))).await;
            let found = answered.body["specs"]["name"].as_str();
            prop_assert_eq!(found, expected.map(String::as_str), "{} {:?} of {:?}", kind, name, there);
        }
        let host = world.get(&format!("hosts/identifier/{}", in_path(name))).await;
        prop_assert_eq!(host.status, if expected.is_some() { 200 } else { 404 }, "{:?} of {:?}", name, there);

        // Parts of names, by the database and in memory.
        let mut with_part: Vec<&String> = there.iter().filter(|other| fold(other).contains(&fold(name))).collect();
        with_part.sort_unstable();
        let db = world.app.store.reader();
        for limit in [1, 100] {
            let found = named::with_part::<queries::Entity>(db, name, limit).await.unwrap();
            let found: Vec<&String> = found.iter().map(|(_, name)| name).collect();
            let most = with_part.len().min(limit as usize);
            prop_assert_eq!(&found, &with_part[..most], "{:?} in {:?}", name, there);
        }
        let listed = world.get(&format!("packs?order_key=name&query={}", in_path(name))).await.expect(200);
        let listed: Vec<&str> =
            listed["packs"].as_array().unwrap().iter().map(|pack| pack["name"].as_str().unwrap()).collect();
        prop_assert_eq!(listed, with_part);
    }
    Ok(())
}

#[test]
fn names_are_the_same_on_every_database() {
    let system = actix_web::rt::System::new();
    let world = system.block_on(World::new());
    let mut runner = TestRunner::new(Config { cases: count(12, 200), failure_persistence: None, ..Config::default() });
    let outcome =
        runner.run(&case(), |(given, asked)| system.block_on(names_are_as_the_rule_says(&world, &given, &asked)));
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
