use std::path::Path;

use super::dir::{PreviewDir, shown};
use super::sign_in::{EMAIL, PASSWORD};

/// What there is to see, and how to begin.
pub fn summary(dir: &PreviewDir, address: &str, online: usize) -> String {
    let fleetctl = fleetctl();
    let contexts = shown(&dir.contexts());
    let results = shown(&dir.results());
    format!(
        "\n\
         {online} hosts are online\n\
         \n  \
         Address      {address}  (the certificate is the preview's own)\n  \
         Log in as    {EMAIL}  {PASSWORD}\n  \
         Result log   {results}\n  \
         Status log   {}\n  \
         RestClient log   {}\n\
         \n\
         Try:\n\
         \n  \
         {fleetctl} --config {contexts} get hosts\n  \
         {fleetctl} --config {contexts} query --labels 'All SimulatedHosts' --query 'select * from osquery_info'\n  \
         tail -f {results}\n\
         \n\
         Ctrl-C stops it. Begin anew with: {fleetctl} preview reset{}\n",
        shown(&dir.statuses()),
        shown(&dir.server_log()),
        dir.as_flag(),
    )
}

/// This program as it was called, if that is a name found on the path, or else where it is.
fn fleetctl() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    if Path::new(&called).components().count() == 1 {
        return called.to_string_lossy().into_owned();
    }
    std::env::current_exe().map_or_else(|_| "fleetctl".to_owned(), |path| shown(&path))
}
