//! The abstract pickle machine: stack, marks and memo hold what kind of thing a value is, not the value.
//!
//! Not here: judging names. Where `CPython` would stop with an error, this stops too; where it is laxer than
//! `CPython` it only ever sees more of the bytes.

mod argument;
mod import;
mod memo;

use std::io;

use self::{
    argument::{length_of, number},
    memo::Memo,
};
use super::{Report, globals, input::Input, joblib};

/// Why the machine stopped before `STOP`.
#[derive(Debug)]
pub(super) enum Halt {
    Malformed(&'static str),
    Bound(&'static str),
    Io(io::Error),
}

impl Halt {
    pub(super) const TRUNCATED: Self = Self::Malformed("the bytes end inside the pickle");
    const UNDERFLOW: Self = Self::Malformed("the stack is empty where a value is needed");
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        // A decoder under us that met broken packed bytes ends the pickle; only the outside world is an error.
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput => {
                Self::Malformed("the packed bytes break off inside the pickle")
            }
            _ => Self::Io(error),
        }
    }
}

/// What is known of a value. `u32` fields index what the machine remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing that matters here.
    Other,
    /// Text whose bytes are remembered.
    Text(u32),
    /// Text that was not remembered because it cannot be a usual name.
    Odd,
    /// A value that was not remembered because memory for it ran out.
    Lost,
    /// An imported name.
    Global(u32),
    /// What a call of an imported name gave, or an instance of it.
    Made(u32),
    /// A small whole number.
    Int(u32),
    /// The empty tuple.
    EmptyTuple,
    /// A dictionary that began empty, by number.
    Dict(u32),
    /// A tuple of up to eight remembered values.
    Tuple(u32),
}

const STACK_MAX: usize = 4 << 20;
const GLOBALS_MAX: usize = 1 << 16;
const TEXT_BYTES_MAX: usize = 64 << 20;
const TEXTS_MAX: usize = 16 << 20;
/// No module path or name that is on a list is longer.
const NAME_BYTES_MAX: usize = 256;

pub(super) struct Machine<'a> {
    report: &'a mut Report,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: Memo,
    text: Vec<u8>,
    text_ends: Vec<u32>,
    globals: Vec<(String, String)>,
    tuples: Vec<[Value; 8]>,
    /// What the last dictionary items said about an array that joblib wrote beside the pickle.
    pub(super) array: joblib::Array,
    called: bool,
    dicts: u32,
}

impl<'a> Machine<'a> {
    pub(super) fn new(report: &'a mut Report) -> Self {
        Self {
            report,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Memo::default(),
            text: Vec::new(),
            text_ends: Vec::new(),
            globals: Vec::new(),
            tuples: Vec::new(),
            array: joblib::Array::default(),
            called: false,
            dicts: 0,
        }
    }

    /// Whether a callable has run.
    pub(super) fn called(&self) -> bool {
        self.called
    }

    /// Whether anything was imported, by name or otherwise.
    pub(super) fn imported(&self) -> bool {
        !self.globals.is_empty() || self.called
    }

    /// Runs to `STOP`.
    pub(super) fn run(&mut self, input: &mut Input<'_>) -> Result<(), Halt> {
        loop {
            let op = input.byte()?;
            match op {
                b'.' => return self.pop().map(|_| ()),
                b'(' => {
                    if self.marks.len() >= STACK_MAX {
                        return Err(Halt::Bound("more marks than the scanner keeps"));
                    }
                    self.marks.push(self.stack.len());
                }
                b'N' | 0x88 | 0x89 | b']' | 0x8f | 0x97 => self.push(Value::Other)?,
                b')' => self.push(Value::EmptyTuple)?,
                b'}' => {
                    self.dicts = self.dicts.wrapping_add(1);
                    self.push(Value::Dict(self.dicts))?;
                }
                0x8c | b'X' | 0x8d | b'U' | b'T' | b'S' | b'V' => {
                    let value = self.text_of(op, input)?;
                    self.push(value)?;
                }
                b'K' | b'M' | b'J' | b'G' | b'I' | b'F' | b'L' | 0x8a | 0x8b => {
                    let value = number(op, input)?;
                    self.push(value)?;
                }
                b'C' | b'B' | 0x8e | 0x96 => {
                    let length = length_of(op, input)?;
                    input.skip(length)?;
                    self.push(Value::Other)?;
                }
                0x94 | b'q' | b'r' | b'p' | b'h' | b'j' | b'g' => self.memo_op(op, input)?,
                b'c' | b'i' | 0x93 | 0x82..=0x84 | b'P' | b'Q' => self.import_op(op, input)?,
                b'R' | b'o' | 0x81 | 0x92 => self.call_op(op)?,
                b'b' => self.build(input)?,
                0x80 => {
                    if input.byte()? > 5 {
                        return Err(Halt::Malformed("the protocol is above 5"));
                    }
                }
                0x95 => input.skip(8)?,
                _ => self.stack_op(op)?,
            }
        }
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), Halt> {
        if self.stack.len() >= STACK_MAX {
            return Err(Halt::Bound(
                "more values on the stack than the scanner keeps",
            ));
        }
        self.stack.push(value);
        Ok(())
    }

