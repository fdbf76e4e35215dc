//! One file a command; here the dispatch, and what they share in speaking.

use anyhow::Result;
use serde_json::Value;

use crate::{
    cli::{Cli, Command},
    remote::{Refused, Remote},
};

mod agent;
mod ask;
mod backup;
mod check;
mod demo;
mod erase;
mod evidence_pack;
mod gate;
mod init;
pub(crate) mod key;
mod ledger;
mod log_review;
mod model;
mod people;
mod policy;
mod proposal;
mod release;
mod review;
mod runtime;
mod scan;
mod serve;
mod submit;
mod system;
mod timestamps;
mod witness;

/// What a command says by its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// Yes, or done.
    Yes,
    /// No: denied, failed, blocked by a finding, does not verify.
    No,
}

/// Runs one command.
///
/// # Errors
/// What went wrong; a refusal by the server is a [`Said::No`] with its reason printed.
pub(crate) async fn run(cli: Cli) -> Result<Said> {
    match dispatch(cli).await {
        Err(error) => match error.downcast::<Refused>() {
            Ok(refused) if refused.is_no() => {
                eprintln!("no: {}", refused.detail);
                eprintln!(
                    "  code {}: see docs/errors/{}.md",
                    refused.code, refused.code
                );
                Ok(Said::No)
            }
            Ok(refused) => Err(refused.into()),
            Err(error) => Err(error),
        },
        said => said,
    }
}

async fn dispatch(cli: Cli) -> Result<Said> {
    let Cli {
        common,
        json,
        command,
    } = cli;
    let out = Out { json };
    match command {
        Command::Demo { once } => demo::run(once).await,
        Command::Init(init) => init::run(&init).await,
        Command::Serve { key_lost } => serve::run(&common, key_lost).await,
        Command::Scan { path } => scan::run(&path, &out).await,
        Command::Policy(policy) => policy::run(policy, &common, &out).await,
        Command::Key(key) => key::run(key, &common, &out).await,
        Command::Ledger(ledger) => ledger::run(ledger, &common, &out).await,
        Command::Backup { into } => backup::take(&into, &common, out).await,
        Command::Restore { from, anchor } => {
            backup::restore(&from, anchor.as_deref(), &common, out).await
        }
        Command::Migrate => backup::migrate(&common, out).await,
        Command::Witness(witness) => witness::run(&witness, &common).await,
        Command::Ask { question, from, to } => {
            let period = (from.as_deref(), to.as_deref());
            ask::run(&question, period, &Remote::of(&common)?, &out).await
        }
        Command::EvidencePack(asked) => evidence_pack::run(asked, &common, &out).await,
        Command::Check => check::run(&Remote::of(&common)?, &out).await,
        Command::Runtime { what } => runtime::run(what, &common, &out).await,
        Command::Submit(submit) => submit::run(submit, &Remote::of(&common)?, &out).await,
        Command::Model(model) => model::run(model, &Remote::of(&common)?, &out).await,
        Command::Release(release) => release::run(release, &Remote::of(&common)?, &out).await,
        Command::Review(review) => review::run(review, &Remote::of(&common)?, &out).await,
        Command::LogReview(review) => log_review::run(review, &Remote::of(&common)?, &out).await,
        Command::Proposal(proposal) => proposal::run(proposal, &Remote::of(&common)?, &out).await,
        Command::Agent(agent) => agent::run(agent, &Remote::of(&common)?, &out).await,
        Command::System(system) => system::run(system, &Remote::of(&common)?, &out).await,
        Command::Assign {
            assignment,
            approval,
        } => {
            let body = serde_json::json!({ "assignment": assignment, "approval": approval });
            out.done(
                &Remote::of(&common)?
                    .post("/api/v1/assignments", &body)
                    .await?,
            )
        }
        Command::Gate(gate) => gate::run(gate, &Remote::of(&common)?, &out).await,
        Command::Why { decision } => gate::why(&decision, &Remote::of(&common)?, &out).await,
        Command::User(user) => people::user(user, &Remote::of(&common)?, &out).await,
        Command::Role(role) => people::role(role, &Remote::of(&common)?, &out).await,
        Command::Erase(erase) => erase::run(erase, &Remote::of(&common)?, &out).await,
        Command::Hold(hold) => erase::hold(hold, &Remote::of(&common)?, &out).await,
        Command::Retention(periods) => erase::retention(periods, &Remote::of(&common)?, &out).await,
        Command::Token(token) => people::token(token, &Remote::of(&common)?, &out).await,
    }
}

/// How a command speaks: to people, or in JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    json: bool,
}

impl Out {
    /// Says a value: JSON as it is, or its fields a line each.
    fn say(&self, value: &Value) {
        if self.json {
            outln!("{value:#}");
        } else {
            print_plain(value, 0);
        }
    }

    /// Says a sentence to people, or a value in JSON.
    fn tell(&self, sentence: &str, value: &Value) {
        if self.json {
            outln!("{value:#}");
        } else {
            outln!("{sentence}");
        }
    }

    /// Says what a command led to.
    fn done(&self, done: &Value) -> Result<Said> {
        if self.json {
            outln!("{done:#}");
        } else if let Some(entry) = done["entry"].as_u64() {
            for (n, event) in (entry..).zip(done["events"].as_array().into_iter().flatten()) {
                outln!(
                    "entry {n}: {} on {}",
                    text(event, "type"),
                    text(event, "stream")
                );
            }
            if let Some(proposal) = done["proposal"].as_str() {
                outln!(
                    "it needs a second person, who confirms it with: lumos proposal confirm {proposal}"
                );
            }
            if let Some(half) = done["half"].as_str() {
                outln!("your half of the token, shown this once: {half}");
            }
        } else {
            outln!("nothing to do: it is so already");
        }
        Ok(Said::Yes)
    }
}

fn print_plain(value: &Value, indent: usize) {
    let pad = " ".repeat(indent);
    match value {
        Value::Array(items) if items.is_empty() => outln!("{pad}(none)"),
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Object(_) | Value::Array(_) => {
                        print_plain(item, indent);
                        outln!();
                    }
                    _ => outln!("{pad}{}", scalar(item)),
                }
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::Null => {}
                    Value::Object(_) | Value::Array(_) => {
                        outln!("{pad}{}:", name.replace('_', " "));
                        print_plain(member, indent + 2);
                    }
                    _ => outln!("{pad}{}: {}", name.replace('_', " "), scalar(member)),
                }
            }
        }
        _ => outln!("{pad}{}", scalar(value)),
    }
}

fn scalar(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The text of a member, or nothing.
fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}
