//! Policy as its authors send it: bundles, expressions, and the document they are held against.

use std::sync::OnceLock;

use lumos_domain::words::Depth;
use lumos_policy::{
    Bundle, Candidate, Cases, Context, cases::lacking, cel::Cel as Expression, evaluate, explain,
    lint,
};
use serde_json::json;

use crate::Target;

const STARTER: &str = include_str!("../../examples/acme/policy/starter.yaml");
const TESTS: &str = include_str!("../../examples/acme/policy/tests/starter.yaml");
const FRAMEWORK: &str = include_str!("../../examples/acme/policy/nist-ai-rmf.yaml");

pub(crate) const BUNDLE: Target = Target {
    name: "policy-bundle",
    run: bundle,
    seeds: || {
        let small = with(&json!("candidate.model.tier == 'high'"));
        Bundle::parse(small.as_bytes()).expect("because it is a good bundle");
        [STARTER, FRAMEWORK, &small]
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect()
    },
};

pub(crate) const CEL: Target = Target {
    name: "policy-cel",
    run: cel,
    seeds: || {
        [
            "candidate.model.tier == 'high' && size(candidate.evidence) > 0",
            "candidate.evidence.evaluation.exists(e, e.claim.metrics.all(m, m.value >= 0.5))",
            "has(candidate.model.purpose) ? candidate.model.purpose.matches('^[a-z]+$') : false",
            "[1, 2].map(x, x * 2).filter(y, y in [2, 4]) == [2, 4] || {'a': 1u}.a == 1u",
        ]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect()
    },
};

pub(crate) const CANDIDATE: Target = Target {
    name: "policy-candidate",
    run: |bytes| {
        if let Ok(candidate) = Candidate::parse(bytes) {
            judge(starter(), &candidate);
        }
    },
    seeds: || vec![document().to_string().into_bytes()],
};

pub(crate) const CASES: Target = Target {
    name: "policy-cases",
    run: |bytes| {
        if let Ok(cases) = Cases::parse(bytes) {
            let outcomes = cases.run(starter(), &document());
            assert_eq!(
                outcomes.len(),
                cases.all().len(),
                "each test has an outcome"
            );
            drop(lacking(starter(), &cases));
        }
    },
    seeds: || {
        let case = json!({
            "rule": "ACME-GOV-001", "name": "its purpose is too short", "expect": "waived",
            "patch": [{"op": "replace", "path": "/model/purpose", "value": "x"}],
            "waivers": [{"expires_at": "2027-01-01"}],
        });
        let small = json!({
            "apiVersion": "lumos/v1", "kind": "PolicyTests", "bundle": "acme-starter", "base": "passes.json",
            "as_of": "2026-11-21", "depth": "full", "cases": [case],
        });
        [TESTS, &small.to_string()]
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect()
    },
};

/// A bundle with one rule, which is this expression.
fn with(expression: &serde_json::Value) -> String {
    let rule = json!({
        "id": "ACME-FUZZ-001", "title": "a rule", "enforcement": "advisory", "severity": "low",
        "rationale": "it is tested", "remediation": {"text": "none"}, "check": {"cel": expression},
    });
    let bundle = json!({
        "apiVersion": "lumos/v1", "kind": "PolicyBundle", "metadata": {"name": "fuzz", "version": "1"},
        "spec": {"rules": [rule]},
    });
    bundle.to_string()
}

fn document() -> serde_json::Value {
    let digest = format!("sha256:{}", "0".repeat(64));
    let metric = json!({"suite": "holdout", "name": "accuracy", "slice": "all", "value": 0.94});
    let claim = json!({"metrics": [metric], "dataset": "d", "source": "file"});
    let evaluation = json!({
        "producer": "developer", "recorded_at": "2026-03-01T09:00:00Z", "digest": digest, "claim": claim,
    });
    json!({
        "schema": "lumos.candidate/v1",
        "model": {"name": "triage", "tier": "medium", "purpose": "tests", "frameworks": []},
        "release": {
            "version": "1", "digest": digest, "environment": "production", "agents": ["ward/intake"],
            "depth": "full", "change": {"kind": "backbone", "tier": "major"}, "test": false, "sandbox": false,
        },
        "manifest": {"parts": [], "bytes": 0, "formats": []},
        "evidence": {"evaluation": [evaluation]},
    })
}

fn starter() -> &'static Bundle {
    static BUNDLE: OnceLock<Bundle> = OnceLock::new();
    BUNDLE.get_or_init(|| Bundle::parse(STARTER.as_bytes()).expect("because Acme uses it"))
}

fn candidate() -> &'static Candidate {
    static CANDIDATE: OnceLock<Candidate> = OnceLock::new();
    let document = || document().to_string();
    CANDIDATE.get_or_init(|| {
        Candidate::parse(document().as_bytes()).expect("because it is a good document")
    })
}

/// The same input is the same report, to the byte.
fn judge(bundle: &Bundle, candidate: &Candidate) {
    let context = Context {
        as_of: jiff::Timestamp::UNIX_EPOCH,
        depth: Depth::Full,
        waivers: &[],
    };
    let report = || serde_json::to_vec(&evaluate(bundle, candidate, &context)).ok();
    assert_eq!(report(), report(), "the same input is the same report");
}

fn bundle(bytes: &[u8]) {
    let Ok(bundle) = Bundle::parse(bytes) else {
        return;
    };
    drop(lint(&bundle));
    for rule in bundle.rules() {
        drop(explain(rule));
    }
    judge(&bundle, candidate());
}

fn cel(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(expression) = Expression::parse(text) else {
        return;
    };
    assert_eq!(expression.source(), text);
    assert!(expression.cost(candidate().size()) > 0, "nothing is free");
    if let Ok(bundle) = Bundle::parse(with(&json!(text)).as_bytes()) {
        judge(&bundle, candidate());
    }
}
