//! The shape of the candidate document as expressions see it, and the walk that holds an expression
//! against it: a misspelt field is found before anything runs. Not here: reading candidates.
//!
//! CEL here has no type checker: without this walk `candidate.model.teir` would be an error on the
//! day it is first judged, and block a release for a typing mistake.

use std::collections::BTreeMap;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use serde_json::Value;

use crate::cel::{Cel, cost};
use crate::decode::{did_you_mean, nearest};
use crate::path::Path;

/// What can stand at a place of the document.
enum Shape {
    /// Anything: the claims of kinds that LUMOS does not define.
    Any,
    /// Text, a number, true, false or null.
    One,
    /// A list of these.
    List(&'static Shape),
    /// A mapping with exactly these fields.
    Fields(&'static [(&'static str, &'static Shape)]),
    /// A mapping with these fields and others of the second shape.
    Open(&'static [(&'static str, &'static Shape)], &'static Shape),
}

use Shape::{Any, Fields, List, One, Open};

const CANDIDATE: &Shape = &Fields(&[
    ("schema", &One),
    (
        "model",
        &Fields(&[
            ("name", &One),
            ("tier", &One),
            ("purpose", &One),
            ("frameworks", &List(&One)),
        ]),
    ),
    ("release", RELEASE),
    ("manifest", MANIFEST),
    ("evidence", EVIDENCE),
]);
const RELEASE: &Shape = &Fields(&[
    ("version", &One),
    ("digest", &One),
    ("environment", &One),
    ("agents", &List(&One)),
    ("depth", &One),
    ("change", &Fields(&[("kind", &One), ("tier", &One)])),
    ("test", &One),
    ("sandbox", &One),
]);
const MANIFEST: &Shape = &Fields(&[
    (
        "parts",
        &List(&Fields(&[
            ("kind", &One),
            ("path", &One),
            ("size", &One),
            ("sha256", &One),
            ("format", &One),
        ])),
    ),
    ("bytes", &One),
    ("formats", &List(&One)),
]);
const EVIDENCE: &Shape = &Open(
    &[
        ("artifact_scan", RECORDS_SCAN),
        ("model_card", RECORDS_CARD),
        ("licence", RECORDS_LICENCE),
        ("evaluation", RECORDS_METRICS),
        ("fairness", RECORDS_METRICS),
    ],
    RECORDS,
);

macro_rules! records {
    ($claim:expr) => {
        &List(&Fields(&[
            ("digest", &One),
            ("producer", &One),
            ("recorded_at", &One),
            ("claim", $claim),
        ]))
    };
}

const RECORDS: &Shape = records!(&Any);
const RECORDS_SCAN: &Shape = records!(&Fields(&[
    ("tool", &One),
    ("tool_version", &One),
    ("confinement", &List(&One)),
    ("files", &One),
    ("bytes", &One),
    (
        "findings",
        &List(&Fields(&[
            ("code", &One),
            ("severity", &One),
            ("path", &One),
            ("detail", &One),
        ]))
    ),
    (
        "not_fully_scanned",
        &List(&Fields(&[("path", &One), ("reason", &One)]))
    ),
]));
const RECORDS_CARD: &Shape = records!(&Fields(&[
    ("path", &One),
    ("license", &One),
    ("front_matter", &Any),
    (
        "sections",
        &List(&Fields(&[("title", &One), ("words", &One)]))
    ),
    ("problems", &List(&One)),
]));
const RECORDS_LICENCE: &Shape = records!(&Fields(&[
    (
        "sources",
        &List(&Fields(&[
            ("source", &One),
            ("path", &One),
            ("expression", &One)
        ]))
    ),
    ("contradiction", &One),
    ("expressions", &List(&One)),
]));
const RECORDS_METRICS: &Shape = records!(&Open(
    &[(
        "metrics",
        &List(&Fields(&[
            ("suite", &One),
            ("name", &One),
            ("slice", &One),
            ("value", &One),
        ]))
    )],
    &Any,
));

/// The functions of the CEL standard library as the interpreter has them.
const FUNCTIONS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "bytes",
    "type",
    "dyn",
];
/// Names that stand for types.
const TYPES: &[&str] = &[
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
];

/// What is wrong with an expression, and whether it is certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) certain: bool,
    pub(crate) text: String,
}

