/// The log lines of one request: their bytes in one piece, and where each line ends. The bytes are as the agent sent them
/// and need not be UTF-8.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LogLines {
    bytes: Vec<u8>,
    /// Where each line ends, its newline included.
    ends: Vec<usize>,
}

// why one piece: most sinks write all lines of a request in one call, and a vector of vectors would cost an allocation
// per line.

impl LogLines {
    /// Reserves room for this many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::new() }
    }

    /// Adds the bytes `write` appends as one line; they must end in a newline.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Length of all lines together, in bytes.
    pub fn total_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// All lines, one after the other.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As [`as_bytes`](Self::as_bytes), without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl<'a> FromIterator<&'a [u8]> for LogLines {
    fn from_iter<T: IntoIterator<Item = &'a [u8]>>(lines: T) -> Self {
        let mut all = Self::default();
        for line in lines {
            all.push(|bytes| bytes.extend_from_slice(line));
        }
        all
    }
}
