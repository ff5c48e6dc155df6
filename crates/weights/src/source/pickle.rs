//! Just enough of Python's pickle to read a dictionary of tensors. Nothing is imported, called or executed: what would
//! be an object of Python is a node that says what it would have been made of.
//!
//! Nodes lie in one list and name each other by number, so that sharing costs nothing, whatever a file repeats, and
//! nesting takes no stack. There are at most as many as the file has bytes.

use std::collections::HashMap;

/// Most nodes. Six for each tensor and a few for its shape: a thousand tensors take 20,000.
const MAX_NODES: usize = 1 << 20;

/// Number of a node.
pub(super) type Id = usize;

/// What a pickle describes.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool,
    Int(i64),
    Float,
    Text(String),
    /// A class or function by its name, such as `torch._utils._rebuild_tensor_v2`.
    Global(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// Key and value, key and value, …
    Dict(Vec<Id>),
    /// What calling a global would give.
    Call(Id, Id),
    /// What lies beside the pickle: the values of a tensor.
    Persistent(Id),
}

/// The nodes of a pickle.
#[derive(Debug)]
pub(super) struct Nodes(Vec<Node>);

impl Nodes {
    /// The node of a number that another node holds, or [`parse`] returned.
    pub fn get(&self, id: Id) -> &Node {
        &self.0[id]
    }

    pub fn text(&self, id: Id) -> Option<&str> {
        if let Node::Text(text) = self.get(id) { Some(text) } else { None }
    }

    pub fn global(&self, id: Id) -> Option<&str> {
        if let Node::Global(name) = self.get(id) { Some(name) } else { None }
    }

    pub fn tuple(&self, id: Id) -> Option<&[Id]> {
        if let Node::Tuple(items) = self.get(id) { Some(items) } else { None }
    }

    pub fn dict(&self, id: Id) -> Option<&[Id]> {
        if let Node::Dict(items) = self.get(id) { Some(items) } else { None }
    }

    pub fn size(&self, id: Id) -> Option<usize> {
        if let Node::Int(value) = self.get(id) { usize::try_from(*value).ok() } else { None }
    }

    /// A tuple of sizes: a shape.
    pub fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        self.tuple(id)?.iter().map(|&item| self.size(item)).collect()
    }
}

