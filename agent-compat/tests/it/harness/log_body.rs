//! Taking log bodies apart, in another way than the server does.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;

use anyhow::{Context as _, Result};
use serde_json::value::RawValue;

use super::RecordedRequest;

/// The elements of `data` in a log request, byte for byte.
///
/// # Errors
/// When it is not a log body.
pub fn lines_of(request: &RecordedRequest) -> Result<Vec<Vec<u8>>> {
    let mut body = Vec::new();
    if request.is_gzip() {
        flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut body)?;
    } else {
        body.clone_from(&request.body);
    }
    // As Latin-1 every byte is a character, so that bytes which are not UTF-8 come through.
    let text: String = body.iter().copied().map(char::from).collect();
    let members: HashMap<&str, &RawValue> = serde_json::from_str(&text)?;
    let data: Vec<&RawValue> = serde_json::from_str(members.get("data").context("no data")?.get())?;
    data.into_iter().map(|element| to_bytes(element.get())).collect()
}

fn to_bytes(text: &str) -> Result<Vec<u8>> {
    text.chars().map(|character| Ok(u8::try_from(u32::from(character))?)).collect()
}

/// Each line once, in the order in which it first came. Right for lines that cannot come twice by themselves, as
/// those of an agent that counts and tells the time cannot.
pub fn unique_lines(batches: impl IntoIterator<Item = Vec<Vec<u8>>>) -> Vec<Vec<u8>> {
    let mut seen = HashSet::new();
    batches.into_iter().flatten().filter(|line| seen.insert(line.clone())).collect()
}
