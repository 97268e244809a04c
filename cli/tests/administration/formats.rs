use crate::administration::{SCHEDULE, enrolled};
use crate::console::Console;
use crate::living;

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_printed_in_every_format() {
    let console = Console::set_up().await;
    assert_eq!(console.apply(SCHEDULE).code, Some(0));
    let _living = living(&console, 1);
    let hosts = enrolled(&console, 1);
    let get = |words: &[&str]| console.good(&[&["get"], words].concat());

    let names = |what: &str| {
        let mut names: Vec<String> = get(&[what, "-o", "name"]).lines().map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names("packs"), ["again", "base", "found nowhere"]);
    assert_eq!(names("queries"), ["broken", "elsewhere", "one"]);
    assert_eq!(get(&["query", "one", "-o", "name"]), "one\n");
    assert!(names("labels").contains(&"it's mine".to_owned()));
    assert_eq!(get(&["user_roles", "-o", "name"]), "admin@example.com\n");
    for (new, old) in [("yaml", "--yaml"), ("json", "--json")] {
        for what in ["packs", "queries", "labels", "user_roles"] {
            assert_eq!(get(&[what, "-o", new]), get(&[what, old]), "{what}");
        }
    }
    // One object is a document, unless another format is given.
    assert!(get(&["pack", "base"]).starts_with("---\n"));
    assert!(get(&["pack", "base", "-o", "table"]).starts_with("+--"));

    let packs = get(&["packs", "-o", "wide"]);
    assert!(
        packs.contains("QUERIES") && packs.contains("All Hosts") && !get(&["packs"]).contains("All Hosts"),
        "{packs}"
    );
    let queries = get(&["queries", "-o", "wide"]);
    assert!(queries.contains("again, base") && queries.contains("OBSERVER CAN RUN"), "{queries}");
    let labels = get(&["labels", "-o", "wide"]);
    assert!(labels.contains("builtin") && labels.contains("manual") && labels.contains("HOSTS"), "{labels}");
    let wide = get(&["hosts", "-o", "wide"]);
    assert!(wide.contains("HARDWARE_SERIAL") && wide.contains("SEEN_TIME"), "{wide}");
    assert!(get(&["host", &hosts[0], "-o", "wide"]).contains("HARDWARE_SERIAL"));
    assert_eq!(get(&["host", &hosts[0], "-o", "name"]), format!("{}\n", hosts[0]));
    assert!(get(&["host", &hosts[0], "-o", "json"]).starts_with("{\"kind\":\"host\""));
    let users = get(&["user_roles", "-o", "wide"]);
    assert!(users.contains("API ONLY") && users.contains("admin@example.com"), "{users}");
    for format in [&["-o", "json"][..], &["--json"]] {
        assert!(get(&[&["stats"], format].concat()).starts_with("{\""));
    }

    for (words, part) in [
        (&["get", "config", "-o", "wide"][..], "config is one document"),
        (&["get", "options", "-o", "name"], "options is one document"),
        (&["get", "packs", "-o", "xml"], "invalid value 'xml'"),
        (&["get", "packs", "-o", "json", "--yaml"], "cannot be used with"),
    ] {
        let run = console.bad(words);
        assert!(run.stderr.contains(part), "{words:?}: {run:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_query_that_has_cost_nothing_yet_is_told_from_one_that_is_not_scheduled() {
    let console = Console::set_up().await;
    assert_eq!(console.apply(SCHEDULE).code, Some(0));
    let run = console.fleetctl.run(&["get", "stats", "base/one"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    assert!(run.stderr.starts_with("\"base/one\" is scheduled every 60 s; no cost of it is known"), "{run:?}");
    let both = console.bad(&["get", "stats", "one"]);
    assert!(both.stderr.contains("is scheduled by several packs: again, base. Choose one with --pack"), "{both:?}");
    assert!(console.bad(&["get", "stats", "none"]).stderr.contains("no scheduled query is named \"none\""));
    let gone = console.bad(&["get", "stats", "none", "--pack", "base"]);
    assert!(gone.stderr.contains("\"base/none\" is not scheduled, and no statistics of it are kept"), "{gone:?}");
}