    /// Pops a value; like `CPython` it never reaches below the last mark.
    pub(super) fn pop(&mut self) -> Result<Value, Halt> {
        if self
            .marks
            .last()
            .is_some_and(|mark| self.stack.len() <= *mark)
        {
            return Err(Halt::UNDERFLOW);
        }
        self.stack.pop().ok_or(Halt::UNDERFLOW)
    }

    pub(super) fn top(&self) -> Result<Value, Halt> {
        if self
            .marks
            .last()
            .is_some_and(|mark| self.stack.len() <= *mark)
        {
            return Err(Halt::UNDERFLOW);
        }
        self.stack.last().copied().ok_or(Halt::UNDERFLOW)
    }

    fn mark(&mut self) -> Result<usize, Halt> {
        self.marks
            .pop()
            .ok_or(Halt::Malformed("a mark is needed and there is none"))
    }

    fn stack_op(&mut self, op: u8) -> Result<(), Halt> {
        match op {
            b'0' => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => {
                let mark = self.mark()?;
                self.stack.truncate(mark);
            }
            b'2' => {
                let top = self.top()?;
                self.push(top)?;
            }
            b't' => {
                let mark = self.mark()?;
                let value = self.tuple_from(mark);
                self.stack.truncate(mark);
                self.push(value)?;
            }
            0x85..=0x87 => {
                let n = usize::from(op - 0x84);
                let floor = self.marks.last().copied().unwrap_or(0);
                let from = self
                    .stack
                    .len()
                    .checked_sub(n)
                    .filter(|from| *from >= floor);
                let from = from.ok_or(Halt::UNDERFLOW)?;
                let value = self.tuple_from(from);
                self.stack.truncate(from);
                self.push(value)?;
            }
            b'd' | b'l' | 0x91 => {
                let mark = self.mark()?;
                self.stack.truncate(mark);
                self.push(Value::Other)?;
            }
            b'a' => {
                self.pop()?;
                self.top()?;
            }
            b's' => {
                let from = self.stack.len().checked_sub(2).ok_or(Halt::UNDERFLOW)?;
                self.set_items(from)?;
            }
            b'e' | 0x90 => {
                let mark = self.mark()?;
                self.stack.truncate(mark);
                self.top()?;
            }
            b'u' => {
                let mark = self.mark()?;
                self.set_items(mark)?;
            }
            0x98 => {
                self.top()?;
            }
            _ => return Err(Halt::Malformed("a byte is no opcode")),
        }
        Ok(())
    }

