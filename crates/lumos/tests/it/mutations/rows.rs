//! What a hostile administrator does to rows of the database.

use lumos_engine::ports::{Statement, Value};
use lumos_ledger::tree::leaf_hash;

use super::{Ledger, Numbers, frontier, note};

impl Ledger {
    /// What is done to the rows, and which.
    pub(super) fn rows(&self, numbers: &mut Numbers) -> (&'static str, Vec<Statement>) {
        let size = self.entries.len();
        let at = numbers.at(size);
        let mut changed = self.entries.clone();
        let place = numbers.at(changed[at].len());
        changed[at][place] ^= 1 << numbers.below(8);
        let bytes = |entries: &[Vec<u8>], at: usize| Statement {
            sql: "UPDATE entries SET bytes = $1 WHERE idx = $2",
            params: vec![Value::Bytes(entries[at].clone()), int(at)],
        };
        let leaf = |entries: &[Vec<u8>], at: usize| Statement {
            sql: "UPDATE entries SET leaf = $1 WHERE idx = $2",
            params: vec![
                Value::Bytes(leaf_hash(&entries[at]).as_bytes().to_vec()),
                int(at),
            ],
        };
        let head = |entries: &[Vec<u8>]| Statement {
            sql: "UPDATE head SET size = $1, frontier = $2",
            params: vec![
                int(entries.len()),
                Value::Bytes(frontier(entries).to_bytes()),
            ],
        };
        match numbers.below(8) {
            0 => ("entry: bit", vec![bytes(&changed, at)]),
            1 => (
                "entry: bit, with its hash",
                vec![bytes(&changed, at), leaf(&changed, at)],
            ),
            2 => {
                // The whole chain, signed again with the ledger's own key.
                let signed = note(&changed, &self.signer).to_string();
                std::fs::write(self.world.path("mutant.anchor/checkpoint"), signed).unwrap();
                let all = vec![bytes(&changed, at), leaf(&changed, at), head(&changed)];
                ("the chain rewritten, signed again", all)
            }
            3 => ("leaf hash: bit", vec![leaf(&changed, at)]),
            4 => {
                let (one, other) = (numbers.at(size - 1), size - 1);
                changed.clone_from(&self.entries);
                changed.swap(one, other);
                let swapped = [one, other].map(|at| bytes(&changed, at));
                ("entries: two swapped", swapped.into())
            }
            5 => {
                let kept = 1 + numbers.at(size - 1);
                let cut = Statement {
                    sql: "DELETE FROM entries WHERE idx >= $1",
                    params: vec![int(kept)],
                };
                ("entries: tail cut", vec![cut, head(&self.entries[..kept])])
            }
            6 => {
                let cut = Statement {
                    sql: "DELETE FROM entries WHERE idx = $1",
                    params: vec![int(at)],
                };
                ("entries: one cut out", vec![cut])
            }
            _ => {
                let (what, sql) = VIEWS[numbers.at(VIEWS.len())];
                let params = Vec::new();
                (what, vec![Statement { sql, params }])
            }
        }
    }
}

/// Changes to what is kept beside the entries, each of some row.
const VIEWS: &[(&str, &str)] = &[
    (
        "approval: longer",
        "UPDATE approvals SET expires_us = expires_us + 86400000000",
    ),
    ("approval: gone", "DELETE FROM approvals"),
    (
        "assignment: other",
        "UPDATE assignments SET assignment = 'ward/other/production'",
    ),
    (
        "release: approved",
        "UPDATE releases SET state = 'detected'",
    ),
    (
        "release: invented",
        "INSERT INTO releases (model, version, state, test, detected_us, entry) VALUES ('triage', '9', 'approved', 0, 0, 0)",
    ),
    ("review: open", "UPDATE reviews SET state = 'open'"),
    (
        "person: back",
        "UPDATE people SET suspended = 1 - suspended WHERE person = (SELECT max(person) FROM people)",
    ),
    (
        "login: another's",
        "UPDATE people SET login_key = login_key || 'x' WHERE person = (SELECT min(person) FROM people)",
    ),
    ("model: owner", "UPDATE models SET owner = 'p-1'"),
    (
        "model: gone",
        "DELETE FROM models WHERE model = (SELECT min(model) FROM models)",
    ),
    (
        "system: stopped",
        "UPDATE systems SET stopped = 1 - stopped",
    ),
    ("bundle: other", "UPDATE bundles SET digest = 'sha256:00'"),
    ("binding: gone", "DELETE FROM bindings"),
    (
        "file: gone",
        "DELETE FROM files WHERE sha256 = (SELECT min(sha256) FROM files)",
    ),
    (
        "stream: longer",
        "UPDATE streams SET version = version + 1 WHERE stream = 'org'",
    ),
    (
        "event type: gone",
        "DELETE FROM kinds WHERE kind = (SELECT min(kind) FROM kinds)",
    ),
    (
        "sealed text: other",
        "UPDATE sealed SET value = value || '!' WHERE commitment = (SELECT min(commitment) FROM sealed)",
    ),
];

fn int(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap())
}
