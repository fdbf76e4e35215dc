//! One CEL expression: bounded, parsed, costed before it runs, evaluated over a candidate.
//! Not here: what its result means for a rule.
//!
//! CEL always ends, but a few nested comprehensions end after hours, and the interpreter has no
//! budget of its own. So nothing runs whose cost, bounded from the syntax tree and the size of the
//! candidate, is above [`COST_LIMIT`] (the unit of the Kubernetes API server: one visited node).

pub(crate) mod cost;
mod order;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr, LiteralValue};
use serde_json::Value;

use crate::candidate::{Candidate, Size};
use crate::check::paths::brief;
use crate::path::Path;

/// Most bytes of one expression.
pub const MAX_SOURCE: usize = 4_096;
/// Deepest nesting of brackets in one expression.
pub const MAX_NESTING: usize = 16;
/// Most operators, dots and commas in one expression.
pub const MAX_OPERATORS: usize = 256;
/// Deepest syntax tree of one expression, macros expanded.
pub const MAX_DEPTH: usize = 64;
/// Most steps an expression may take.
pub const COST_LIMIT: u64 = 1_000_000;
/// Most bytes an expression may build.
pub const VALUE_LIMIT: u64 = 64 << 20;
/// The largest list assumed while there is no candidate yet (reading, lint).
pub const ASSUMED: Size = Size {
    largest: 32,
    bytes: 64 << 10,
};

/// Why an expression was refused or could not be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CelError {
    /// Too long, nested too deep or with too many operators.
    #[error("the expression has {0}; write two rules, or a declarative check")]
    TooLong(String),
    /// Not CEL.
    #[error("the expression is not CEL: {0}")]
    Syntax(String),
    /// It could take more steps than [`COST_LIMIT`].
    #[error(
        "the expression could take {cost} steps over lists of {largest}, more than {COST_LIMIT}"
    )]
    TooCostly {
        /// The bound on its steps.
        cost: u64,
        /// The largest list it was computed for.
        largest: u64,
    },
    /// It could build values larger than [`VALUE_LIMIT`].
    #[error("the expression could build {0} bytes, more than {VALUE_LIMIT}")]
    TooLarge(u64),
    /// A pattern given to `matches` is not a plain text, or no regular expression within limits.
    #[error("a pattern in `matches`: {0}")]
    Pattern(String),
    /// It failed while running: a missing key, a wrong type, an overflow.
    #[error("evaluating the expression: {0}")]
    Run(String),
    /// It gave something else than was asked for.
    #[error("the expression gave {found}, not {expected}")]
    WrongType {
        /// What was asked for.
        expected: &'static str,
        /// What it gave.
        found: String,
    },
}

impl CelError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "cel-too-long",
            Self::Syntax(_) => "cel-syntax",
            Self::TooCostly { .. } | Self::TooLarge(_) => "cel-too-costly",
            Self::Pattern(_) => "cel-bad-pattern",
            Self::Run(_) => "cel-failed",
            Self::WrongType { .. } => "cel-wrong-type",
        }
    }
}

/// A parsed expression.
#[derive(Clone)]
pub struct Cel {
    source: String,
    /// As written: what costs, lint and messages look at.
    tree: Arc<IdedExpr>,
    /// With every loop in order: what runs.
    runs: Arc<IdedExpr>,
}

impl fmt::Debug for Cel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cel").field(&self.source).finish()
    }
}

impl PartialEq for Cel {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Cel {
    /// Reads one expression and refuses what is too long, no CEL, or too costly already over lists
    /// of [`ASSUMED`] length.
    ///
    /// # Errors
    /// Says which, in the words of the rule's author.
    pub fn parse(source: &str) -> Result<Self, CelError> {
        measure(source)?;
        let program = cel::Program::compile(source)
            .map_err(|errors| CelError::Syntax(first_line(&errors)))?;
        let tree = program.expression().clone();
        if cost::depth(&tree) > MAX_DEPTH {
            return Err(CelError::TooLong(format!(
                "a syntax tree deeper than {MAX_DEPTH}"
            )));
        }
        check_patterns(&tree)?;
        let cel = Self {
            source: source.to_owned(),
            runs: Arc::new(order::ordered(tree.clone())),
            tree: Arc::new(tree),
        };
        cel.afford(ASSUMED)?;
        Ok(cel)
    }

