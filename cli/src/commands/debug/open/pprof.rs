//! Profiles in the format of pprof: the functions in which most was measured.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use flate2::read::MultiGzDecoder;
use prost::Message;
use serde::Serialize;

use super::frames;

/// Most bytes of an unpacked profile. A CPU profile of two minutes has less than one MiB; a decoded one takes up to thirty times
/// its size.
const MAX_PROFILE: u64 = 8 << 20;

/// Most functions in all stacks of a profile. One of half a minute on many cores has a million.
const MAX_FRAMES: usize = 5_000_000;

/// The name of a stack without a function of the program.
const RUNTIMES_ALONE: &str = "(runtimes and the allocator alone)";

/// Functions that are listed.
pub const TOP: usize = 10;

/// The parts of `profile.proto` that are read.
#[derive(Clone, PartialEq, Message)]
struct PprofFile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    /// The innermost first.
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    /// Several if functions were inlined, the innermost first.
    #[prost(message, repeated, tag = "4")]
    line: Vec<SourceLine>,
}

#[derive(Clone, PartialEq, Message)]
struct SourceLine {
    #[prost(uint64, tag = "1")]
    function_id: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

/// Where most was measured.
#[derive(Debug, PartialEq, Serialize)]
pub struct ProfileTop {
    /// `nanoseconds`, `bytes` or `count`.
    pub unit: String,
    /// All that was measured.
    pub total: i64,
    /// How long was measured, if the profile says so.
    pub seconds: f64,
    /// What was measured in the collection of the archive itself. The functions below are without it.
    pub of_collection: i64,
    /// Functions by what was measured in themselves and in the runtimes and the allocator that they call.
    pub by_self: Vec<FunctionShare>,
    /// Functions by what was measured in them and in what they call. Those of runtimes are left out.
    pub by_all: Vec<FunctionShare>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct FunctionShare {
    pub function: String,
    pub value: i64,
    /// Of all, from 0 to 1.
    pub share: f64,
}

/// Reads a profile, compressed or not.
///
/// # Errors
/// In words, why it is none.
pub fn top(bytes: &[u8]) -> Result<ProfileTop, String> {
    let mut unpacked = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let read = MultiGzDecoder::new(bytes).take(MAX_PROFILE + 1).read_to_end(&mut unpacked);
        read.map_err(|error| format!("cannot be unpacked: {error}"))?;
    } else {
        unpacked.extend_from_slice(&bytes[..bytes.len().min(MAX_PROFILE as usize + 1)]);
    }
    if unpacked.len() as u64 > MAX_PROFILE {
        return Err(format!("unpacks to more than {} MiB", MAX_PROFILE >> 20));
    }
    let profile =
        PprofFile::decode(unpacked.as_slice()).map_err(|error| format!("is not a profile of pprof: {error}"))?;
    if profile.sample_type.is_empty() || profile.string_table.is_empty() {
        return Err("is not a profile of pprof".to_owned());
    }
    profile.top().ok_or_else(|| format!("has more than {MAX_FRAMES} functions in its stacks"))
}

impl PprofFile {
    /// Nothing beyond [`MAX_FRAMES`]: a small file can name as much as it likes.
    fn top(&self) -> Option<ProfileTop> {
        // Go and pprof-rs have the time, or the bytes in use, last.
        let column = self.sample_type.len() - 1;
        let functions: HashMap<u64, &Function> = self.function.iter().map(|function| (function.id, function)).collect();
        let locations: HashMap<u64, &Location> = self.location.iter().map(|location| (location.id, location)).collect();
        let name = |line: &SourceLine| functions.get(&line.function_id).map(|function| self.text(function.name));
        let (mut by_self, mut by_all) = (HashMap::<String, i64>::new(), HashMap::<String, i64>::new());
        let (mut total, mut of_collection) = (0_i64, 0_i64);
        let mut frames_left = MAX_FRAMES;
        for sample in &self.sample {
            let value = sample.value.get(column).copied().unwrap_or(0);
            total = total.saturating_add(value);
            let found = sample.location_id.iter().filter_map(|id| locations.get(id));
            let frames = found.flat_map(|location| {
                let lines = location.line.iter().filter_map(name).map(str::to_owned);
                let unnamed = location.line.is_empty().then(|| format!("{:#x}", location.address));
                lines.chain(unnamed)
            });
            let stack: Vec<_> = frames.take(frames_left + 1).collect();
            frames_left = frames_left.checked_sub(stack.len())?;
            let stack = frames::sampled(&stack);
            if stack.iter().any(|function| frames::is_own(function)) {
                of_collection = of_collection.saturating_add(value);
                continue;
            }
            let mut telling = stack.iter().filter(|function| !frames::is_runtime(function)).peekable();
            match telling.peek() {
                Some(innermost) => add(&mut by_self, innermost, value),
                None if stack.is_empty() => {}
                None => add(&mut by_self, RUNTIMES_ALONE, value),
            }
            // A function that calls itself counts once.
            let unique: HashSet<_> = telling.collect();
            for function in unique {
                add(&mut by_all, function, value);
            }
        }
        Some(ProfileTop {
            unit: self.text(self.sample_type[column].unit).to_owned(),
            total,
            seconds: self.duration_nanos as f64 / 1e9,
            of_collection,
            by_self: most(by_self, total),
            by_all: most(by_all, total),
        })
    }

