//! Arbitrary input: nothing panics, nothing runs long, nothing overflows the stack.

use lumos_domain::words::Depth;
use lumos_policy::cel::Cel;
use lumos_policy::{Bundle, Candidate, explain, lint, render};
use proptest::prelude::*;

use crate::world::{bundle, candidate, judge, one_rule};

/// Text made of the pieces of the language, which gets deeper into a parser than random bytes.
fn pieces(of: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(of), 0..most).prop_map(|pieces| pieces.concat())
}

const CEL: &[&str] = &[
    "candidate",
    "evidence",
    "params",
    ".model",
    ".tier",
    ".exists(x, ",
    ".all(y, ",
    ".map(z, ",
    ".filter(w, ",
    "has(",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    " == ",
    " + ",
    " - ",
    "!",
    "-",
    " ? ",
    " : ",
    " && ",
    " || ",
    " in ",
    "1",
    "-9223372036854775808",
    "1.5",
    "'a'",
    "\"",
    "b'\\xff'",
    "r'",
    "x",
    "y",
    "0u",
    ",",
    ".",
    ".matches('a+')",
    "size(",
    "\\",
    "\n",
    "//",
    "é",
    "null",
    "true",
    "1e999",
    "9223372036854775808",
    "`a-b`",
    ".?a",
    "[?0]",
    "'''",
    "/ 0",
    "% 0",
    "string(",
    "int(",
];
const YAML: &[&str] = &[
    "a: ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&x ",
    "*x",
    "\n",
    "  ",
    "!!binary ",
    "!t ",
    "? ",
    ": ",
    "'",
    "\"",
    "|",
    ">",
    "#",
    "---\n",
    "...\n",
    "<<: ",
    "~",
    "1e9",
    ".inf",
    "\t",
    "%YAML 9\n",
    "é",
    "\u{0}",
    "apiVersion: lumos/v1\n",
    "kind: PolicyBundle\n",
    "spec:\n",
    "rules:\n",
    "0x",
    "@",
    "`",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _read = Bundle::parse(&bytes).is_ok();
        let _read = Candidate::parse(&bytes).is_ok();
    }

    #[test]
    fn yaml_never_panics(text in pieces(YAML, 40)) {
        let _read = Bundle::parse(text.as_bytes()).is_ok();
    }

    #[test]
    fn a_damaged_bundle_never_panics(at in 0usize..10_000, with in any::<u8>(), cut in any::<bool>()) {
        let mut yaml = include_bytes!("../../../../examples/acme/policy/starter.yaml").to_vec();
        let at = at % yaml.len();
        if cut { yaml.truncate(at) } else { yaml[at] = with }
        if let Ok(bundle) = Bundle::parse(&yaml) {
            let _text = render(&judge(&bundle, &candidate(), Depth::Full, &[]));
        }
    }

    #[test]
    fn a_damaged_candidate_never_panics(at in 0usize..10_000, with in any::<u8>(), cut in any::<bool>()) {
        let mut json = candidate().to_string().into_bytes();
        let at = at % json.len();
        if cut { json.truncate(at) } else { json[at] = with }
        let _read = Candidate::parse(&json).is_ok();
    }

    #[test]
    fn expressions_never_panic(source in pieces(CEL, 30)) {
        judge_expression(&source);
    }

    #[test]
    fn whole_expressions_never_panic(source in expression()) {
        judge_expression(&source);
    }
}

