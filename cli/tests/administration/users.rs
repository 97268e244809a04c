use crate::console::Console;

const USERS: &str = "\
Name,Email,SSO,API Only,Global Role,Teams\r
\"Example, Ada\",ada@example.com,false,false,maintainer,\r
,ci@example.com,,true,,\r
";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn users_of_a_file_are_created_and_deleted() {
    let console = Console::set_up().await;
    console.fleetctl.write("users.csv", USERS);
    let made = console.good(&["user", "create-users", "--csv", "users.csv"]);
    let lines: Vec<&str> = made.lines().collect();
    let password = lines[0].strip_prefix("Email: ada@example.com Generated password: ").unwrap();
    let token = lines[1].strip_prefix("Email: ci@example.com API token: ").unwrap();
    assert_eq!(lines.len(), 2, "{made}");
    let roles = console.good(&["get", "user_roles", "-o", "wide"]);
    assert!(roles.contains("| maintainer  | Example, Ada") && roles.contains("ci@example.com"), "{roles}");

    // What was printed lets them in.
    let context = |name: &str, more: [&str; 2]| {
        let set = ["config", "set", "--context", name, "--address", &console.url, "--rootca", "server/tls/server.crt"];
        console.good(&[&set[..], &more].concat());
    };
    context("ada", ["--email", "ada@example.com"]);
    console.good(&["login", "--context", "ada", "--email", "ada@example.com", "--password", password]);
    context("ci", ["--token", token]);
    assert!(console.good(&["api", "me", "--context", "ci"]).contains("ci@example.com"));

    let one = ["user", "create", "--email", "one@example.com", "--api-only", "--password", "only-for-tests-2!"];
    let made = console.good(&one);
    context("one", ["--token", made.trim_end().rsplit(' ').next().unwrap()]);
    assert!(console.good(&["api", "me", "--context", "one"]).contains("one@example.com"), "{made}");

    // Nothing is created if anything is wrong.
    console.fleetctl.write("more.csv", "Email,Global Role\nnew@example.com,\nADA@example.com,\nx@example.com,owner\n");
    let run = console.bad(&["user", "create-users", "--csv", "more.csv"]);
    assert!(run.stderr.starts_with("more.csv:4: 'owner' is not a valid global role"), "{run:?}");
    console.fleetctl.write("more.csv", "Email,Global Role\nnew@example.com,\nADA@example.com,\n");
    let run = console.bad(&["user", "create-users", "--csv", "more.csv"]);
    assert_eq!(
        run.stderr,
        "more.csv:3: there is already a user \"ADA@example.com\"\nError: 1 problem, nothing was created\n"
    );
    console.fleetctl.write("more.yml", "- {name: New, email: new@example.com, global_role: admin}\n");
    assert_eq!(console.good(&["user", "create-users", "--yaml", "more.yml"]).lines().count(), 1);
    console.fleetctl.write("wrong.yml", "- {email: a@b.c, rolle: admin}\n");
    let run = console.bad(&["user", "create-users", "--yaml", "wrong.yml"]);
    assert!(run.stderr.starts_with("Error: wrong.yml:1:") && run.stderr.contains("\"rolle\""), "{run:?}");

    console.fleetctl.write("leavers.csv", "Email,Why\nada@example.com,left\nnobody@example.com,never came\n");
    let run = console.bad(&["user", "delete-users", "--csv", "leavers.csv"]);
    assert!(run.stderr.starts_with("leavers.csv:3: there is no user \"nobody@example.com\"\n"), "{run:?}");
    console.fleetctl.write("leavers.yml", "- Ada@example.com\n- email: new@example.com\n");
    let gone = console.good(&["user", "delete-users", "--yaml", "leavers.yml"]);
    assert!(gone.contains("deleted user \"ada@example.com\"") && gone.lines().count() == 2, "{gone}");
    let left = console.good(&["get", "user_roles", "-o", "name"]);
    assert_eq!(left, "admin@example.com\nci@example.com\none@example.com\n");
    assert!(console.bad(&["user", "create-users"]).stderr.contains("--csv"));
}
