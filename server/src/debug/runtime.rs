//! This node as a process.

use actix_web::HttpResponse;
use actix_web::web::Data;
use muster_api::rest::debug::{NodeMemory, NodeRuntime};
use tikv_jemalloc_ctl::{epoch, stats};

use super::caller::DebugCaller;
use super::refusal::DebugAnswer;
use super::{DebugApi, heap, proc};

/// `GET runtime`.
pub(super) async fn runtime(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    let read = api.clone();
    Ok(HttpResponse::Ok().json(api.in_pool(move || of(&read)).await?))
}

fn of(api: &DebugApi) -> NodeRuntime {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let (open_files, max_open_files) = proc::open_files();
    let features = [
        ("heap-profiles", heap::is_noted()),
        ("planted-faults", cfg!(feature = "planted-faults")),
        ("debug-assertions", cfg!(debug_assertions)),
    ];
    NodeRuntime {
        version: crate::VERSION.to_owned(),
        node: api.fleet.node.id().to_owned(),
        started_at: api.started_at.to_utc().to_rfc3339(),
        uptime_seconds: api.fleet.clock.now().since(api.started_at).as_secs_f64(),
        cpus,
        workers: if api.config.server.workers > 0 { api.config.server.workers } else { cpus },
        memory: memory(),
        open_files,
        max_open_files,
        cpu_seconds: proc::cpu_seconds(),
        threads: proc::status("Threads"),
        features: features.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| (*name).to_owned()).collect(),
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
    }
}

fn memory() -> NodeMemory {
    // The allocator's numbers are those of the latest epoch.
    let _ = epoch::advance();
    let bytes = |read: Result<usize, tikv_jemalloc_ctl::Error>| read.unwrap_or_default() as u64;
    NodeMemory {
        process_resident: proc::status("VmRSS") * 1024,
        resident: bytes(stats::resident::read()),
        allocated: bytes(stats::allocated::read()),
        active: bytes(stats::active::read()),
        mapped: bytes(stats::mapped::read()),
        metadata: bytes(stats::metadata::read()),
    }
}
