//! Making an expression give the same answer each time: a loop over a mapping walks its keys in
//! order, and an error is told without the values it was about. Not here: what expressions may cost.
//!
//! The interpreter keeps mappings in a hash table seeded anew in each process. Left alone, a loop
//! over one, or an error that prints one, would differ from run to run, and so would the report.

use std::sync::Arc;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr};
use cel::objects::Key;
use cel::{ExecutionError, Value};

/// The function that loops walk through; the `@` keeps it out of what an author can write.
const ITEMS: &str = "@items";

/// Makes every loop in `tree` walk `@items(range)` instead of `range`.
pub(super) fn ordered(mut tree: IdedExpr) -> IdedExpr {
    order(&mut tree);
    tree
}

fn order(tree: &mut IdedExpr) {
    match &mut tree.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        Expr::Select(select) => order(&mut select.operand),
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| order(target));
            call.args.iter_mut().for_each(order);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(order),
        Expr::Map(map) => map.entries.iter_mut().for_each(entry),
        Expr::Struct(record) => record.entries.iter_mut().for_each(entry),
        Expr::Comprehension(loops) => {
            order(&mut loops.accu_init);
            order(&mut loops.loop_cond);
            order(&mut loops.loop_step);
            order(&mut loops.result);
            let mut range = std::mem::take(&mut loops.iter_range);
            order(&mut range);
            loops.iter_range = IdedExpr {
                id: range.id,
                expr: Expr::Call(CallExpr {
                    func_name: ITEMS.to_owned(),
                    target: None,
                    args: vec![range],
                }),
            };
        }
    }
}

fn entry(entry: &mut IdedEntryExpr) {
    match &mut entry.expr {
        EntryExpr::StructField(field) => order(&mut field.value),
        EntryExpr::MapEntry(entry) => {
            order(&mut entry.key);
            order(&mut entry.value);
        }
    }
}

/// Makes `@items` known: a list is its items, a mapping its keys in order.
pub(super) fn declare(context: &mut cel::Context<'_, '_>) {
    let declared = context.add_function(ITEMS, items);
    debug_assert!(
        declared.is_ok(),
        "because no standard function begins with `@`"
    );
}

fn items(range: Value) -> Result<Value, ExecutionError> {
    let Value::Map(map) = &range else {
        return Ok(range);
    };
    let mut keys: Vec<&Key> = map.map.keys().collect();
    keys.sort_by_cached_key(|key| match key {
        Key::Bool(value) => (0, i128::from(*value), String::new()),
        Key::Int(value) => (1, i128::from(*value), String::new()),
        Key::Uint(value) => (1, i128::from(*value), String::new()),
        Key::String(text) => (2, 0, text.as_ref().clone()),
    });
    let value = |key: &Key| match key {
        Key::Bool(value) => Value::Bool(*value),
        Key::Int(value) => Value::Int(*value),
        Key::Uint(value) => Value::UInt(*value),
        Key::String(text) => Value::String(Arc::clone(text)),
    };
    Ok(Value::List(Arc::new(keys.into_iter().map(value).collect())))
}

/// An error without the values it was about, which may be large, secret and without order.
pub(super) fn told(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("there is no key `{key:.64}`"),
        ExecutionError::UndeclaredReference(name) => {
            format!("there is no name or function `{name:.64}`")
        }
        ExecutionError::NoSuchOverload(overload) => format!(
            "`{}` does not work on {}",
            overload.function(),
            overload.argument_types().join(" and ")
        ),
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("a function takes {expected} arguments, not {actual}")
        }
        ExecutionError::UnexpectedType { got, want } => {
            format!("{got:.64} where {want:.64} is needed")
        }
        ExecutionError::Overflow(operator, ..) => format!("`{operator}` overflows"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "a division by zero".to_owned()
        }
        ExecutionError::IndexOutOfBounds(_) => "an index is out of range".to_owned(),
        ExecutionError::ValuesNotComparable(..) => "two values cannot be compared".to_owned(),
        ExecutionError::FunctionError { function, .. } => {
            format!("the function `{function:.64}` failed")
        }
        _ => "the types of the values do not fit".to_owned(),
    }
}
