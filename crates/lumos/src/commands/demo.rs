//! `lumos demo`: the whole story on Acme, told while it happens, through the same API that everybody uses.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Out, Said, ledger, text};
use crate::{
    remote::{Refused, Remote},
    serve::{Extras, Running, start},
    settings::{self, Loaded},
};

mod artifacts;

/// How long the demo waits for one thing to happen.
const PATIENCE: Duration = Duration::from_secs(60);

const ORGANISATION: &str = include_str!("../../../../examples/acme/organisation.yaml");
const SETTINGS: &str = include_str!("../../../../examples/acme/lumos.yaml");
const STARTER: &str = include_str!("../../../../examples/acme/policy/starter.yaml");
const NIST: &str = include_str!("../../../../examples/acme/policy/nist-ai-rmf.yaml");

pub(super) async fn run(once: bool) -> Result<Said> {
    let home = tempfile::Builder::new()
        .prefix("lumos-demo-")
        .tempdir()
        .context("making a folder for the demo")?;
    let loaded = prepare(home.path())?;
    let extras = Extras {
        passwords_for_all: true,
        poll: Some(Duration::from_millis(300)),
        ..Extras::default()
    };
    let running = start(&loaded, extras).await?;
    let story = Story::new(&running, home.path())?;
    let told = story.tell().await;
    if let Err(error) = told {
        running.stop().await?;
        return Err(error).context("the demo did not go as it should");
    }
    if once {
        running.stop().await?;
        return Ok(Said::Yes);
    }
    println!("\nThe site is at http://{}", running.address);
    println!("Sign in as any of:");
    for (login, password) in &running.first_passwords {
        println!("  {login:14} {password}");
    }
    println!(
        "Stop with Ctrl-C; everything is in {} and is then deleted.",
        home.path().display()
    );
    running.until(super::serve::asked_to_stop()).await?;
    Ok(Said::Yes)
}

/// Acme's own example files, written out; any free port instead of the usual one.
fn prepare(home: &Path) -> Result<Loaded> {
    let write = |name: &str, text: &str| {
        let path = home.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(home))?;
        std::fs::write(&path, text)
    };
    write("organisation.yaml", ORGANISATION)?;
    write("policy/starter.yaml", STARTER)?;
    write("policy/nist-ai-rmf.yaml", NIST)?;
    let models = home.join("models");
    std::fs::create_dir_all(models.join("triage"))?;
    let own = SETTINGS
        .replace("127.0.0.1:8417", "127.0.0.1:0")
        .replace("root: models", &format!("root: {}", models.display()));
    write("lumos.yaml", &own)?;
    settings::load(Some(&home.join("lumos.yaml")), None)
}

/// The people of the story and what they do.
struct Story<'a> {
    running: &'a Running,
    home: PathBuf,
    server: Remote,
}

impl<'a> Story<'a> {
    fn new(running: &'a Running, home: &Path) -> Result<Self> {
        let server = Remote::at(&format!("http://{}", running.address), None)?;
        Ok(Self {
            running,
            home: home.to_owned(),
            server,
        })
    }

    async fn tell(&self) -> Result<()> {
        println!("LUMOS demo: Acme governs the model `triage`, used by agent `ward/intake`.");
        println!(
            "Everything below goes through the running server at {}.",
            self.server.address
        );
        self.first_release().await?;
        self.prompt_tweak().await?;
        self.disguised_backbone().await?;
        self.booby_trap().await?;
        self.unapproved_agent().await?;
        self.proof().await
    }

    /// A person's own session, signed in with the password made for this demo.
    async fn person(&self, login: &str) -> Result<Remote> {
        let password = self
            .running
            .first_passwords
            .get(login)
            .with_context(|| format!("no `{login}` at Acme"))?;
        self.server.sign_in(login, password).await
    }

    async fn first_release(&self) -> Result<()> {
        heading("1. The first version: nothing runs yet, so it counts as a new backbone");
        artifacts::baseline(&self.version("1.0"))?;
        self.publish("1.0")?;
        let release = self.until("triage/1.0", &["in review"]).await?;
        tell(&format!(
            "found in the registry, hashed, scanned and checked: depth {}",
            depth(&release)
        ));
        self.claim_as_developer("triage/1.0").await?;
        self.sign_by_both("triage/1.0").await?;
        self.until_promoted("triage/1.0").await?;
        self.gate("1.0", Some("ward/intake"), "allow").await?;
        Ok(())
    }