    /// The expression as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// A bound on the steps this expression takes over a document of `size`.
    #[must_use]
    pub fn cost(&self, size: Size) -> u64 {
        cost::bound(&self.tree, size).steps
    }

    /// Whether this expression may run over a document of `size`.
    fn afford(&self, size: Size) -> Result<(), CelError> {
        let bound = cost::bound(&self.tree, size);
        if bound.steps > COST_LIMIT {
            return Err(CelError::TooCostly {
                cost: bound.steps,
                largest: size.largest,
            });
        }
        if bound.bytes > VALUE_LIMIT {
            return Err(CelError::TooLarge(bound.bytes));
        }
        Ok(())
    }

    pub(crate) fn tree(&self) -> &IdedExpr {
        &self.tree
    }

    fn run(&self, scope: &Scope<'_, '_>) -> Result<cel::Value, CelError> {
        self.afford(scope.size)?;
        cel::Value::resolve(&self.runs, &scope.context)
            .map_err(|error| CelError::Run(order::told(&error)))
    }

    /// The truth of this expression in `scope`.
    pub(crate) fn holds(&self, scope: &Scope<'_, '_>) -> Result<bool, CelError> {
        match self.run(scope)? {
            cel::Value::Bool(truth) => Ok(truth),
            other => Err(wrong_type("true or false", &other)),
        }
    }

    /// The text this expression gives in `scope`.
    pub(crate) fn text(&self, scope: &Scope<'_, '_>) -> Result<String, CelError> {
        match self.run(scope)? {
            cel::Value::String(text) => Ok(text.as_ref().clone()),
            other => Err(wrong_type("text", &other)),
        }
    }

    /// The kinds of evidence this expression names.
    pub(crate) fn kinds(&self) -> BTreeSet<String> {
        let mut kinds = BTreeSet::new();
        for chain in self.chains() {
            let words: Vec<&str> = chain.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["evidence", kind, ..] | ["candidate", "evidence", kind, ..] => {
                    kinds.insert((*kind).to_owned());
                }
                _ => {}
            }
        }
        kinds
    }

    /// The single values this expression names, with what they are: what a reader of a failure
    /// wants to see.
    pub(crate) fn values(&self, candidate: &Candidate) -> String {
        let mut shown: Vec<String> = Vec::new();
        for chain in self.chains() {
            let Ok(path) = chain.join(".").parse::<Path>() else {
                continue;
            };
            let Some(value) = path.find(candidate) else {
                continue;
            };
            let told = format!("{path} is {}", brief(value));
            if !matches!(value, Value::Array(_) | Value::Object(_)) && !shown.contains(&told) {
                shown.push(told);
            }
        }
        shown.truncate(4);
        if shown.is_empty() {
            "false".to_owned()
        } else {
            shown.join(", ")
        }
    }

    /// The names this expression reads under `params`; `None` when it takes `params` as a whole.
    pub(crate) fn params(&self) -> Option<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for chain in self
            .chains()
            .into_iter()
            .filter(|chain| chain[0] == "params")
        {
            names.insert(chain.get(1)?.clone());
        }
        Some(names)
    }

    /// Every longest chain of field selections on a name.
    fn chains(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        collect_chains(&self.tree, &mut found);
        found
    }
}

fn collect_chains(tree: &IdedExpr, found: &mut Vec<Vec<String>>) {
    if let Some(chain) = chain(tree) {
        found.push(chain);
        return;
    }
    cost::children(tree)
        .into_iter()
        .for_each(|child| collect_chains(child, found));
}

fn chain(tree: &IdedExpr) -> Option<Vec<String>> {
    match &tree.expr {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) => {
            let mut names = chain(&select.operand)?;
            names.push(select.field.clone());
            Some(names)
        }
        _ => None,
    }
}

fn wrong_type(expected: &'static str, found: &cel::Value) -> CelError {
    CelError::WrongType {
        expected,
        found: format!("a value of type {}", found.type_of()),
    }
}

/// The first line of a message, cut to what fits a report.
fn first_line(message: &impl ToString) -> String {
    message
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(240)
        .collect()
}

