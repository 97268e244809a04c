//! The `muster` command.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use muster::clock::Clock;
use muster::config::{self, Config, ConfigErrors, ConfigKey, Loaded, Sources};
use muster::doctor::{self, Severity};
use muster::{ImportWish, Lifecycle, ServiceManager, VERSION, import_fleet, migrate_data, prepare, serve, telemetry};

fn main() -> ExitCode {
    let matches = command().get_matches();
    let outcome = match matches.subcommand() {
        Some(("doctor", matches)) => examine(matches),
        _ => run(&matches).map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            let what = if matches.subcommand_name() == Some("serve") { "Failed to start" } else { "Error" };
            eprintln!("{what}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

const SERVE_NOTES: &str = "\
Settings are read from defaults, the YAML file, FLEET_* environment variables and flags; later ones win.

Examples:
  # Run with the embedded database in the current directory
  muster serve

  # Run with a configuration file and debug messages
  muster serve --config /etc/muster.yml --logging_debug";

const MIGRATE_EXAMPLES: &str = "\
Examples:
  # Copy to the database named by the mysql settings
  muster migrate-data --config /etc/muster.yml --from sqlite:muster.db --to mysql:

  # Copy to another database
  muster migrate-data --from sqlite:muster.db --to mysql:db.example.com:3306/fleet";

/// Longest time for `muster doctor`. Its checks end by themselves within half of it.
const LONGEST_EXAMINATION: Duration = Duration::from_secs(20);

const DOCTOR_NOTES: &str = "\
Each line begins with ok, warn or FAIL; what is not ok ends with a remedy. The exit code is 1 if anything is FAIL.
Run it as the user that runs the server, beside a running server or without one.

Examples:
  # Look before the first start
  muster doctor --config /etc/muster/muster.yml

  # For programs
  muster doctor --config /etc/muster/muster.yml --json";

const IMPORT_NOTES: &str = "\
Nothing changes in Fleet's database, and a user with SELECT is enough.
Servers of Muster may run meanwhile.
An interrupted import goes on when it is run again; a later one brings the difference.

Examples:
  # See what would come, and what would not
  muster import-fleet --config /etc/muster.yml --from mysql://reader@fleet-db:3306/fleet \\
    --from-password-path /run/secrets/fleet-db --dry-run

  # Bring everything over, by TLS, and keep the report
  muster import-fleet --config /etc/muster.yml --from 'mysql://reader@fleet-db:3306/fleet?tls=true' \\
    --from-password-path /run/secrets/fleet-db --json > report.json

  # With the address and the password in the environment
  FLEET_IMPORT_FROM=mysql://reader@fleet-db:3306/fleet FLEET_IMPORT_PASSWORD=… muster import-fleet";

fn command() -> Command {
    Command::new("muster")
        .about("Management server for osquery agents")
        .version(VERSION)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(
            Command::new("serve").about("Run the server").after_help(SERVE_NOTES).arg(
                Arg::new("until-stdin-closes")
                    .long("until-stdin-closes")
                    .action(ArgAction::SetTrue)
                    .help("Stop when standard input closes, for example when the parent process ends"),
            ),
        ))
        .subcommand(
            Command::new("prepare").about("Prepare the database").subcommand_required(true).subcommand(with_settings(
                Command::new("db").about("Create or migrate the database schema; safe to repeat").arg(
                    Arg::new("no-prompt")
                        .long("no-prompt")
                        .action(ArgAction::SetTrue)
                        .help("No effect (accepted for Fleet): there are no prompts"),
                ),
            )),
        )
        .subcommand(with_settings(
            Command::new("migrate-data")
                .about("Copy the embedded database to MySQL or MariaDB; safe to repeat after an interruption")
                .after_help(MIGRATE_EXAMPLES)
                .arg(
                    Arg::new("from")
                        .long("from")
                        .required(true)
                        .value_name("sqlite:FILE")
                        .help("Database file of a stopped server"),
                )
                .arg(
                    Arg::new("to").long("to").required(true).value_name("mysql:[HOST:PORT/DATABASE]").help(
                        "Empty target database; other options, such as the password, come from the mysql settings",
                    ),
                ),
        ))
        .subcommand(with_settings(import_command()))
        .subcommand(
            Command::new("config")
                .about("Check or list settings")
                .subcommand_required(true)
                .subcommand(with_settings(Command::new("check").about("Check all settings and report problems")))
                .subcommand(Command::new("keys").about("List all settings with their defaults as a Markdown table")),
        )
        .subcommand(with_settings(
            Command::new("doctor")
                .about("Look at what a server with these settings needs, and say what to do; changes nothing")
                .after_help(DOCTOR_NOTES)
                .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON, for programs")),
        ))
        .subcommand(Command::new("openapi").about("Print the description of the REST API in OpenAPI 3.1"))
        .subcommand(Command::new("metrics").about("Print the description of the metrics as Markdown"))
        .subcommand(
            Command::new("manual").about("Write a man page of each command").hide(true).arg(
                Arg::new("man")
                    .long("man")
                    .required(true)
                    .value_name("FOLDER")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help("Existing folder to write them into"),
            ),
        )
        .subcommand(Command::new("version").about("Print the version"))
}

fn import_command() -> Command {
    let switch =
        |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("FILE").value_parser(clap::value_parser!(PathBuf)).help(help)
    };
    Command::new("import-fleet")
        .about(
            "Copy queries, packs, labels, options, secrets, users and hosts out of a database of Fleet; safe to repeat",
        )
        .after_help(IMPORT_NOTES)
        .arg(
            Arg::new("from")
                .long("from")
                .required(true)
                .env("FLEET_IMPORT_FROM")
                .hide_env_values(true)
                .value_name("mysql://USER@HOST:PORT/DATABASE")
                .help("Database of Fleet 4.x or 3.x; with ?tls=true or ?tls=skip-verify behind it for TLS"),
        )
        .arg(file("from-password-path", "File that contains the password of that user; else FLEET_IMPORT_PASSWORD"))
        .arg(file("from-tls-ca", "CA certificates (PEM) to trust that database by; turns TLS on"))
        .arg(switch("dry-run", "Write nothing, and report what an import would do"))
        .arg(switch("overwrite", "Also overwrite queries, packs, labels and options that were changed here"))
        .arg(switch("json", "Print the report as JSON"))
}

/// Adds `--config` and a flag for every setting, grouped by section.
fn with_settings(command: Command) -> Command {
    let file = Arg::new("config")
        .long("config")
        .short('c')
        .env("FLEET_CONFIG")
        .hide_env_values(true)
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("YAML configuration file");
    let command = Config::keys().into_iter().fold(command.arg(file).next_line_help(true), |command, key| {
        let default = if key.default.is_empty() { String::new() } else { format!(" [default: {}]", key.default) };
        let flag = Arg::new(key.flag())
            .long(key.flag())
            .value_name(if key.name == "address" { "HOST:PORT" } else { key.value_name })
            .help_heading(format!("{} settings", key.section))
            .help(format!("{}{default} [env: {}]", key.help.trim_end_matches('.'), key.variable()));
        command.arg(if key.is_switch { flag.num_args(0..=1).default_missing_value("true") } else { flag })
    });
    // Unit files written for Fleet name them; `load` says that they are ignored.
    config::foreign_flags().fold(command, |command, flag| {
        command.arg(Arg::new(flag.clone()).long(flag).num_args(0..=1).default_missing_value("true").hide(true))
    })
}

fn run(matches: &ArgMatches) -> Result<()> {
    match matches.subcommand() {
        Some(("serve", matches)) => serve_until_stopped(load(matches)?, matches.get_flag("until-stdin-closes")),
        Some(("prepare", matches)) => match matches.subcommand() {
            Some((_, matches)) => prepare_db(&load_and_warn(matches)?),
            None => Ok(()),
        },
        Some(("migrate-data", matches)) => copy_data(load_and_warn(matches)?, matches),
        Some(("import-fleet", matches)) => import(&load_and_warn(matches)?, matches),
        Some(("config", matches)) => match matches.subcommand() {
            Some(("check", matches)) => {
                let config = load_and_warn(matches)?;
                none_of([muster::check_files(&config), muster::check_documents(&config)].concat())?;
                print("The configuration is valid.\n")
            }
            _ => print(&config::describe()),
        },
        Some(("metrics", _)) => print(&telemetry::metrics_page()),
        Some(("openapi", _)) => print(muster::api_document()),
        Some(("manual", matches)) => match matches.get_one::<PathBuf>("man") {
            Some(folder) => clap_mangen::generate_to(command(), folder)
                .with_context(|| format!("cannot write man pages into {}", folder.display())),
            None => Ok(()),
        },
        _ => print(&format!("muster {VERSION}\n")),
    }
}

fn load(matches: &ArgMatches) -> Result<Loaded> {
    let names = Config::keys().iter().map(ConfigKey::flag).chain(config::foreign_flags()).collect::<Vec<_>>();
    let flags = names.into_iter().filter_map(|name| {
        let text = matches.get_one::<String>(&name)?.clone();
        Some((name, text))
    });
    let sources = Sources {
        file: matches.get_one::<PathBuf>("config").cloned(),
        // Others' variables may be anything; ours are text.
        variables: std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.to_string_lossy().into_owned())))
            .collect(),
        flags: flags.collect(),
    };
    Ok(config::load(&sources)?)
}

