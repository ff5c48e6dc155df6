//! What an ONNX file says without being loaded: names of inputs and outputs, and its operators.
//!
//! A file of a graph is a protobuf message of up to two gigabytes, nearly all of them weights. This reads field by field and
//! jumps over what it does not need, so that a file takes milliseconds and no memory; decoders of the whole message read it
//! all. Field numbers are those of onnx.proto.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Deepest nesting of graphs in nodes of graphs that is followed.
const MAX_DEPTH: usize = 16;
/// Longest name that is kept, in bytes.
const MAX_NAME: u64 = 1_000;
/// Most names that are kept.
const MAX_NAMES: usize = 10_000;

/// Quantises with a scale that the graph has.
const FIXED_SCALE: &str = "QuantizeLinear";

/// What a graph takes, answers and is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GraphFile {
    pub inputs: BTreeSet<String>,
    pub outputs: BTreeSet<String>,
    pub operators: BTreeSet<String>,
}

impl GraphFile {
    /// Reads a file, or says why it cannot be read.
    pub fn read(path: &Path) -> Result<GraphFile, String> {
        let about = path.metadata().map_err(|error| error.to_string())?;
        if !about.is_file() {
            return Err("it is not a regular file".to_owned());
        }
        let file = BufReader::with_capacity(1 << 16, File::open(path).map_err(|error| error.to_string())?);
        let mut reader = Reader { inner: file, position: 0, graph: GraphFile::default() };
        match reader.message(Message::Model, about.len(), 0) {
            Ok(()) => Ok(reader.graph),
            Err(error) => Err(format!("it is not an ONNX graph ({error})")),
        }
    }

    /// True where activations are quantised with a scale that is taken from all items of a batch: an item's vector then
    /// depends on the others.
    pub fn is_quantized_by_batch(&self) -> bool {
        const OPERATORS: [&str; 5] =
            ["ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulInteger"];
        /// Their scale may be constant, as behind QuantizeLinear, or not.
        const EITHER: [&str; 2] = ["MatMulIntegerToFloat", "QAttention"];
        let is_any = |names: &[&str]| names.iter().any(|name| self.has(name));
        is_any(&OPERATORS) || (is_any(&EITHER) && !self.has(FIXED_SCALE))
    }

    /// True where activations are quantised.
    pub fn is_quantized(&self) -> bool {
        self.has(FIXED_SCALE) || self.is_quantized_by_batch()
    }

    fn has(&self, operator: &str) -> bool {
        self.operators.contains(operator)
    }
}

/// The messages that are looked into.
#[derive(Clone, Copy, PartialEq)]
enum Message {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Input,
    Output,
}

struct Reader<R> {
    inner: R,
    position: u64,
    graph: GraphFile,
}

impl<R: Read + Seek> Reader<R> {
    /// Reads the fields of a message that ends at a position of the file.
    fn message(&mut self, message: Message, end: u64, depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(damaged("it is nested too deeply"));
        }
        while self.position < end {
            let key = self.number()?;
            let (field, kind) = (key >> 3, key & 7);
            match kind {
                0 => {
                    self.number()?;
                }
                1 => self.skip(8, end)?,
                5 => self.skip(4, end)?,
                2 => {
                    let length = self.number()?;
                    let inner_end = self.position.checked_add(length).filter(|inner| *inner <= end);
                    let inner_end = inner_end.ok_or_else(|| damaged("a field is longer than the file"))?;
                    self.field(message, field, inner_end, depth)?;
                    if self.position > inner_end {
                        return Err(damaged("a field is longer than it says"));
                    }
                    self.skip(inner_end - self.position, end)?;
                }
                _ => return Err(damaged("a field has an unknown type")),
            }
        }
        Ok(())
    }

    fn field(&mut self, message: Message, field: u64, end: u64, depth: usize) -> io::Result<()> {
        use Message::{Attribute, Function, Graph, Input, Model, Node, Output};
        let inner = match (message, field) {
            (Model, 7) | (Attribute, 6 | 11) => Graph,
            (Model, 25) => Function,
            (Graph, 1) | (Function, 7) => Node,
            (Node, 5) => Attribute,
            (Graph, 11) if depth == 1 => Input,
            (Graph, 12) if depth == 1 => Output,
            (Node, 4) | (Input | Output, 1) => {
                let name = self.text(end)?;
                let names = match message {
                    Input => &mut self.graph.inputs,
                    Output => &mut self.graph.outputs,
                    _ => &mut self.graph.operators,
                };
                if names.len() < MAX_NAMES {
                    names.insert(name);
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.message(inner, end, depth + 1)
    }

    fn text(&mut self, end: u64) -> io::Result<String> {
        let mut bytes = vec![0; (end - self.position).min(MAX_NAME) as usize];
        self.inner.read_exact(&mut bytes)?;
        self.position += bytes.len() as u64;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.inner.read_exact(&mut byte)?;
            self.position += 1;
            number |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(damaged("a number is too long"))
    }

    fn skip(&mut self, bytes: u64, end: u64) -> io::Result<()> {
        if bytes > end.saturating_sub(self.position) {
            return Err(damaged("a field is longer than the file"));
        }
        let offset = i64::try_from(bytes).map_err(|_| damaged("a field is too long"))?;
        // Within the buffer where possible: a graph has some thousand short fields between its weights.
        if bytes < 1 << 12 {
            io::copy(&mut self.inner.by_ref().take(bytes), &mut io::sink())?;
        } else {
            self.inner.seek(SeekFrom::Current(offset))?;
        }
        self.position += bytes;
        Ok(())
    }
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::GraphFile;

    #[test]
    fn scales_of_a_batch_and_scales_of_the_graph() {
        let by_batch = |operators: &[&str]| {
            let operators = operators.iter().map(|name| (*name).to_owned()).collect();
            GraphFile { operators, ..GraphFile::default() }.is_quantized_by_batch()
        };
        // As the hub's and our own.
        assert!(by_batch(&["DynamicQuantizeLinear", "MatMulInteger"]));
        assert!(by_batch(&["DynamicQuantizeLinear", "MatMulIntegerToFloat", "QAttention", "QuantizeLinear"]));
        assert!(by_batch(&["QAttention"]) && by_batch(&["MatMulIntegerToFloat"]));
        assert!(!by_batch(&["MatMul", "Softmax"]));
        assert!(!by_batch(&["QuantizeLinear", "MatMulIntegerToFloat", "QAttention"]));
    }
}