/// Reads a pickle of protocol 2, which is what PyTorch writes: its nodes, and the one that it is.
pub(super) fn parse(bytes: &[u8]) -> Result<(Nodes, Id), String> {
    let mut machine =
        Machine { bytes, at: 0, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    while machine.step()? {}
    let root = machine.pop()?;
    Ok((Nodes(machine.nodes), root))
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl Machine<'_> {
    /// Executes one instruction; false where it was the last.
    fn step(&mut self) -> Result<bool, String> {
        let at = self.at;
        match self.number::<1>()?[0] {
            // PROTO
            0x80 => {
                let protocol = self.number::<1>()?[0];
                if protocol > 3 {
                    return Err(format!("it is a pickle of protocol {protocol}, 2 is read"));
                }
            }
            b'.' => return Ok(false),
            // MARK
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Node::None)?,
            // NEWTRUE, NEWFALSE
            0x88 | 0x89 => self.push(Node::Bool)?,
            b'K' => {
                let [value] = self.number()?;
                self.push(Node::Int(value.into()))?;
            }
            b'M' => {
                let value = u16::from_le_bytes(self.number()?);
                self.push(Node::Int(value.into()))?;
            }
            b'J' => {
                let value = i32::from_le_bytes(self.number()?);
                self.push(Node::Int(value.into()))?;
            }
            // LONG1
            0x8a => {
                let length = usize::from(self.number::<1>()?[0]);
                let digits = self.take(length)?;
                if length > 8 {
                    return Err(format!("it has a number of {length} bytes"));
                }
                let fill = if digits.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
                let mut value = [fill; 8];
                value[..length].copy_from_slice(digits);
                self.push(Node::Int(i64::from_le_bytes(value)))?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Node::Float)?;
            }
            // BINUNICODE
            b'X' => {
                let length = u32::from_le_bytes(self.number()?) as usize;
                let text = std::str::from_utf8(self.take(length)?).map_err(|_| "it has a text that is not UTF-8")?;
                let text = text.to_owned();
                self.push(Node::Text(text))?;
            }
            // GLOBAL
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global(format!("{module}.{name}")))?;
            }
            // BINPERSID
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::Persistent(id))?;
            }
            b')' => self.push(Node::Tuple(Vec::new()))?,
            b']' => self.push(Node::List(Vec::new()))?,
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b't' => {
                let items = self.pop_marked()?;
                self.push(Node::Tuple(items))?;
            }
            // TUPLE1, TUPLE2, TUPLE3
            count @ 0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(count - 0x84)).filter(|from| *from >= self.floor());
                let items = self.stack.split_off(from.ok_or("its stack is empty")?);
                self.push(Node::Tuple(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item], false)?;
            }
            b'e' => {
                let items = self.pop_marked()?;
                self.extend(items, false)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend(vec![key, value], true)?;
            }
            b'u' => {
                let items = self.pop_marked()?;
                self.extend(items, true)?;
            }
            // REDUCE, NEWOBJ
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                let is_dict = matches!(&self.nodes[callable], Node::Global(name) if name == "collections.OrderedDict");
                self.push(if is_dict { Node::Dict(Vec::new()) } else { Node::Call(callable, arguments) })?;
            }
            // BUILD: the state of an object, such as the versions of the modules; the object is what counts.
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
            b'q' => {
                let [key] = self.number()?;
                self.memo.insert(key.into(), self.top()?);
            }
            b'r' => {
                let key = u32::from_le_bytes(self.number()?);
                self.memo.insert(key, self.top()?);
            }
            b'h' => {
                let [key] = self.number()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.number()?);
                self.recall(key)?;
            }
            other => return Err(format!("instruction {other:#04x} of a pickle is not known (byte {at})")),
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len()).ok_or("it is truncated")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.first_chunk().copied().ok_or_else(|| "it is truncated".to_owned())
    }

    fn line(&mut self) -> Result<String, String> {
        let length = self.bytes[self.at..]
            .iter()
            .take(256)
            .position(|&byte| byte == b'\n')
            .ok_or("it has a name without end")?;
        let line = String::from_utf8_lossy(self.take(length)?).trim_end_matches('\r').to_owned();
        self.at += 1;
        Ok(line)
    }

    fn push(&mut self, node: Node) -> Result<(), String> {
        if self.nodes.len() == MAX_NODES {
            return Err(format!("it describes more than {MAX_NODES} objects"));
        }
        self.nodes.push(node);
        self.stack.push(self.nodes.len() - 1);
        Ok(())
    }

    /// Height below which only the end of a mark reaches.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn top(&self) -> Result<Id, String> {
        let top = self.stack.get(self.floor()..).and_then(<[Id]>::last);
        top.copied().ok_or_else(|| "its stack is empty".to_owned())
    }

    fn pop_marked(&mut self) -> Result<Vec<Id>, String> {
        let from = self.marks.pop().ok_or("it has no mark")?;
        Ok(self.stack.split_off(from))
    }

    /// Adds to the list or, with keys and values in turn, to the dictionary on the stack.
    fn extend(&mut self, items: Vec<Id>, is_dict: bool) -> Result<(), String> {
        let top = self.top()?;
        match &mut self.nodes[top] {
            Node::Dict(pairs) if is_dict && items.len().is_multiple_of(2) => pairs.extend(items),
            Node::List(list) if !is_dict => list.extend(items),
            _ => return Err("items are added to what is no list or dictionary, or a key has no value".to_owned()),
        }
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let id = *self.memo.get(&key).ok_or_else(|| format!("object {key} was not stored"))?;
        self.stack.push(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(bytes: &[u8]) -> String {
        parse(bytes).err().unwrap_or_else(|| panic!("{bytes:?} was read"))
    }

    #[test]
    fn a_dictionary() {
        let (nodes, root) = parse(
            b"\x80\x02ccollections\nOrderedDict\n)Rq\x00(X\x01\x00\x00\x00aK\x05X\x01\x00\x00\x00bJ\xff\xff\xff\xffu.",
        )
        .unwrap();
        let [a, five, b, minus] = *nodes.dict(root).unwrap() else { panic!("{nodes:?}") };
        assert_eq!((nodes.text(a), nodes.size(five)), (Some("a"), Some(5)));
        assert_eq!((nodes.text(b), nodes.size(minus)), (Some("b"), None));
    }

    #[test]
    fn long_numbers_have_a_sign() {
        let number = |bytes: &[u8]| {
            let (nodes, root) = parse(bytes).unwrap();
            let Node::Int(value) = nodes.get(root) else { panic!("{nodes:?}") };
            *value
        };
        assert_eq!(number(b"\x8a\x00."), 0);
        assert_eq!(number(b"\x8a\x01\xff."), -1);
        assert_eq!(number(b"\x8a\x05\x00\x00\x00\x80\x00."), 1 << 31);
        assert_eq!(refused(b"\x8a\x09123456789."), "it has a number of 9 bytes");
    }

    #[test]
    fn odd_instructions_are_refused() {
        assert_eq!(refused(b""), "it is truncated");
        assert_eq!(refused(b"."), "its stack is empty");
        assert_eq!(refused(b"(."), "its stack is empty");
        assert_eq!(refused(b"K\x01(K\x02s."), "its stack is empty");
        assert_eq!(refused(b"K\x01(\x85."), "its stack is empty");
        assert_eq!(refused(b"t."), "it has no mark");
        assert_eq!(refused(b"\x80\x05."), "it is a pickle of protocol 5, 2 is read");
        assert_eq!(refused(b"X\xff\xff\xff\xffabc."), "it is truncated");
        assert_eq!(refused(b"cposix"), "it has a name without end");
        assert_eq!(refused(b"h\x07."), "object 7 was not stored");
        assert!(refused(b"K\x01K\x02a.").starts_with("items are added to what is no list"));
        assert!(refused(b"}(K\x01u.").starts_with("items are added to what is no list"));
        // What other readers of pickles would import or execute: INST, OBJ, STACK_GLOBAL, EXT1.
        for instruction in [b'i', b'o', 0x93, 0x82] {
            let text = refused(&[instruction]);
            assert_eq!(text, format!("instruction {instruction:#04x} of a pickle is not known (byte 0)"));
        }
    }

    #[test]
    fn a_call_is_described_and_not_made() {
        let (nodes, root) = parse(b"cposix\nsystem\nX\x04\x00\x00\x00true\x85R.").unwrap();
        let Node::Call(callable, arguments) = nodes.get(root) else { panic!("{nodes:?}") };
        assert_eq!(nodes.global(*callable), Some("posix.system"));
        assert_eq!(nodes.tuple(*arguments).map(<[Id]>::len), Some(1));
    }

    /// Sharing that would be 2^60 objects when copied, and nesting that would end the stack of a recursive reader.
    #[test]
    fn bombs_stay_small() {
        let mut doubling = b")q\x00".to_vec();
        (0..60).for_each(|_| doubling.extend(b"h\x00h\x00\x86q\x00"));
        doubling.push(b'.');
        assert!(parse(&doubling).is_ok());
        let mut deep = b")".to_vec();
        deep.extend(std::iter::repeat_n(0x85, 1_000_000));
        deep.push(b'.');
        assert!(parse(&deep).is_ok());
        let mut many = vec![b'N'; MAX_NODES + 1];
        many.push(b'.');
        assert_eq!(refused(&many), format!("it describes more than {MAX_NODES} objects"));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        /// Bytes that are instructions more often than not.
        #[test]
        fn any_instructions(bytes in proptest::collection::vec(
            prop_oneof![Just(b'('), Just(b')'), Just(b'}'), Just(b']'), Just(b't'), Just(b'u'), Just(b's'), Just(b'R'),
                        Just(b'q'), Just(b'h'), Just(b'b'), Just(b'Q'), Just(0x85), Just(0x86), Just(0x87), Just(b'a'),
                        Just(b'e'), Just(b'N'), Just(b'K'), 0u8..4], 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