/// The settings of a command that ends soon; warnings go to standard error.
fn load_and_warn(matches: &ArgMatches) -> Result<Config> {
    let Loaded { config, warnings, notes } = load(matches)?;
    for warning in warnings.into_iter().chain(notes) {
        eprintln!("warning: {warning}");
    }
    Ok(config)
}

fn none_of(problems: Vec<String>) -> Result<()> {
    if problems.is_empty() { Ok(()) } else { Err(ConfigErrors(problems).into()) }
}

fn prepare_db(config: &Config) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let steps = runtime.block_on(prepare(config, |line| eprintln!("{line}")))?;
    print(if steps == 0 { "Migrations already completed. Nothing to do.\n" } else { "Migrations completed.\n" })
}

/// Prints what the doctor has found; the exit code says whether anything fails.
fn examine(matches: &ArgMatches) -> Result<ExitCode> {
    // Held until the end.
    let _looking = end_late_examination()?;
    let config = load_and_warn(matches)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let diagnoses = runtime.block_on(doctor::diagnose(config, Clock::system()));
    // A check that hangs must not keep the program from ending.
    runtime.shutdown_background();
    print(&if matches.get_flag("json") { doctor::as_json(&diagnoses) } else { doctor::as_text(&diagnoses) })?;
    Ok(if doctor::worst(&diagnoses) == Severity::Fail { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Ends the program after a while, with a reason, unless what is returned is dropped before: what hangs may be a file that is read
/// before any check begins, such as one of a password on a disk that is away.
fn end_late_examination() -> Result<Sender<()>> {
    let (looking, looked) = mpsc::channel::<()>();
    std::thread::Builder::new().name("doctor-end".to_owned()).spawn(move || {
        if looked.recv_timeout(LONGEST_EXAMINATION) == Err(RecvTimeoutError::Timeout) {
            let secs = LONGEST_EXAMINATION.as_secs();
            eprintln!("FAIL doctor: not done within {secs} s; look whether a file that the settings name hangs, such as one of a password");
            std::process::exit(1);
        }
    })?;
    Ok(looking)
}

fn copy_data(mut config: Config, matches: &ArgMatches) -> Result<()> {
    let word = |name: &str| matches.get_one::<String>(name).map(String::as_str).unwrap_or_default();
    config.sqlite.path = word("from").strip_prefix("sqlite:").context("--from expects sqlite:FILE")?.into();
    let to = word("to").strip_prefix("mysql:").context("--to expects mysql: or mysql:HOST:PORT/DATABASE")?;
    if let Some((address, database)) = to.trim_start_matches('/').rsplit_once('/') {
        address.clone_into(&mut config.mysql.address);
        database.clone_into(&mut config.mysql.database);
    } else if !to.is_empty() {
        bail!("--to expects mysql: or mysql:HOST:PORT/DATABASE");
    }
    if !config.mysql.is_on() {
        bail!("set mysql.address, or specify the database with --to mysql:HOST:PORT/DATABASE");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let copied = runtime.block_on(migrate_data(&config, |table| eprintln!("Copied {table}")))?;
    print(&format!("Copied and compared {} rows in {} tables.\n", copied.rows, copied.tables))
}

fn import(config: &Config, matches: &ArgMatches) -> Result<()> {
    let url = matches.get_one::<String>("from").map(String::as_str).unwrap_or_default();
    let mut from = config::import_source(url).map_err(|reason| anyhow!("--from: {reason}"))?;
    let is_at_command_line = matches.value_source("from") == Some(ValueSource::CommandLine);
    if is_at_command_line && !from.password.reveal().is_empty() {
        eprintln!(
            "warning: the password in --from shows in the list of processes; use --from-password-path or \
             FLEET_IMPORT_PASSWORD, and change it"
        );
    }
    if let Some(path) = matches.get_one::<PathBuf>("from-password-path") {
        from.password_path = Some(path.clone());
        from.password = from.password().map_err(|reason| anyhow!("--from-password-path: {reason}"))?;
        from.password_path = None;
    } else if let Ok(password) = std::env::var("FLEET_IMPORT_PASSWORD") {
        from.password = config::Secret::new(&password);
    }
    from.tls_ca = matches.get_one::<PathBuf>("from-tls-ca").cloned();
    let wish = ImportWish { dry_run: matches.get_flag("dry-run"), overwrite: matches.get_flag("overwrite") };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let imported = import_fleet(config, Clock::system(), &from, wish, |line| eprintln!("{line}"));
    let report = runtime.block_on(imported)?;
    let text =
        if matches.get_flag("json") { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_string() };
    print(&text)
}

fn serve_until_stopped(loaded: Loaded, until_stdin_closes: bool) -> Result<()> {
    telemetry::init(&loaded.config.logging);
    let config = loaded.into_logged();
    none_of(muster::check_files(&config))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let outcome = runtime.block_on(async {
        let lifecycle = Lifecycle::default();
        lifecycle.follow_signals().context("cannot listen to signals")?;
        if until_stdin_closes {
            stop_when_stdin_closes(lifecycle.clone());
        }
        let manager = ServiceManager::of_environment().context("cannot use NOTIFY_SOCKET")?;
        let running = serve(config, Clock::system(), lifecycle).await?;
        if let Some(manager) = manager {
            tokio::spawn(running.report_to(manager));
        }
        running.finished().await
    });
    // The thread that waits for standard input may never return.
    runtime.shutdown_background();
    outcome
}

fn stop_when_stdin_closes(lifecycle: Lifecycle) {
    std::thread::spawn(move || {
        // The content is ignored; only the end of the stream matters.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        lifecycle.stop();
    });
}

fn print(text: &str) -> Result<()> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