/// Whole expressions, so that more than the parser is reached: evaluation, costs, lint, messages.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(
        &[
            "candidate",
            "evidence",
            "params",
            "1",
            "-1",
            "0",
            "2.5",
            "'a'",
            "true",
            "null",
            "[]",
            "{}",
            "candidate.manifest.parts",
            "candidate.model.tier",
            "candidate.manifest.bytes",
            "x",
            "evidence.fairness[0].claim.metrics",
            "params.limit",
            "9223372036854775807",
            "1u",
            "b'a'",
        ][..],
    )
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let binary = prop::sample::select(
            &[
                "+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in",
            ][..],
        );
        let with = prop::sample::select(&["all", "exists", "exists_one", "map", "filter"][..]);
        let call = prop::sample::select(
            &[
                "size", "string", "int", "uint", "double", "type", "bytes", "dyn", "-", "!",
                "nothing",
            ][..],
        );
        prop_oneof![
            (inner.clone(), binary, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (inner.clone(), with, inner.clone()).prop_map(|(a, f, b)| format!("{a}.{f}(x, {b})")),
            (call, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            inner.clone().prop_map(|a| format!("has({a}.name)")),
            inner.clone().prop_map(|a| format!("{a}.value")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("{{{a}: {b}}}")),
        ]
    })
}

fn judge_expression(source: &str) {
    let yaml = one_rule("check: {cel: SOURCE}\nmessage: {cel: SOURCE}")
        .replace("SOURCE", &serde_json::to_string(source).unwrap());
    if let Ok(bundle) = Bundle::parse(yaml.as_bytes()) {
        let _found = lint(&bundle);
        let report = judge(&bundle, &candidate(), Depth::Full, &[]);
        let _texts = (
            render(&report),
            explain(&bundle.rules()[0]),
            report.to_bytes(),
        );
    }
}

/// Every way to nest, repeated beyond what anybody writes: refused or judged, on a small stack.
#[test]
fn long_and_deep_expressions_fit_a_small_stack() {
    let repeated = |start: &str, piece: &str, end: &str| {
        [8usize, 15, 16, 60, 100, 250, 400, 1_000]
            .map(|n| format!("{start}{}{}", piece.repeat(n), end.repeat(n)))
    };
    let sources: Vec<String> = [
        repeated("true", " && true", ""),
        repeated("1", " + 1", ""),
        repeated("", "!", ""),
        repeated("", "-", ""),
        repeated("", "(", ")"),
        repeated("", "[", "]"),
        repeated("", "{1:", "}"),
        repeated("candidate", ".a", ""),
        repeated("candidate", "[0]", ""),
        repeated("x", "()", ""),
        repeated("true", " ? true : true", ""),
        repeated("", "true ? ", " : true"),
        repeated("", "size(", ")"),
        repeated("", "[1].all(x, ", ")"),
        repeated("[1]", ".map(x, x)", ""),
        repeated("", "[1].map(x, ", ")"),
        repeated("1", " in 1", ""),
        repeated("'", "\\", "'"),
        repeated("a", " ", ""),
        repeated("", "has(a.", ")"),
        repeated("", "a{b:", "}"),
        repeated("1", " == 1", ""),
        repeated("[", "1,", ""),
        repeated("", "\"", ""),
        repeated("", "x ", ""),
        repeated("", "1 ", ""),
    ]
    .concat();
    let run = move || {
        for source in sources {
            if let Ok(cel) = Cel::parse(&source) {
                let yaml = one_rule("check: {cel: SOURCE}")
                    .replace("SOURCE", &serde_json::to_string(cel.source()).unwrap());
                let bundle = Bundle::parse(yaml.as_bytes()).unwrap();
                let _report = judge(&bundle, &candidate(), Depth::Full, &[]);
            }
        }
    };
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap();
}

/// A bound that is too low would let an expression run long; count what really runs.
#[test]
fn the_cost_bound_grows_with_every_nesting() {
    let size = lumos_policy::candidate::Size {
        largest: 10,
        bytes: 1_000,
    };
    let mut last = 0;
    for depth in 1..4 {
        let source = (0..depth).fold("true".to_owned(), |inner, i| {
            format!("candidate.manifest.parts.all(p{i}, {inner})")
        });
        let cost = Cel::parse(&source).unwrap().cost(size);
        assert!(cost >= 10u64.pow(depth), "{source} costs {cost}");
        assert!(cost > last * 8, "{source} costs {cost} after {last}");
        last = cost;
    }
    assert!(bundle("check: {cel: 'true'}").rules()[0].weight == 1);
}
