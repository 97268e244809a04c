use std::path::Path;

use super::dir::{PreviewDir, shown};
use super::sign_in::{EMAIL, PASSWORD};

/// Addresses, files and first commands of a running preview.
pub fn summary(dir: &PreviewDir, address: &str, online: usize) -> String {
    let fleetctl = fleetctl();
    let contexts = shown(&dir.contexts());
    let results = shown(&dir.results());
    format!(
        "\n\
         {online} hosts are online\n\
         \n  \
         Address      {address}  (self-signed certificate)\n  \
         Log in as    {EMAIL}  {PASSWORD}\n  \
         Result log   {results}\n  \
         Status log   {}\n  \
         Server log   {}\n\
         \n\
         Try:\n\
         \n  \
         {fleetctl} --config {contexts} get hosts\n  \
         {fleetctl} --config {contexts} query --labels 'All Hosts' --query 'select * from osquery_info'\n  \
         tail -f {results}\n\
         \n\
         Open the address to see what hurts this fleet: within three minutes one query costs far too much, one host has\n\
         denylisted it, and the schedule of another stands still.\n\
         \n\
         Press Ctrl-C to stop. Delete all data with: {fleetctl} preview reset{}\n",
        shown(&dir.statuses()),
        shown(&dir.server_log()),
        dir.as_flag(),
    )
}

/// How to call this program: the name if it was found on the PATH, otherwise its path.
fn fleetctl() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    if Path::new(&called).components().count() == 1 {
        return called.to_string_lossy().into_owned();
    }
    std::env::current_exe().map_or_else(|_| "fleetctl".to_owned(), |path| shown(&path))
}