    fn text(&self, index: i64) -> &str {
        usize::try_from(index).ok().and_then(|index| self.string_table.get(index)).map_or("", String::as_str)
    }
}

fn add(values: &mut HashMap<String, i64>, function: &str, value: i64) {
    match values.get_mut(function) {
        Some(sum) => *sum = sum.saturating_add(value),
        None => drop(values.insert(function.to_owned(), value)),
    }
}

fn most(values: HashMap<String, i64>, total: i64) -> Vec<FunctionShare> {
    let share = |value: i64| if total > 0 { value as f64 / total as f64 } else { 0.0 };
    let mut all: Vec<_> =
        values.into_iter().map(|(function, value)| FunctionShare { function, value, share: share(value) }).collect();
    all.sort_by(|one, other| other.value.cmp(&one.value).then_with(|| one.function.cmp(&other.function)));
    all.truncate(TOP);
    all
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// `serve` calls `work`, which calls itself, and `work` calls `hash`, inlined into `digest`.
    fn profile() -> PprofFile {
        let names = ["", "samples", "count", "cpu", "nanoseconds", "serve", "work", "hash", "digest"];
        let line = |function_id| SourceLine { function_id };
        PprofFile {
            sample_type: vec![ValueType { kind: 1, unit: 2 }, ValueType { kind: 3, unit: 4 }],
            sample: vec![
                Sample { location_id: vec![3, 2, 2, 1], value: vec![6, 600] },
                Sample { location_id: vec![2, 1], value: vec![3, 300] },
                Sample { location_id: vec![9], value: vec![1, 100] },
            ],
            location: vec![
                Location { id: 1, address: 1, line: vec![line(1)] },
                Location { id: 2, address: 2, line: vec![line(2)] },
                Location { id: 3, address: 3, line: vec![line(3), line(4)] },
                Location { id: 9, address: 0xff, line: vec![] },
            ],
            function: (1..=4).map(|id| Function { id, name: id as i64 + 4 }).collect(),
            string_table: names.map(str::to_owned).to_vec(),
            duration_nanos: 2_000_000_000,
        }
    }

    fn shares(functions: &[FunctionShare]) -> Vec<(&str, i64)> {
        functions.iter().map(|function| (function.function.as_str(), function.value)).collect()
    }

    #[test]
    fn functions_are_ranked_by_their_own_and_by_all_time() {
        let top = top(&profile().encode_to_vec()).unwrap();
        assert_eq!((top.unit.as_str(), top.total, top.seconds), ("nanoseconds", 1000, 2.0));
        assert_eq!(shares(&top.by_self), [("hash", 600), ("work", 300), ("0xff", 100)]);
        assert_eq!(shares(&top.by_all), [("serve", 900), ("work", 900), ("digest", 600), ("hash", 600), ("0xff", 100)]);
        assert_eq!(top.by_self[0].share, 0.6);
    }

    #[test]
    fn runtimes_and_the_collection_are_left_out() {
        let mut of_runtimes = profile();
        let names = ["prof_backtrace_impl", "work", "clone3", "gimli::read"];
        for (name, wanted) in of_runtimes.string_table[5..].iter_mut().zip(names) {
            wanted.clone_into(name);
        }
        // The third location is now gimli's, inlined into clone3, which calls work; the first is the allocator.
        of_runtimes.sample = vec![
            Sample { location_id: vec![1, 2], value: vec![1, 10] },
            Sample { location_id: vec![3, 2], value: vec![1, 20] },
            Sample { location_id: vec![1], value: vec![1, 30] },
        ];
        let top = of_runtimes.top().unwrap();
        assert_eq!((top.total, top.of_collection), (60, 20));
        assert_eq!(shares(&top.by_self), [(RUNTIMES_ALONE, 30), ("work", 10)]);
        assert_eq!(shares(&top.by_all), [("work", 10)]);
    }

    #[test]
    fn compressed_profiles_are_read_and_others_are_refused() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&profile().encode_to_vec()).unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(top(&packed).ok(), profile().top());
        assert!(top(&packed[..packed.len() / 2]).unwrap_err().contains("cannot be unpacked"));
        assert!(top(b"no profile").unwrap_err().contains("is not a profile"));
        assert!(top(b"").unwrap_err().contains("is not a profile"));
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![0; MAX_PROFILE as usize + 2]).unwrap();
        assert!(top(&bomb.finish().unwrap()).unwrap_err().contains("more than 8 MiB"));
    }

    #[test]
    fn indices_beyond_the_tables_do_no_harm() {
        let mut wrong = profile();
        wrong.sample_type[1].unit = -7;
        wrong.function[0].name = 1 << 40;
        wrong.sample.push(Sample { location_id: vec![77], value: vec![] });
        wrong.sample[0].value[1] = i64::MAX;
        let top = wrong.top().unwrap();
        assert_eq!((top.unit.as_str(), top.total), ("", i64::MAX));
    }
}