    async fn prompt_tweak(&self) -> Result<()> {
        heading("2. A prompt tweak: light, so nobody is bothered");
        artifacts::prompt_tweak(&self.version("1.0"), &self.version("1.1"))?;
        self.publish("1.1")?;
        self.until("triage/1.1", &["in review"]).await?;
        tell(
            "its author is only a name in the registry, so it waits; the developer says: that was me",
        );
        self.claim_as_developer("triage/1.1").await?;
        let release = self.until_promoted("triage/1.1").await?;
        let review = &release["reviews"][0];
        let change = text(&review["record"], "change");
        tell(&format!(
            "approved by rule: only `{change}` changed, depth {}",
            depth(&release)
        ));
        Ok(())
    }

    async fn disguised_backbone(&self) -> Result<()> {
        heading("3. A new backbone, passed off as a prompt tweak");
        artifacts::disguised_backbone(&self.version("1.1"), &self.version("2.0"))?;
        self.publish("2.0")?;
        let release = self.until("triage/2.0", &["in review"]).await?;
        let record = &release["reviews"][0]["record"];
        tell(&format!(
            "declared `prompt`, computed `{}`: the depth is {}",
            text(record, "change"),
            text(record, "depth")
        ));
        for rule in record["blocking"].as_array().into_iter().flatten() {
            tell(&format!("blocked by {}", super::scalar(rule)));
        }
        self.claim_as_developer("triage/2.0").await?;
        let compliance = self.person("compliance").await?;
        self.refused(self.sign(&compliance, "triage/2.0").await, "blocked")?;
        tell("the developer measures the new version and hands the evaluation in");
        let developer = self.person("developer").await?;
        for (kind, claim) in artifacts::missing_evidence() {
            let body = json!({ "kind": kind, "claim": claim });
            developer
                .post("/api/v1/releases/triage/2.0/evidence", &body)
                .await?;
        }
        self.until_unblocked("triage/2.0").await?;
        tell("a new report covers it; what was signed before would no longer count");
        self.refused(
            self.sign(&developer, "triage/2.0").await,
            "separation-of-duties",
        )?;
        self.gate("2.0", Some("ward/intake"), "deny").await?;
        self.sign_by_both("triage/2.0").await?;
        self.until_promoted("triage/2.0").await?;
        self.gate("2.0", Some("ward/intake"), "allow").await?;
        Ok(())
    }

    async fn booby_trap(&self) -> Result<()> {
        heading("4. A pickle with a booby trap");
        artifacts::booby_trap(&self.version("2.0"), &self.version("2.1"))?;
        self.publish("2.1")?;
        let release = self.until("triage/2.1", &["paused"]).await?;
        let record = &release["reviews"][0]["record"];
        for rule in record["critical"].as_array().into_iter().flatten() {
            tell(&format!(
                "critical: {}; paused, and escalated to the head of risk by timer",
                super::scalar(rule)
            ));
        }
        self.claim_as_developer("triage/2.1").await?;
        let compliance = self.person("compliance").await?;
        self.refused(self.sign(&compliance, "triage/2.1").await, "blocked")?;
        self.gate("2.1", None, "deny").await?;
        Ok(())
    }

    async fn unapproved_agent(&self) -> Result<()> {
        heading("5. An agent asks for a model it was never given");
        let decision = self.gate("2.0", Some("ward/discharge"), "deny").await?;
        tell(&format!("next step: {}", text(&decision, "next_step")));
        let platform = self.person("platform").await?;
        let people = platform.get("/api/v1/people").await?;
        let owner = people
            .as_array()
            .into_iter()
            .flatten()
            .find(|p| p["person"] == decision["owner"]);
        tell(&format!(
            "who to ask: {}",
            owner.map_or("nobody", |p| text(p, "name"))
        ));
        Ok(())
    }

