//! Where the processors spend their time: a profile as pprof reads it, or a flame graph. One is taken at a time, because a
//! process has one timer and one signal for it.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::web::Data;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use pprof::protos::Message as _;
use pprof::{Frames, ProfilerGuard, ProfilerGuardBuilder, Report, Symbol};

use super::DebugApi;
use super::caller::DebugCaller;
use super::long_answer::LongAnswer;
use super::params::seconds;
use super::refusal::{DebugAnswer, DebugRefusal};
use crate::lock::lock;

/// Samples for each second of CPU time of the process. Not a divisor of anything that happens regularly.
const HERTZ: i32 = 99;

/// Seconds that a profile takes unless the request says otherwise, and the most it may take.
const PROFILE: (u64, u64) = (30, 120);
const FLAME_GRAPH: (u64, u64) = (10, 120);

/// Libraries in which no sample is taken. The unwinder itself is interrupted there.
const UNWINDER: &[&str] = &["/libgcc_s.so", "linux-vdso"];

/// The same where unwinding takes the lock of the dynamic linker, which whoever was interrupted in one of them may have.
const LOCKED: &[&str] = &["/libgcc_s.so", "linux-vdso", "/libc.so", "/libc-2", "/libpthread", "/ld-linux"];

/// Until when the profile that is being taken samples. One for the process, however many servers are in it.
static UNDER_WAY: Mutex<Option<Instant>> = Mutex::new(None);

/// The right to take a profile, which one caller has.
struct ProfileSeat;

/// A profile that is being taken. Dropping it ends that.
struct Sampling {
    /// `None` once it has ended.
    taken: Option<(ProfilerGuard<'static>, ProfileSeat)>,
}

/// `GET pprof/profile?seconds=30`: gzipped protobuf.
pub(super) async fn profile(_: DebugCaller, api: Data<DebugApi>, request: HttpRequest) -> DebugAnswer {
    let length = seconds(&request, PROFILE)?;
    let answer = LongAnswer {
        content_type: "application/octet-stream",
        file_name: Some("profile.pb.gz"),
        begin: GZIP_HEADER,
        filler: EMPTY_BLOCK,
    };
    take(&api, length, answer, |report| Ok(gzip_rest(&report.pprof()?.encode_to_vec())?)).await
}

/// `GET flamegraph?seconds=10`: SVG.
pub(super) async fn flame_graph(_: DebugCaller, api: Data<DebugApi>, request: HttpRequest) -> DebugAnswer {
    let length = seconds(&request, FLAME_GRAPH)?;
    let answer = LongAnswer { content_type: "image/svg+xml", file_name: None, begin: XML_DECLARATION, filler: b"\n" };
    let title = format!("muster {}, node {}, {} s", crate::VERSION, api.fleet.node.id(), length.as_secs());
    take(&api, length, answer, move |report| draw(report, &title)).await
}

/// Takes a profile. The request waits without a thread; the profile is made in the pool.
async fn take(
    api: &DebugApi,
    length: Duration,
    answer: LongAnswer,
    write: impl FnOnce(&Report) -> anyhow::Result<Vec<u8>> + Send + 'static,
) -> DebugAnswer {
    let seat = ProfileSeat::take(length)?;
    let api = api.clone();
    // All of it belongs to the answer, so that it ends when the client hangs up.
    Ok(answer.with(async move {
        let begun = api.in_pool(move || Sampling::begin(seat)).await;
        let sampling = begun.map_err(|why| anyhow::anyhow!("{why}")).flatten()?;
        tokio::time::sleep(length).await;
        let written = api.with_symbols(move || write(&sampling.end()?)).await;
        written.map_err(|why| anyhow::anyhow!("{why}")).flatten()
    }))
}

impl ProfileSeat {
    fn take(length: Duration) -> Result<Self, DebugRefusal> {
        let (mut under_way, now) = (lock(&UNDER_WAY), Instant::now());
        if let Some(until) = *under_way {
            let left = until.saturating_duration_since(now) + Duration::from_secs(1);
            let reason = format!("a CPU profile of this node is being taken; it ends in {} s", left.as_secs());
            return Err(DebugRefusal::Busy { reason, retry_after: left });
        }
        *under_way = Some(now + length);
        Ok(Self)
    }
}

impl Drop for ProfileSeat {
    fn drop(&mut self) {
        *lock(&UNDER_WAY) = None;
    }
}

impl Sampling {
    /// Begins to take samples. Makes the room for them, so it takes some hundred milliseconds the first time.
    fn begin(seat: ProfileSeat) -> anyhow::Result<Self> {
        let blocked = if unwinds_without_locks() { UNWINDER } else { LOCKED };
        let guard = ProfilerGuardBuilder::default().frequency(HERTZ).blocklist(blocked).build();
        let guard = guard?;
        // The unwinder of static programs makes room for itself with the first sample, which must not interrupt an allocation.
        #[cfg(target_env = "musl")]
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGPROF)?;
        Ok(Self { taken: Some((guard, seat)) })
    }

