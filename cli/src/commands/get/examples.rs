//! What `--help` of each resource shows as examples.

pub const QUERIES: &str = "\
Examples:
  # List the saved queries, with the packs that schedule each
  fleetctl get queries -o wide

  # Write a query into a file that fleetctl apply accepts
  fleetctl get query uptime > uptime.yml";

pub const PACKS: &str = "\
Examples:
  # Write all packs into a file, with the queries that they schedule
  fleetctl get packs --with-queries --yaml > packs.yml

  # Show how many queries each pack schedules, and on which labels
  fleetctl get packs -o wide";

pub const LABELS: &str = "\
Examples:
  # List the labels with the number of their hosts
  fleetctl get labels -o wide

  # Show one as a document
  fleetctl get label 'All Hosts'";

pub const HOSTS: &str = "\
Examples:
  # List all hosts, with more columns
  fleetctl get hosts -o wide

  # Print the names of all hosts, one a line
  fleetctl get hosts -o name

  # List the hosts with a label that are offline
  fleetctl get hosts --label kiosks --status offline

  # Show one host and explain which scheduled queries it runs
  fleetctl get host web-1.example.com --why

  # Export some columns of all hosts for a spreadsheet
  fleetctl get hosts --csv --columns hostname,platform,osquery_version > hosts.csv";

pub const ENROLL_SECRET: &str = "\
Examples:
  # Write the newest enroll secret as agents read it
  fleetctl get enroll_secret --plain > enroll_secret

  # Show all of them as a document
  fleetctl get enroll_secret";

pub const USER_ROLES: &str = "\
Examples:
  # List users and roles, with their names
  fleetctl get user_roles -o wide

  # Write the roles into a file that fleetctl apply accepts
  fleetctl get user_roles --yaml > roles.yml";

pub const DOCUMENTS_STATUS: &str = "\
Examples:
  # Show which commit was applied last, and why the next one is not
  fleetctl get documents-status

  # The same for scripts
  fleetctl get documents-status --json";

pub const OPTIONS: &str = "\
Examples:
  # Change the agent options in an editor
  fleetctl get options > options.yml
  vi options.yml
  fleetctl apply -f options.yml";

pub const CONFIG: &str = "\
Examples:
  # Show the configuration, with what comes from the server's own settings
  fleetctl get config --include-server-config

  # Print it as one line of JSON
  fleetctl get config -o json";

pub const STATS: &str = "\
Examples:
  # List what all scheduled queries cost
  fleetctl get stats

  # Show what one costs its hosts, over a month
  fleetctl get stats base/listening_ports --days 30

  # Show what it costs on the hosts of a label
  fleetctl get stats base/listening_ports --label 'Ubuntu Linux'";

pub const DENYLIST: &str = "\
Examples:
  # List the queries that agents do not run any more
  fleetctl get denylist

  # List also those that they run again, as data
  fleetctl get denylist --lifted -o json";

pub const RESTARTS: &str = "\
Examples:
  # List the workers that were replaced, and the queries that they ran then
  fleetctl get restarts";

pub const SCHEMA: &str = "\
Examples:
  # Show the columns of a table, and which hosts lack it
  fleetctl get schema processes

  # List the tables of Macs
  fleetctl get schema --platform darwin";

pub const CARVES: &str = "\
Examples:
  # List carves, also those whose contents have been removed
  fleetctl get carves --expired

  # List those that a live query has asked for
  fleetctl get carves --live-query 17";

pub const CARVE: &str = "\
Examples:
  # Download a carve, and go on if the download was interrupted
  fleetctl get carve 12 --outfile carve.tar

  # List what is in it
  fleetctl get carve 12 --stdout | tar -tv";

pub const GLOBAL_SCHEDULE: &str = "\
Examples:
  # Write the schedule of all hosts into a file that fleetctl apply accepts
  fleetctl get global_schedule > schedule.yml";
