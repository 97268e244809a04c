//! The frames of a stack that say where the time or the memory went: not those of runtimes, of the allocator and of the profiler.

/// Crates that call others, or whose callers are what matters.
const RUNTIMES: [&str; 15] = [
    "actix_rt",
    "actix_server",
    "actix_service",
    "alloc",
    "core",
    "futures_channel",
    "futures_core",
    "futures_util",
    "hashbrown",
    "std",
    "tikv_jemalloc_sys",
    "tikv_jemallocator",
    "tokio",
    "tokio_util",
    "tracing",
];

/// Functions of the C library that start a thread or process, of the language that start a closure, and of the allocator.
const STARTS: [&str; 19] = [
    "__clone",
    "__clone3",
    "__libc_start_main",
    "__libc_start_call_main",
    "__rust_try",
    "_start",
    "aligned_alloc",
    "calloc",
    "clone",
    "clone3",
    "free",
    "main",
    "malloc",
    "mallocx",
    "posix_memalign",
    "rallocx",
    "realloc",
    "sdallocx",
    "start_thread",
];

/// Functions of the allocator and of the language before it.
const ALLOCATOR: [&str; 11] = [
    "__rdl_",
    "__rg_",
    "__rust_alloc",
    "__rust_dealloc",
    "__rust_realloc",
    "_rjem_",
    "arena_",
    "imalloc",
    "je_",
    "prof_",
    "tcache_",
];

/// What only answers to `/debug` run: names of functions are looked up, and profiles are made.
const OWN: [&str; 5] = ["addr2line::", "backtrace::", "gimli::", "muster::debug::", "pprof::"];

/// The last function of the handler that takes a sample.
const SIGNAL_FRAMES: [&str; 2] = ["perf_signal_handler", "__restore_rt"];

/// The stack without the handler that took it; the innermost frame is the first.
pub fn sampled(stack: &[String]) -> &[String] {
    let is_handler = |name: &String| SIGNAL_FRAMES.iter().any(|handler| name.contains(handler));
    stack.iter().rposition(is_handler).map_or(stack, |last| &stack[last + 1..])
}

/// Whether a function is of a runtime or of the allocator.
pub fn is_runtime(name: &str) -> bool {
    let path = path(name);
    let of = path.split([':', '[']).next().unwrap_or_default();
    if path.contains("::") {
        return RUNTIMES.contains(&of);
    }
    let bare = path.split('@').next().unwrap_or_default();
    STARTS.contains(&bare) || ALLOCATOR.iter().any(|begin| bare.starts_with(begin))
}

/// Whether a function works for the collection itself.
pub fn is_own(name: &str) -> bool {
    let path = path(name);
    OWN.iter().any(|begin| path.starts_with(begin))
}

/// The path of a function, or of the type whose function it is: `<&mut core::iter::Map<…> as …>::next`.
fn path(name: &str) -> &str {
    let mut path = name;
    loop {
        let inner = path.trim_start_matches(['<', '&', '*', '(', '[', ' ']);
        let inner = ["mut ", "dyn ", "const "].iter().find_map(|word| inner.strip_prefix(word)).unwrap_or(inner);
        if inner.len() == path.len() {
            return path;
        }
        path = inner;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_and_the_allocator_are_told_from_the_program() {
        for name in [
            "clone3",
            "start_thread",
            "__rust_try",
            "prof_backtrace_impl",
            "_rjem_je_malloc_default",
            "core::ops::function::FnOnce::call_once",
            "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once",
            "<&mut core::iter::Map<I,F> as core::iter::Iterator>::next",
            "<core[1f2e]::pin::Pin<P> as core[1f2e]::future::Future>::poll",
            "tokio::runtime::task::core::Core<T,S>::poll",
        ] {
            assert!(is_runtime(name), "{name}");
        }
        for name in [
            "muster::fleet::checkin::run",
            "<muster::Store as core::fmt::Debug>::fmt",
            "epoll_wait",
            "main_loop",
            "0xff",
        ] {
            assert!(!is_runtime(name), "{name}");
        }
        assert!(is_own("<gimli::read::Reader as X>::read") && is_own("muster::debug::heap::of"));
        assert!(!is_own("muster::fleet::debug") && !is_own("muster::debugging"));
    }

    #[test]
    fn the_handler_of_the_profiler_is_no_part_of_the_stack() {
        let stack = ["backtrace::trace", "perf_signal_handler", "__restore_rt", "work"].map(str::to_owned);
        assert_eq!(sampled(&stack), ["work"]);
        assert_eq!(sampled(&stack[3..]), ["work"]);
    }
}