    /// Ends, and looks up the names of what was met.
    fn end(mut self) -> anyhow::Result<Report> {
        let Some((guard, seat)) = self.taken.take() else { anyhow::bail!("this profile has ended") };
        let met = guard.report().build_unresolved()?;
        // Looking up names would be most of the profile.
        drop(guard);
        let mut data: HashMap<Frames, isize> = HashMap::new();
        for (frames, count) in met.data {
            let mut frames = Frames::from(frames);
            // What took the sample is the innermost part of each stack.
            let of_program = frames.frames.iter().position(|functions| !functions.iter().any(is_of_profiler));
            frames.frames.drain(..of_program.unwrap_or(frames.frames.len()));
            *data.entry(frames).or_default() += count;
        }
        // It is as large as the program's debug information.
        backtrace::clear_symbol_cache();
        drop(seat);
        Ok(Report { data, timing: met.timing })
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        // Makes the room for the next profile: too long for a worker. Where no thread can be had it is done here.
        let _ = std::thread::Builder::new().name("debug".to_owned()).spawn(move || drop(taken));
    }
}

fn is_of_profiler(function: &Symbol) -> bool {
    let name = function.name();
    ["backtrace::", "pprof::"].iter().any(|begin| name.trim_start_matches('<').starts_with(begin))
}

/// Whether the unwinder of this process finds its tables without a lock, as it does since GCC 12 with glibc 2.35. If not, a
/// thread that was interrupted in the dynamic linker would wait for itself.
fn unwinds_without_locks() -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let path = maps.lines().filter_map(|line| line.find('/').map(|start| &line[start..]));
    let unwinder = path.into_iter().find(|path| path.contains("/libgcc_s.so"));
    let library = unwinder.and_then(|path| std::fs::read(path).ok());
    library.is_some_and(|library| memchr::memmem::find(&library, b"_dl_find_object").is_some())
}

const XML_DECLARATION: &[u8] = br#"<?xml version="1.0" standalone="no"?>"#;

/// Draws a flame graph, without the XML declaration.
fn draw(report: &Report, title: &str) -> anyhow::Result<Vec<u8>> {
    if report.data.is_empty() {
        let nothing = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"600\" height=\"40\"><text x=\"10\" y=\"25\">\
                       The process did nothing in this time.</text></svg>\n";
        return Ok(nothing.into());
    }
    let mut options = pprof::flamegraph::Options::default();
    title.clone_into(&mut options.title);
    "samples".clone_into(&mut options.count_name);
    let mut drawn = Vec::new();
    report.flamegraph_with_options(&mut drawn, &mut options)?;
    let declared = drawn.starts_with(b"<?xml").then(|| memchr::memmem::find(&drawn, b"?>")).flatten();
    drawn.drain(..declared.map_or(0, |end| end + 2));
    Ok(drawn)
}

/// Member header: deflate, no name, no time, unknown system.
const GZIP_HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A stored deflate block of no bytes, which may stand anywhere before the others.
const EMPTY_BLOCK: &[u8] = &[0, 0, 0, 0xff, 0xff];

/// What follows [`GZIP_HEADER`] and any number of [`EMPTY_BLOCK`].
fn gzip_rest(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
    deflated.write_all(content)?;
    let mut rest = deflated.finish()?;
    let mut crc = Crc::new();
    crc.update(content);
    rest.extend(crc.sum().to_le_bytes());
    rest.extend(crc.amount().to_le_bytes());
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_gzip_member_may_have_empty_blocks_before_its_content() {
        for fillers in [0, 1, 120] {
            let content = b"where the time went ".repeat(1_000);
            let file = [GZIP_HEADER, &EMPTY_BLOCK.repeat(fillers), &gzip_rest(&content).unwrap()].concat();
            let mut read = Vec::new();
            flate2::read::GzDecoder::new(file.as_slice()).read_to_end(&mut read).unwrap();
            assert_eq!(read, content);
        }
    }

    #[test]
    fn one_seat_is_given_at_a_time() {
        let seat = ProfileSeat::take(Duration::from_secs(30)).ok().unwrap();
        let Err(DebugRefusal::Busy { retry_after, .. }) = ProfileSeat::take(Duration::from_secs(1)) else {
            panic!("a second seat")
        };
        assert!(retry_after <= Duration::from_secs(31));
        drop(seat);
        assert!(ProfileSeat::take(Duration::from_secs(1)).is_ok());
    }
}
