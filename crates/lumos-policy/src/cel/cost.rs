//! A bound on what an expression may cost, from its syntax tree alone. Not here: the limits.
//!
//! Steps: every node counts one; what stands inside a comprehension counts once per item of the list
//! it walks; an operation that reads its operands through, such as `==` or `in`, counts one more for
//! every 16 KiB of text or 2 KiB of values they may hold. Bytes: how much a value may hold, so that chains of `x + x`, which
//! double with every link, are seen without running them.

use std::collections::HashMap;

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use crate::candidate::Size;

/// What a value and its computation are bounded by. All arithmetic saturates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Nodes visited.
    pub(crate) steps: u64,
    /// Bytes of the largest value built on the way.
    pub(crate) bytes: u64,
    /// Items of the value itself, when it is a list.
    items: u64,
    /// Items in the longest list inside the value.
    inner: u64,
    /// Bytes of the value itself, counted as if nothing were shared.
    held: u64,
}

/// A regular expression is compiled at each call.
const PATTERN_STEPS: u64 = 100;
/// Bytes of text that are read through in a few steps' time.
const TEXT_PER_STEP: u64 = 16 << 10;
/// Bytes of a document whose values are compared one by one in a few steps' time: measured, a
/// comparison of whole documents takes some 3 ms per MiB, six times what plain text takes.
const VALUES_PER_STEP: u64 = 2 << 10;
/// What a value holds besides its text.
const VALUE_BYTES: u64 = 16;

/// The bound of `tree` over a document of `size`.
pub(crate) fn bound(tree: &IdedExpr, size: Size) -> Bound {
    let mut names = HashMap::new();
    Walk {
        largest: size.largest.max(1),
        document: size.bytes,
        nesting: 0,
    }
    .walk(tree, &mut names)
}

type Names<'t> = HashMap<&'t str, Bound>;

struct Walk {
    largest: u64,
    /// Bytes of the document.
    document: u64,
    /// Comprehensions around the node.
    nesting: usize,
}

impl Bound {
    const fn of(items: u64, held: u64) -> Self {
        Self {
            steps: 1,
            bytes: held,
            items,
            inner: items,
            held,
        }
    }
}

impl Walk {
    fn walk<'t>(&mut self, tree: &'t IdedExpr, names: &mut Names<'t>) -> Bound {
        match &tree.expr {
            Expr::Unspecified => Bound {
                steps: 1,
                ..Bound::default()
            },
            Expr::Literal(literal) => {
                let text = match literal {
                    LiteralValue::String(text) => text.inner().len() as u64,
                    LiteralValue::Bytes(bytes) => bytes.inner().len() as u64,
                    _ => 0,
                };
                Bound::of(1, text + VALUE_BYTES)
            }
            Expr::Ident(name) => {
                let document = Bound::of(self.largest, self.document);
                names.get(name.as_str()).copied().unwrap_or(document)
            }
            Expr::Select(select) => {
                let operand = self.walk(&select.operand, names);
                let items = operand.inner;
                Bound {
                    steps: operand.steps.saturating_add(1),
                    items,
                    ..operand
                }
            }
            Expr::Call(call) => {
                let bounds: Vec<Bound> = call
                    .target
                    .iter()
                    .map(AsRef::as_ref)
                    .chain(&call.args)
                    .map(|argument| self.walk(argument, names))
                    .collect();
                called(&call.func_name, &bounds)
            }
            Expr::Comprehension(_) => self.comprehension(tree, names),
            Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => {
                let bounds: Vec<Bound> = children(tree)
                    .into_iter()
                    .map(|item| self.walk(item, names))
                    .collect();
                let all = sum(&bounds);
                let longest = bounds
                    .iter()
                    .map(|bound| bound.items.max(bound.inner))
                    .max();
                let items = bounds.len() as u64;
                let held = all.held.saturating_add(items * VALUE_BYTES);
                Bound {
                    items,
                    inner: longest.unwrap_or(0),
                    held,
                    bytes: all.bytes.max(held),
                    ..all
                }
            }
        }
    }

    fn comprehension<'t>(&mut self, tree: &'t IdedExpr, names: &mut Names<'t>) -> Bound {
        let Expr::Comprehension(loops) = &tree.expr else {
            return Bound::default();
        };
        let range = self.walk(&loops.iter_range, names);
        let init = self.walk(&loops.accu_init, names);
        let rounds = range.items.max(1);
        let item = Bound {
            steps: 1,
            items: range.inner,
            ..range
        };
        self.nesting += 1;
        let full = self.round(loops, item, names);
        // The items of a list share what the list holds. One round's result is convex in what its
        // item holds, so the rounds together hold most when one item holds everything. Asking
        // twice doubles the work with each nesting, hence the coarser bound further in.
        let empty = match self.nesting {
            ..=4 => self.round(loops, Bound { held: 0, ..item }, names),
            _ => full,
        };
        self.nesting -= 1;
        let step = full.step;
        let each = full.condition.steps.saturating_add(step.steps);
        // The range is copied once into the order it is walked in.
        let steps = [
            range.steps,
            range.held / VALUES_PER_STEP,
            init.steps,
            full.result.steps,
            rounds.saturating_mul(each),
            1,
        ];
        let held = (rounds - 1)
            .saturating_mul(empty.step.held)
            .saturating_add(step.held)
            .saturating_add(init.held);
        let bytes = [
            held,
            range.bytes,
            init.bytes,
            full.condition.bytes,
            step.bytes,
        ];
        Bound {
            steps: steps.into_iter().fold(0, u64::saturating_add),
            bytes: bytes.into_iter().max().unwrap_or(held),
            items: init.items.saturating_add(rounds.saturating_mul(step.items)),
            inner: init.inner.max(step.inner),
            held,
        }
    }

    /// One round of a comprehension over an item bounded by `item`.
    fn round<'t>(
        &mut self,
        loops: &'t ComprehensionExpr,
        item: Bound,
        names: &mut Names<'t>,
    ) -> Round {
        let mut bind = |name: &'t str, bound: Bound| (name, names.insert(name, bound));
        let mut shadowed = vec![bind(&loops.iter_var, item)];
        shadowed.extend(loops.iter_var2.as_deref().map(|name| bind(name, item)));
        // Only what one round adds is counted; the rounds multiply it.
        shadowed.push(bind(&loops.accu_var, Bound::default()));
        let round = Round {
            condition: self.walk(&loops.loop_cond, names),
            step: self.walk(&loops.loop_step, names),
            result: self.walk(&loops.result, names),
        };
        for (name, before) in shadowed.into_iter().rev() {
            match before {
                Some(before) => names.insert(name, before),
                None => names.remove(name),
            };
        }
        round
    }
}