/// What can be counted before parsing, so that a hostile text never reaches the parser's recursion.
fn measure(source: &str) -> Result<(), CelError> {
    let refuse = |what: String| Err(CelError::TooLong(what));
    if source.len() > MAX_SOURCE {
        return refuse(format!("more than {MAX_SOURCE} bytes"));
    }
    let (mut nesting, mut deepest, mut operators) = (0usize, 0, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => {
                nesting += 1;
                deepest = deepest.max(nesting);
            }
            b')' | b']' | b'}' => nesting = nesting.saturating_sub(1),
            b'!' | b'-' | b'+' | b'*' | b'/' | b'%' | b'.' | b'?' | b',' | b'<' | b'>' | b'='
            | b'&' | b'|' | b':' => operators += 1,
            _ => {}
        }
    }
    if deepest > MAX_NESTING {
        return refuse(format!("brackets nested deeper than {MAX_NESTING}"));
    }
    if operators > MAX_OPERATORS {
        return refuse(format!("more than {MAX_OPERATORS} operators"));
    }
    Ok(())
}

/// A pattern must be a literal: one read from a candidate would be chosen by whoever is judged.
fn check_patterns(tree: &IdedExpr) -> Result<(), CelError> {
    if let Expr::Call(call) = &tree.expr
        && call.func_name == "matches"
    {
        match call.args.last().map(|argument| &argument.expr) {
            Some(Expr::Literal(LiteralValue::String(pattern))) => {
                compile_pattern(pattern.inner()).map_err(CelError::Pattern)?;
            }
            _ => return Err(CelError::Pattern("must be a plain text".to_owned())),
        }
    }
    cost::children(tree)
        .into_iter()
        .try_for_each(check_patterns)
}

/// A regular expression within 256 KiB of compiled size; the engine is linear in its input.
pub(crate) fn compile_pattern(pattern: &str) -> Result<regex::Regex, String> {
    if pattern.len() > 1_024 {
        return Err("longer than 1024 bytes".to_owned());
    }
    regex::RegexBuilder::new(pattern)
        .size_limit(256 << 10)
        .dfa_size_limit(1 << 20)
        .nest_limit(32)
        .build()
        .map_err(|error| {
            let text = error.to_string();
            let line = text.lines().last().unwrap_or_default().trim().to_owned();
            format!("`{pattern:.64}` is no regular expression that can be used: {line}")
        })
}

/// The names an expression can see.
pub(crate) struct Scope<'p, 'v> {
    context: cel::Context<'p, 'v>,
    size: Size,
}

impl Scope<'static, 'static> {
    /// `candidate`, `evidence` and `params`, converted once for all rules.
    pub(crate) fn new(candidate: &Candidate, params: &Value) -> Self {
        let mut context = cel::Context::default();
        order::declare(&mut context);
        let document = to_cel(candidate.value());
        let evidence = candidate
            .value()
            .get("evidence")
            .map_or(cel::Value::Null, to_cel);
        context.add_variable_from_value("candidate", document);
        context.add_variable_from_value("evidence", evidence);
        context.add_variable_from_value("params", to_cel(params));
        Self {
            context,
            size: candidate.size(),
        }
    }
}

impl Scope<'_, '_> {
    /// This scope with `observed` and `expected` beside it, for a message.
    pub(crate) fn with(&self, observed: &str, expected: &str) -> Scope<'_, '_> {
        let mut context = self.context.new_inner_scope();
        context.add_variable_from_value("observed", observed);
        context.add_variable_from_value("expected", expected);
        Scope {
            context,
            size: self.size,
        }
    }
}

/// Whole numbers become CEL `int` wherever they fit, so that `count + 1` needs no `u`.
fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(truth) => cel::Value::Bool(*truth),
        Value::Number(number) => number
            .as_i64()
            .map(cel::Value::Int)
            .or_else(|| number.as_u64().map(cel::Value::UInt))
            .or_else(|| number.as_f64().map(cel::Value::Float))
            .unwrap_or(cel::Value::Null),
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(members) => {
            let members: HashMap<String, cel::Value> = members
                .iter()
                .map(|(name, value)| (name.clone(), to_cel(value)))
                .collect();
            cel::Value::Map(members.into())
        }
    }
}
