/// Log lines of one request, each with its newline, in one piece.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LogLines {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

impl LogLines {
    /// Room for about so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::new() }
    }

    /// Adds what `write` appends as one line; it must end in a newline.
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

    /// The lines one after the other.
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
