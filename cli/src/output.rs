use std::io::{self, Write};

/// The reader of standard output went away: nothing is wrong, and nobody is left to tell.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub struct StdoutClosed;

#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
struct StdoutUnwritable(#[source] io::Error);

/// Writes data to standard output, as it is.
pub fn data(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
        Err(error) => Err(StdoutUnwritable(error).into()),
    }
}

/// Writes a line of data to standard output.
pub fn line(text: &str) -> anyhow::Result<()> {
    data(&format!("{text}\n"))
}

/// Tells the person at the terminal something; data goes elsewhere, so a lost line is no failure.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Asks on standard error, without ending the line.
pub fn prompt(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Replaces characters that would drive the terminal; hosts choose their own names.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn terminal_sequences_are_defused() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{7}"), "a\u{fffd}[31mb\nc\u{fffd}");
    }
}
