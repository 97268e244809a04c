//! Who holds memory: the stacks that allocated what is in use, of which the allocator notes some (`.cargo/config.toml`).

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::caller::DebugCaller;
use super::refusal::{DebugAnswer, DebugRefusal};
use super::{DebugApi, NOTE_HEADER};
use crate::fleet::Error;

const PROTOBUF: &str = "application/octet-stream";

const NOT_NOTED: &str = if cfg!(target_env = "musl") {
    "the allocator of static programs, such as those of the packages, notes no allocations; a program that cargo build has made does"
} else {
    "the allocator of this process notes no allocations: build with the repository's .cargo/config.toml, and start without \
     MALLOC_CONF"
};

/// `GET pprof/heap`: bytes in use by the stack that allocated them, gzipped protobuf.
pub(super) async fn heap(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    let profile = api.with_symbols(in_use).await??;
    Ok(HttpResponse::Ok().content_type(PROTOBUF).body(profile))
}

/// `GET pprof/allocs`: the same. The allocator forgets stacks of which nothing is left, so that its notes do not grow.
pub(super) async fn allocs(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    let profile = api.with_symbols(in_use).await??;
    let note = (NOTE_HEADER, "bytes in use, as pprof/heap: what was freed is not noted");
    Ok(HttpResponse::Ok().content_type(PROTOBUF).insert_header(note).body(profile))
}

/// Whether allocations are noted.
pub(super) fn is_noted() -> bool {
    tikv_jemalloc_ctl::profiling::prof::read().is_ok_and(|is_on| is_on)
}

fn in_use() -> Result<Vec<u8>, DebugRefusal> {
    if !is_noted() {
        return Err(DebugRefusal::NotHere(NOT_NOTED.to_owned()));
    }
    let allocator = jemalloc_pprof::PROF_CTL.as_ref().ok_or_else(|| DebugRefusal::NotHere(NOT_NOTED.to_owned()))?;
    let profile = allocator.blocking_lock().dump_pprof();
    // It is as large as the program's debug information.
    backtrace::clear_symbol_cache();
    profile.map_err(|error| Error::Internal(error.into()).into())
}