/// Holds `cel` against the shape of the document. `extra` are further names it may use.
pub(crate) fn check_cel(
    cel: &Cel,
    params: &BTreeMap<String, Value>,
    extra: &[&'static str],
) -> Vec<Problem> {
    let mut walk = Walk {
        params,
        extra,
        names: Vec::new(),
        problems: Vec::new(),
    };
    walk.shape(cel.tree());
    walk.problems
}

/// Holds the path of an operator against the shape of the document.
pub(crate) fn check_path(path: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut shape = CANDIDATE;
    let mut walked = String::from("candidate");
    for word in path.words() {
        shape = match (shape, word) {
            (List(inner), "[]") => inner,
            (_, "[]") => return problems,
            (shape, word) => field(shape, &walked, word, &mut problems),
        };
        walked = if word == "[]" {
            walked + "[0]"
        } else {
            format!("{walked}.{word}")
        };
    }
    problems
}

/// The shape of `field` in `shape`.
fn field(
    shape: &'static Shape,
    place: &str,
    field: &str,
    problems: &mut Vec<Problem>,
) -> &'static Shape {
    let find = |fields: &'static [(&'static str, &'static Shape)]| {
        fields
            .iter()
            .find(|(name, _)| *name == field)
            .map(|(_, shape)| *shape)
    };
    let near = |fields: &'static [(&'static str, &'static Shape)]| {
        nearest(field, fields.iter().map(|(name, _)| *name))
    };
    let mut say = |certain: bool, text: String| problems.push(Problem { certain, text });
    match shape {
        Any => &Any,
        Fields(fields) => find(fields).unwrap_or_else(|| {
            say(
                true,
                format!(
                    "`{place}` has no field `{field}`{}",
                    did_you_mean(near(fields))
                ),
            );
            &Any
        }),
        Open(fields, other) => find(fields).unwrap_or_else(|| {
            if let Some(meant) = near(fields) {
                say(
                    false,
                    format!("`{place}.{field}` is unknown, did you mean `{meant}`?"),
                );
            }
            other
        }),
        List(_) => {
            say(
                true,
                format!(
                    "`{place}` is a list: write `{place}[0].{field}`, or use `exists` or `all`"
                ),
            );
            &Any
        }
        One => {
            say(
                true,
                format!("`{place}` is a single value and has no field `{field}`"),
            );
            &Any
        }
    }
}

struct Walk<'w> {
    params: &'w BTreeMap<String, Value>,
    extra: &'w [&'static str],
    names: Vec<(String, &'static Shape)>,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    fn say(&mut self, text: String) {
        self.problems.push(Problem {
            certain: true,
            text,
        });
    }

    fn shape(&mut self, tree: &IdedExpr) -> &'static Shape {
        match &tree.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => {
                if matches!(&select.operand.expr, Expr::Ident(name) if name == "params") {
                    self.param(&select.field);
                    return &Any;
                }
                let operand = self.shape(&select.operand);
                field(
                    operand,
                    &written(&select.operand),
                    &select.field,
                    &mut self.problems,
                )
            }
            Expr::Call(call) if call.func_name == operators::INDEX => {
                let shapes: Vec<&'static Shape> = call
                    .args
                    .iter()
                    .map(|argument| self.shape(argument))
                    .collect();
                match (shapes.first(), call.args.get(1).map(|index| &index.expr)) {
                    (Some(List(inner)), _) => inner,
                    (Some(shape), Some(Expr::Literal(LiteralValue::String(key)))) => {
                        let place = call.args.first().map(written).unwrap_or_default();
                        field(shape, &place, key.inner(), &mut self.problems)
                    }
                    _ => &Any,
                }
            }
            Expr::Call(call) => {
                let operator = call.func_name.contains(|c: char| "_@!-".contains(c));
                if !operator && !FUNCTIONS.contains(&call.func_name.as_str()) {
                    let meant = nearest(&call.func_name, FUNCTIONS.iter().copied());
                    self.say(format!(
                        "there is no function `{}`{}",
                        call.func_name,
                        did_you_mean(meant)
                    ));
                }
                for child in cost::children(tree) {
                    self.shape(child);
                }
                &Any
            }
            Expr::Comprehension(loops) => {
                let item = match self.shape(&loops.iter_range) {
                    List(inner) => inner,
                    Any => &Any,
                    _ => &One,
                };
                self.shape(&loops.accu_init);
                let outside = self.names.len();
                self.names.push((loops.iter_var.clone(), item));
                self.names
                    .extend(loops.iter_var2.iter().map(|name| (name.clone(), &Any)));
                self.names.push((loops.accu_var.clone(), &Any));
                self.shape(&loops.loop_cond);
                self.shape(&loops.loop_step);
                self.shape(&loops.result);
                self.names.truncate(outside);
                &Any
            }
            _ => {
                for child in cost::children(tree) {
                    self.shape(child);
                }
                &Any
            }
        }
    }

    fn name(&mut self, name: &str) -> &'static Shape {
        if let Some((_, shape)) = self.names.iter().rev().find(|(known, _)| known == name) {
            return shape;
        }
        match name {
            "candidate" => CANDIDATE,
            "evidence" => EVIDENCE,
            "params" => &Any,
            _ if self.extra.contains(&name) => &One,
            _ if TYPES.contains(&name) => &One,
            _ => {
                let known = ["candidate", "evidence", "params"].into_iter();
                let meant = nearest(name, known.chain(self.extra.iter().copied()));
                self.say(format!("there is no name `{name}`{}", did_you_mean(meant)));
                &Any
            }
        }
    }

    fn param(&mut self, name: &str) {
        if !self.params.contains_key(name) {
            let meant = nearest(name, self.params.keys().map(String::as_str));
            self.say(format!(
                "`spec.params` has no `{name}`{}",
                did_you_mean(meant)
            ));
        }
    }
}

/// A chain of fields as its author wrote it.
fn written(tree: &IdedExpr) -> String {
    match &tree.expr {
        Expr::Ident(name) => name.clone(),
        Expr::Select(select) => format!("{}.{}", written(&select.operand), select.field),
        Expr::Call(call) if call.func_name == operators::INDEX => {
            format!("{}[0]", call.args.first().map(written).unwrap_or_default())
        }
        _ => "the value".to_owned(),
    }
}
