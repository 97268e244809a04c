//! The threads of this process. Their stacks are not among it: a thread can be made to tell its own only by a signal handler or
//! a debugger, which this program has not. A CPU profile shows the stacks of those that run, and the item `requests` what
//! requests and tasks wait for.

use std::fmt::Write as _;
use std::fs::read_to_string;
use std::path::Path;

use actix_web::HttpResponse;
use actix_web::web::Data;
use muster_api::rest::debug::{NodeThread, NodeThreads};

use super::DebugApi;
use super::caller::DebugCaller;
use super::proc::Stat;
use super::refusal::DebugAnswer;

/// Most threads that are shown.
const MAX_THREADS: usize = 2_000;

const NOTE: &str = "stacks of waiting threads are not available; pprof/profile shows those of running ones";

/// `GET threads`.
pub(super) async fn list(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    Ok(HttpResponse::Ok().json(api.in_pool(threads).await?))
}

/// `GET pprof/threadcreate`: the same as text.
pub(super) async fn text(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    let NodeThreads { threads, left_out, note } = api.in_pool(threads).await?;
    let mut text = format!("threadcreate profile: total {}\n# {note}\n\n", threads.len() + left_out);
    for thread in threads {
        let NodeThread { id, name, state, cpu_seconds, waits_in, .. } = thread;
        let waits_in = waits_in.unwrap_or_default();
        let _ = writeln!(text, "{id:8} {name:16} {state:12} {cpu_seconds:10.2} s  {waits_in}");
    }
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text))
}

fn threads() -> NodeThreads {
    let found = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut left_out = 0;
    let mut threads = Vec::new();
    for entry in found {
        if threads.len() >= MAX_THREADS {
            left_out += 1;
        // One that has ended meanwhile is not shown.
        } else if let Some(thread) = thread(&entry.path()) {
            threads.push(thread);
        }
    }
    threads.sort_by(|one, other| other.cpu_seconds.total_cmp(&one.cpu_seconds));
    NodeThreads { threads, left_out, note: NOTE.to_owned() }
}

fn thread(folder: &Path) -> Option<NodeThread> {
    let id = folder.file_name()?.to_str()?.parse().ok()?;
    let Stat { name, state, cpu_seconds } = Stat::read(&read_to_string(folder.join("stat")).ok()?)?;
    let read = |name: &str| read_to_string(folder.join(name)).unwrap_or_default();
    let waits_in = (state != 'R').then(|| waits_in(&read("syscall"), &read("wchan"))).flatten();
    let state = match state {
        'R' => "running".to_owned(),
        'S' | 'I' => "sleeping".to_owned(),
        'D' => "waiting for a device".to_owned(),
        'T' | 't' => "stopped".to_owned(),
        'Z' | 'X' => "ended".to_owned(),
        other => other.to_string(),
    };
    Some(NodeThread { id, name, state, cpu_seconds, waits_in, stack: None })
}

/// The system call and the function of the kernel, as far as the kernel tells them.
fn waits_in(syscall: &str, wchan: &str) -> Option<String> {
    let number = syscall.split_ascii_whitespace().next().and_then(|number| number.parse::<u32>().ok());
    let syscall = number.map(|number| {
        let known = SYSCALLS.iter().find(|(_, known)| *known == number);
        known.map_or_else(|| format!("system call {number}"), |(name, _)| (*name).to_owned())
    });
    let function = Some(wchan.trim()).filter(|function| !matches!(*function, "" | "0"));
    match (syscall, function) {
        (Some(syscall), Some(function)) => Some(format!("{syscall} ({function})")),
        (syscall, function) => syscall.or_else(|| function.map(str::to_owned)),
    }
}

/// System calls in which threads of this program wait. Their numbers differ by processor.
const SYSCALLS: &[(&str, u32)] = if cfg!(target_arch = "x86_64") {
    &[
        ("read", 0),
        ("write", 1),
        ("poll", 7),
        ("pread64", 17),
        ("pwrite64", 18),
        ("writev", 20),
        ("nanosleep", 35),
        ("accept", 43),
        ("sendto", 44),
        ("recvfrom", 45),
        ("fsync", 74),
        ("fdatasync", 75),
        ("futex", 202),
        ("clock_nanosleep", 230),
        ("epoll_wait", 232),
        ("epoll_pwait", 281),
        ("accept4", 288),
    ]
} else if cfg!(target_arch = "aarch64") {
    &[
        ("epoll_pwait", 22),
        ("read", 63),
        ("write", 64),
        ("writev", 66),
        ("pread64", 67),
        ("pwrite64", 68),
        ("ppoll", 73),
        ("fsync", 82),
        ("fdatasync", 83),
        ("futex", 98),
        ("nanosleep", 101),
        ("clock_nanosleep", 115),
        ("accept", 202),
        ("sendto", 206),
        ("recvfrom", 207),
        ("accept4", 242),
    ]
} else {
    &[]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_waits_in_is_told_as_far_as_it_is_known() {
        let futex = SYSCALLS.iter().find(|(name, _)| *name == "futex").map_or(0, |(_, number)| *number);
        assert_eq!(waits_in(&format!("{futex} 0x1 0x2"), "futex_wait_queue").unwrap(), "futex (futex_wait_queue)");
        assert_eq!(waits_in("9999 0x1", "0").unwrap(), "system call 9999");
        assert_eq!(waits_in("", "do_epoll_wait").unwrap(), "do_epoll_wait");
        assert_eq!(waits_in("running", "0"), None);
    }

    #[test]
    fn the_thread_that_asks_is_among_them_and_runs() {
        let name = "asks-for-threads";
        let asking = std::thread::Builder::new().name(name.to_owned()).spawn(threads).unwrap();
        let NodeThreads { threads, left_out, .. } = asking.join().unwrap();
        let own = threads.iter().find(|thread| name.starts_with(&thread.name)).unwrap();
        assert_eq!((own.state.as_str(), own.waits_in.as_ref(), left_out), ("running", None, 0));
    }
}