    async fn proof(&self) -> Result<()> {
        heading("6. The ledger, checked by an outsider");
        let export = self.home.join("export");
        let platform = self.person("platform").await?;
        ledger::export(&platform, &export).await?;
        let vkey = self.running.app.verifier_key();
        let out = Out { json: false };
        ensure!(
            ledger::verify_export(export.clone(), vkey.clone(), out).await? == Said::Yes,
            "the export does not verify"
        );
        let bundle = first_bundle(&export)?;
        let mut bytes = std::fs::read(&bundle)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&bundle, bytes)?;
        tell("now one bit of one entry is changed:");
        ensure!(
            ledger::verify_export(export.clone(), vkey.clone(), out).await? == Said::No,
            "the change was not caught"
        );
        Ok(())
    }

    fn version(&self, version: &str) -> PathBuf {
        self.home.join("models/triage").join(version)
    }

    /// Marks a version complete, so that the scanner sees it.
    fn publish(&self, version: &str) -> Result<()> {
        std::fs::write(self.version(version).join(".complete"), "")
            .context("publishing a version")?;
        tell(&format!("`triage` {version} appears in the registry"));
        Ok(())
    }

    async fn claim_as_developer(&self, release: &str) -> Result<()> {
        let developer = self.person("developer").await?;
        developer
            .post(
                &format!("/api/v1/releases/{release}/claims"),
                &json!({ "claim": 1 }),
            )
            .await?;
        Ok(())
    }

    /// Signs as one person, over the API, with their password in the same request.
    async fn sign(&self, who: &Remote, release: &str) -> Result<Value> {
        let view = who.get(&format!("/api/v1/releases/{release}")).await?;
        let review = &view["reviews"][0];
        let login = self.login_of(who).await?;
        let body = json!({
            "verdict": "approve", "reason": "read the report, the change and the evidence",
            "record": review["record_hash"], "password": self.running.first_passwords.get(&login),
        });
        who.post(
            &format!("/api/v1/reviews/{}/signatures", text(review, "review")),
            &body,
        )
        .await
    }

    async fn login_of(&self, who: &Remote) -> Result<String> {
        let me = who.get("/api/v1/me").await?;
        let people = who.get("/api/v1/people").await?;
        let found = people
            .as_array()
            .into_iter()
            .flatten()
            .find(|p| p["person"] == me["person"]);
        found
            .map(|p| text(p, "login").to_owned())
            .context("nobody is signed in")
    }

    async fn sign_by_both(&self, release: &str) -> Result<()> {
        for login in ["compliance", "expert"] {
            self.sign(&self.person(login).await?, release).await?;
            tell(&format!("{login} signs"));
        }
        Ok(())
    }

    fn refused(&self, result: Result<Value>, code: &str) -> Result<()> {
        match result {
            Ok(_) => bail!("this should have been refused as `{code}`"),
            Err(error) => match error.downcast_ref::<Refused>() {
                Some(refused) if refused.code == code => {
                    tell(&format!("refused: {}", refused.detail));
                    Ok(())
                }
                _ => Err(error),
            },
        }
    }

    async fn gate(&self, version: &str, agent: Option<&str>, expected: &str) -> Result<Value> {
        let question = json!({
            "model": "triage", "version": version, "environment": "production", "agent": agent,
        });
        let decision = self
            .person("platform")
            .await?
            .post("/api/v1/decisions", &question)
            .await?;
        let who = agent.unwrap_or("anybody");
        tell(&format!(
            "may {who} run {version}? {}: {}",
            text(&decision, "effect"),
            text(&decision, "reason")
        ));
        ensure!(
            text(&decision, "effect") == expected,
            "the gate should have said `{expected}`"
        );
        Ok(decision)
    }

    async fn until(&self, release: &str, states: &[&str]) -> Result<Value> {
        self.until_true(release, |view| states.contains(&text(view, "state")))
            .await
    }

    async fn until_unblocked(&self, release: &str) -> Result<Value> {
        let unblocked = |view: &Value| {
            view["reviews"][0]["record"]["blocking"]
                .as_array()
                .is_some_and(Vec::is_empty)
        };
        self.until_true(release, unblocked).await
    }

    async fn until_promoted(&self, release: &str) -> Result<Value> {
        let promoted = |view: &Value| {
            text(view, "state") == "approved"
                && view["promotions"]
                    .as_array()
                    .is_some_and(|p| p.iter().any(|p| p["settled"] == true))
        };
        let view = self.until_true(release, promoted).await?;
        let alias = std::fs::read_to_string(self.home.join("models/triage/.aliases/champion"));
        let alias =
            alias.or_else(|_| std::fs::read_to_string(self.home.join("models/.aliases/champion")));
        if let Ok(alias) = alias {
            tell(&format!(
                "approved; in the registry, alias `champion` now names {}",
                alias.trim()
            ));
        }
        Ok(view)
    }

    async fn until_true(&self, release: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let platform = self.person("platform").await?;
        let look = async {
            loop {
                match platform.get(&format!("/api/v1/releases/{release}")).await {
                    Ok(view) if holds(&view) => return Ok(view),
                    Ok(_) => {}
                    Err(error)
                        if error
                            .downcast_ref::<Refused>()
                            .is_some_and(|r| r.status == 404) => {}
                    Err(error) => return Err(error),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .with_context(|| format!("waiting for `{release}`"))?
    }
}

fn depth(release: &Value) -> String {
    text(&release["reviews"][0]["record"], "depth").to_owned()
}

fn first_bundle(export: &Path) -> Result<PathBuf> {
    let folder = export.join("tile/entries");
    let mut files: Vec<_> = std::fs::read_dir(&folder)?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .collect();
    files.sort();
    match files.first() {
        Some(path) if path.is_dir() => {
            let inner =
                std::fs::read_dir(path)?.find_map(|entry| entry.ok().map(|entry| entry.path()));
            inner.context("the export has no entries")
        }
        Some(path) => Ok(path.clone()),
        None => bail!("the export has no entries"),
    }
}

fn heading(text: &str) {
    println!("\n{text}");
}

fn tell(text: &str) {
    println!("   {text}");
}
