//! Arrays that joblib writes into the pickle stream, between one opcode and the next.
//!
//! `joblib.numpy_pickle.NumpyArrayWrapper` is rebuilt with a state of `shape`, `dtype`, `order` and
//! `numpy_array_alignment_bytes`; right after its `BUILD` follow a length byte of 1 to 16, that much padding, and the
//! bytes of the array. That length byte is no opcode, so `pickle.load` stops where `joblib.load` goes on: the two
//! cannot be made to see different programs. Older forms without it, and arrays of objects, could be read in two ways
//! and end the scan. Not here: judging anything.

use super::{
    input::Input,
    machine::{Halt, Machine, Value},
};

const UNCLEAR: Halt = Halt::Bound("an array of joblib whose size is not plain");

/// What was learned about the state of the wrapper whose array is about to follow.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Array {
    /// The dictionary this was learned from.
    dict: u32,
    shape: Option<Value>,
    dtype: Option<Value>,
    aligned: bool,
    /// Whether the dictionary was also set in a way that was not followed.
    unclear: bool,
}

impl Array {
    /// Takes in the `items` (key, value, key, value…) that are set in `dict`.
    pub(super) fn note(&mut self, machine: &Machine<'_>, dict: u32, items: &[Value]) {
        if dict != self.dict {
            *self = Self {
                dict,
                ..Self::default()
            };
        }
        self.unclear |= items.len() > 32;
        for pair in items.chunks(2).take(16) {
            match *pair {
                [Value::Text(key), value] => match machine.text_at(key) {
                    "shape" => self.shape = Some(value),
                    "dtype" => self.dtype = Some(value),
                    "numpy_array_alignment_bytes" => self.aligned = matches!(value, Value::Int(_)),
                    _ => {}
                },
                // A key that was not read could be any of them.
                _ => self.unclear = true,
            }
        }
    }
}

pub(super) fn is_wrapper(module: &str, name: &str) -> bool {
    name == "NumpyArrayWrapper"
        && matches!(
            module,
            "joblib.numpy_pickle" | "sklearn.externals.joblib.numpy_pickle"
        )
}

/// The value of `numpy.dtype("f8", …)`: its arguments, so that the size can be read off later.
pub(super) fn dtype(machine: &Machine<'_>, made: Value, args: Value) -> Option<Value> {
    let Value::Made(index) = made else {
        return None;
    };
    (machine.global_at(index) == Some(("numpy", "dtype"))).then_some(args)
}

/// Refuses a wrapper that is handed to another callable to be built: what comes out cannot be followed.
pub(super) fn refuse_indirect(machine: &Machine<'_>, args: &[Value]) -> Result<(), Halt> {
    let is_wrapper = |value: &Value| match value {
        Value::Global(index) => machine
            .global_at(*index)
            .is_some_and(|(m, n)| is_wrapper(m, n)),
        _ => false,
    };
    if args.iter().any(is_wrapper) {
        return Err(UNCLEAR);
    }
    Ok(())
}

pub(super) fn skip_array(
    machine: &Machine<'_>,
    array: Array,
    state: Value,
    input: &mut Input<'_>,
) -> Result<(), Halt> {
    if !array.aligned || array.unclear || state != Value::Dict(array.dict) {
        return Err(UNCLEAR);
    }
    let Some(Value::Tuple(dtype)) = array.dtype else {
        return Err(UNCLEAR);
    };
    let Some(Value::Text(code)) = machine.tuple_at(dtype).first().copied() else {
        return Err(UNCLEAR);
    };
    let code = machine.text_at(code);
    let width = code.get(1..).and_then(|width| width.parse::<u64>().ok());
    // The width of text and records may be changed by the state of the dtype, so only plain numbers are plain.
    let width = match (code.get(..1), width) {
        (Some("b" | "i" | "u" | "f" | "c" | "m" | "M"), width) => width,
        _ => None,
    };
    let mut bytes = width.ok_or(UNCLEAR)?;
    let dimensions = match array.shape {
        Some(Value::Tuple(shape)) => machine.tuple_at(shape),
        // An array of no dimensions has one element.
        Some(Value::EmptyTuple) => &[],
        _ => return Err(UNCLEAR),
    };
    for dimension in dimensions {
        let Value::Int(n) = dimension else {
            return Err(UNCLEAR);
        };
        bytes = bytes.checked_mul(u64::from(*n)).ok_or(UNCLEAR)?;
    }
    let padding = input.byte()?;
    if !(1..=16).contains(&padding) {
        return Err(UNCLEAR);
    }
    input.skip(u64::from(padding))?;
    input.skip(bytes)
}
