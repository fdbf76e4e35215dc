//! `lumos gate` and `lumos why`.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Out, Said, text};
use crate::{cli::Gate, remote::Remote};

pub(super) async fn run(gate: Gate, remote: &Remote, out: &Out) -> Result<Said> {
    let question = json!({
        "model": gate.model, "version": gate.version, "digest": gate.digest,
        "environment": gate.env, "agent": gate.agent,
    });
    let decision = remote.post("/api/v1/decisions", &question).await?;
    let (verdict, effect) = (text(&decision, "verdict"), text(&decision, "effect"));
    if out.json {
        outln!("{decision:#}");
    } else {
        print(&decision);
    }
    let counts = if gate.strict { verdict } else { effect };
    Ok(if counts == "allow" {
        Said::Yes
    } else {
        Said::No
    })
}

fn print(decision: &Value) {
    let (verdict, effect) = (text(decision, "verdict"), text(decision, "effect"));
    if decision["sandbox"] == true {
        outln!("SANDBOX: this decision counts nowhere else");
    }
    if verdict != effect {
        outln!("WOULD DENY: the mode here is `observe`, so nothing is stopped");
    }
    outln!("{effect}: {}", text(decision, "reason"));
    for (label, member) in [
        ("release", "release"),
        ("matched by", "matched"),
        ("approval", "approval"),
        ("code", "code"),
        ("next step", "next_step"),
        ("ask", "owner"),
        ("decision", "decision_id"),
    ] {
        if !text(decision, member).is_empty() {
            outln!("  {label}: {}", text(decision, member));
        }
    }
}

pub(super) async fn why(decision: &str, remote: &Remote, out: &Out) -> Result<Said> {
    let explained = remote.get(&format!("/api/v1/decisions/{decision}")).await?;
    if out.json {
        outln!("{explained:#}");
        return Ok(Said::Yes);
    }
    outln!(
        "asked {} time(s), first {}, last {}",
        explained["asked"],
        text(&explained, "first"),
        text(&explained, "last")
    );
    outln!("question: {}", explained["question"]);
    print(&explained["decision"]);
    Ok(Said::Yes)
}