#[derive(Clone, Copy)]
struct Round {
    condition: Bound,
    step: Bound,
    result: Bound,
}

fn sum(bounds: &[Bound]) -> Bound {
    let one = Bound {
        steps: 1,
        ..Bound::default()
    };
    let all = bounds.iter().fold(one, |a, b| Bound {
        steps: a.steps.saturating_add(b.steps),
        bytes: a.bytes.max(b.bytes),
        items: a.items.saturating_add(b.items),
        inner: a.inner.max(b.inner),
        held: a.held.saturating_add(b.held),
    });
    Bound {
        bytes: all.bytes.max(all.held),
        ..all
    }
}

fn called(name: &str, arguments: &[Bound]) -> Bound {
    let all = sum(arguments);
    let held = |bounds: &[Bound]| bounds.iter().map(|bound| bound.held).max().unwrap_or(0);
    // What gives true, false or a number after `more` steps.
    let scalar = |more: u64| Bound {
        steps: all.steps.saturating_add(more),
        bytes: arguments.iter().map(|bound| bound.bytes).max().unwrap_or(0),
        items: 1,
        inner: 1,
        held: 0,
    };
    // Two values are equal or not after the shorter was read.
    let shorter = arguments.iter().map(|bound| bound.held).min().unwrap_or(0);
    match name {
        operators::LOGICAL_AND
        | operators::LOGICAL_OR
        | operators::LOGICAL_NOT
        | operators::NOT_STRICTLY_FALSE => scalar(0),
        operators::EQUALS | operators::NOT_EQUALS => scalar(shorter / VALUES_PER_STEP),
        operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS => scalar(shorter / TEXT_PER_STEP),
        operators::IN => {
            let list = arguments.get(1).map_or(all.held, |list| list.held);
            scalar(list / VALUES_PER_STEP)
        }
        "size" | "contains" | "startsWith" | "endsWith" => scalar(all.held / TEXT_PER_STEP),
        "matches" => scalar((all.held / TEXT_PER_STEP).saturating_add(PATTERN_STEPS)),
        operators::INDEX => {
            let list = arguments.first().copied().unwrap_or_default();
            Bound {
                steps: all.steps,
                items: list.inner,
                ..list
            }
        }
        operators::CONDITIONAL => {
            let chosen = arguments.get(1..).unwrap_or_default();
            let items = chosen.iter().map(|bound| bound.items).max().unwrap_or(0);
            Bound {
                items,
                held: held(chosen),
                ..all
            }
        }
        _ => Bound {
            steps: all.steps.saturating_add(all.held / TEXT_PER_STEP),
            ..all
        },
    }
}

/// The parts of `tree`, one level down.
pub(crate) fn children(tree: &IdedExpr) -> Vec<&IdedExpr> {
    fn entry(entry: &EntryExpr) -> Vec<&IdedExpr> {
        match entry {
            EntryExpr::StructField(field) => vec![&field.value],
            EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        }
    }
    match &tree.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => vec![],
        Expr::Select(select) => vec![&*select.operand],
        Expr::Call(call) => call
            .target
            .iter()
            .map(AsRef::as_ref)
            .chain(&call.args)
            .collect(),
        Expr::Comprehension(loops) => vec![
            &loops.iter_range,
            &loops.accu_init,
            &loops.loop_cond,
            &loops.loop_step,
            &loops.result,
        ],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|e| entry(&e.expr)).collect(),
        Expr::Struct(record) => record.entries.iter().flat_map(|e| entry(&e.expr)).collect(),
    }
}

/// How deep `tree` is.
pub(crate) fn depth(tree: &IdedExpr) -> usize {
    1 + children(tree).into_iter().map(depth).max().unwrap_or(0)
}