    /// Takes the items from `from` off the stack; the dictionary they go into stays.
    fn set_items(&mut self, from: usize) -> Result<(), Halt> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let below = from.checked_sub(1).filter(|below| *below >= floor);
        let dict = below.and_then(|below| self.stack.get(below).copied());
        self.note_items(dict.ok_or(Halt::UNDERFLOW)?, from);
        self.stack.truncate(from);
        Ok(())
    }

    /// Remembers what `items`, on the stack from `from`, set in the dictionary below them. Costs nothing until a
    /// wrapper of joblib has been imported.
    fn note_items(&mut self, dict: Value, from: usize) {
        let Value::Dict(dict) = dict else { return };
        if self.globals.iter().any(|(m, n)| joblib::is_wrapper(m, n)) {
            let mut array = self.array;
            array.note(self, dict, self.stack.get(from..).unwrap_or_default());
            self.array = array;
        }
    }

    fn tuple_from(&mut self, from: usize) -> Value {
        let items = self.stack.get(from..).unwrap_or_default();
        let useful = items.iter().any(|v| !matches!(v, Value::Other));
        if items.len() > 8 || !useful || self.globals.is_empty() {
            return Value::Other;
        }
        let (true, Ok(index)) = (
            self.tuples.len() < STACK_MAX / 4,
            u32::try_from(self.tuples.len()),
        ) else {
            return Value::Other;
        };
        // `Lost` marks the places after the end: no opcode pushes it onto the stack on purpose.
        let mut tuple = [Value::Lost; 8];
        tuple[..items.len()].copy_from_slice(items);
        self.tuples.push(tuple);
        Value::Tuple(index)
    }

    pub(super) fn tuple_at(&self, index: u32) -> &[Value] {
        let tuple = usize::try_from(index).ok().and_then(|i| self.tuples.get(i));
        let tuple = tuple.map_or(&[][..], |tuple| &tuple[..]);
        let length = tuple
            .iter()
            .position(|v| *v == Value::Lost)
            .unwrap_or(tuple.len());
        &tuple[..length]
    }

    pub(super) fn text_at(&self, index: u32) -> &str {
        let Ok(index) = usize::try_from(index) else {
            return "";
        };
        let end_of = |index: usize| usize::try_from(*self.text_ends.get(index)?).ok();
        let start = index.checked_sub(1).map_or(Some(0), end_of);
        let bytes = start
            .zip(end_of(index))
            .and_then(|(start, end)| self.text.get(start..end));
        bytes
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    fn remember(&mut self, bytes: &[u8]) -> Value {
        if !bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"_.<>|=-".contains(b))
        {
            return Value::Odd;
        }
        let end = self.text.len() + bytes.len();
        if end > TEXT_BYTES_MAX || self.text_ends.len() >= TEXTS_MAX {
            return Value::Lost;
        }
        let (Ok(index), Ok(end)) = (u32::try_from(self.text_ends.len()), u32::try_from(end)) else {
            return Value::Lost;
        };
        self.text.extend_from_slice(bytes);
        self.text_ends.push(end);
        Value::Text(index)
    }

    fn text_of(&mut self, op: u8, input: &mut Input<'_>) -> Result<Value, Halt> {
        if matches!(op, b'S' | b'V') {
            let Some(line) = input.line()? else {
                return Ok(Value::Odd);
            };
            if op == b'V' {
                return Ok(self.remember(line));
            }
            return match line {
                [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => Ok(self.remember(inner)),
                _ => Err(Halt::Malformed("a string has no quotes")),
            };
        }
        let length = length_of(op, input)?;
        match usize::try_from(length) {
            Ok(length) if length <= NAME_BYTES_MAX => {
                let bytes = input.take(length)?;
                Ok(self.remember(bytes))
            }
            _ => {
                input.skip(length)?;
                Ok(Value::Odd)
            }
        }
    }

    fn memo_op(&mut self, op: u8, input: &mut Input<'_>) -> Result<(), Halt> {
        let index = match op {
            0x94 => self.memo.used,
            b'q' | b'h' => u64::from(input.byte()?),
            b'r' | b'j' => u64::from(u32::from_le_bytes(input.array()?)),
            _ => {
                let line = input
                    .line()?
                    .and_then(|line| std::str::from_utf8(line).ok());
                let index = line.and_then(|line| line.trim().parse().ok());
                index.ok_or(Halt::Malformed("a memo index is no number"))?
            }
        };
        if matches!(op, b'h' | b'j' | b'g') {
            let value = self.memo.get(index)?;
            self.push(value)
        } else {
            let top = self.top()?;
            self.memo.put(index, top)
        }
    }

    fn call_op(&mut self, op: u8) -> Result<(), Halt> {
        let mut args = Value::Other;
        let callable = match op {
            b'o' => {
                let mark = self.mark()?;
                let callable = self.stack.get(mark).copied();
                joblib::refuse_indirect(self, self.stack.get(mark + 1..).unwrap_or_default())?;
                self.stack.truncate(mark);
                callable.ok_or(Halt::UNDERFLOW)?
            }
            0x92 => {
                self.pop()?;
                self.pop()?;
                self.pop()?
            }
            _ => {
                args = self.pop()?;
                self.pop()?
            }
        };
        if let Value::Tuple(args) = args {
            joblib::refuse_indirect(self, self.tuple_at(args))?;
        }
        let made = self.call(callable);
        let made = joblib::dtype(self, made, args).unwrap_or(made);
        self.push(made)
    }

    fn call(&mut self, callable: Value) -> Value {
        self.called = true;
        if let Value::Global(index) = callable {
            return Value::Made(index);
        }
        self.report.computed_calls += 1;
        Value::Other
    }

    /// `BUILD` calls `__setstate__`, and it is where joblib puts the bytes of an array into the stream.
    fn build(&mut self, input: &mut Input<'_>) -> Result<(), Halt> {
        let state = self.pop()?;
        let object = self.top()?;
        self.called = true;
        if let Value::Made(index) = object
            && self
                .global_at(index)
                .is_some_and(|(module, name)| joblib::is_wrapper(module, name))
        {
            let array = std::mem::take(&mut self.array);
            joblib::skip_array(self, array, state, input)?;
            // What stands there now is the array.
            self.pop()?;
            return self.push(Value::Other);
        }
        Ok(())
    }
}
