//! What every handler works with, and the project's own extractors: each rejection is a problem+json.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use axum::{
    extract::{FromRef, FromRequest, FromRequestParts},
    response::{IntoResponse, Response},
};
use jiff::{SignedDuration, Timestamp};
use lumos_domain::{
    actor::Caller,
    command::{Command, decide},
    event::Event,
    id::{CommandId, RegistryName},
    refusal::Refusal,
    seal::SealedValue,
    stream::Stream,
    world::{Halt, World},
};
use lumos_engine::{
    Door, Outcome, Request,
    cosigning::shown,
    keyring::KeyRing,
    notary::Published,
    ports::{Hint, Registry},
    proofs::Hashes,
    stamping::Stamps,
    views::people::LOGIN_BYTES_MAX,
};
use tokio::sync::{mpsc, watch};

use crate::{
    auth::{self, Gatekeeper},
    decisions::Decisions,
    pack::turns::Turns,
    problem::Problem,
    readings::Readings,
    staging::Staging,
    streams::Streams,
};

/// Everything the web serves from.
pub struct Inner {
    /// The door.
    pub door: Door,
    /// The latest checkpoint.
    pub published: watch::Receiver<Published>,
    /// The latest checkpoint that a quorum of witnesses cosigned, where witnesses are asked.
    pub cosigned: Option<watch::Receiver<Published>>,
    /// The timestamps of checkpoints, where an authority is asked.
    pub stamps: Option<Stamps>,
    /// The keys that sign checkpoints.
    pub keys: Arc<KeyRing>,
    /// Why no checkpoint is published, while that is so.
    pub trouble: watch::Receiver<Option<String>>,
    /// Enforcement decisions.
    pub decisions: Decisions,
    /// Sign-in, sessions and tokens.
    pub gatekeeper: Gatekeeper,
    /// The registries, for their webhooks.
    pub registries: BTreeMap<RegistryName, Arc<dyn Registry>>,
    /// What was read in bulk lately.
    pub readings: Readings,
    /// Whose evidence pack is made: one at a time.
    pub packs: Turns,
    /// What proofs are made from.
    pub proofs: Hashes,
    /// Where webhook hints go.
    pub hints: mpsc::Sender<Hint>,
    /// Where uploads are staged.
    pub uploads: Staging,
    /// How long an enforcement decision can be explained after it was last asked.
    pub decisions_kept: SignedDuration,
    /// The ledger's origin.
    pub origin: String,
    /// Proxies in front that are trusted to say whom they speak for; those on this machine always are.
    pub proxies: Vec<IpAddr>,
    /// The streams of events that are open.
    pub streams: Streams,
    /// Turns true at shutdown, to end streams.
    pub stop: watch::Receiver<bool>,
}

/// The shared application.
#[derive(Clone)]
pub struct App(pub Arc<Inner>);

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl FromRef<App> for Door {
    fn from_ref(app: &App) -> Self {
        app.door.clone()
    }
}

/// A JSON body, strictly of its type.
#[derive(Debug, FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub struct Json<T>(pub T);

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The names in a path.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);

/// The query of an address.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);

/// The id of the command that a request or form makes: the same one again is answered with the first outcome.
#[derive(Debug, Clone)]
pub struct Once(pub CommandId);

impl App {
    /// The key that verifies checkpoints: the one that signs them now.
    #[must_use]
    pub fn verifier_key(&self) -> String {
        let vkeys = self.keys.vkeys();
        vkeys.first().map(ToString::to_string).unwrap_or_default()
    }

    /// The checkpoint that is shown to the world.
    pub fn checkpoint(&self) -> Published {
        shown(&self.published, self.cosigned.as_ref())
    }

    /// The checkpoint to prove entry `index` with: the one that is shown if it covers it, else the last signed one.
    pub fn checkpoint_over(&self, index: u64) -> Option<Published> {
        let shown = Some(self.checkpoint()).filter(|shown| index < shown.size);
        shown.or_else(|| {
            let signed = self.published.borrow();
            (index < signed.size).then(|| signed.clone())
        })
    }

    /// Submits one command through the door.
    ///
    /// # Errors
    /// A problem with the refusal or failure.
    pub async fn submit(
        &self,
        caller: Caller,
        once: Once,
        command: Command,
        sealed: Vec<SealedValue>,
    ) -> Result<Outcome, Problem> {
        let request = Request {
            caller,
            command_id: once.0,
            commands: vec![command],
            sealed,
            causation: None,
        };
        let outcome = self.door.submit(request).await?;
        // Whoever has a new password from somebody else signs in with it, wherever they are now.
        for (stream, event) in &outcome.events {
            if let (Stream::Person(person), Event::CredentialSet(set)) = (stream, event)
                && set.by_other
            {
                auth::end_sessions(self, person, None).await?;
            }
        }
        Ok(outcome)
    }

    /// The readable text of a sealed field, or a word that says it was erased.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unseal(&self, sealed: &lumos_domain::seal::Sealed) -> Result<String, Problem> {
        let text = self
            .door
            .ports()
            .store
            .unseal(std::slice::from_ref(sealed))
            .await?
            .pop()
            .flatten();
        Ok(text.unwrap_or_else(|| "(erased)".to_owned()))
    }
}

/// Why `command` would be refused now, if it would be: asked of the same rules that decide.
///
/// # Errors
/// [`Halt::Need`] when something must be loaded first.
pub fn refusal(
    world: &World,
    caller: &Caller,
    command: &Command,
    now: Timestamp,
) -> Result<Option<Refusal>, Halt> {
    match decide(world, caller, command, now) {
        Ok(_) => Ok(None),
        Err(Halt::Refused(refusal)) => Ok(Some(refusal)),
        Err(need @ Halt::Need(_)) => Err(need),
    }
}

/// A login that can sign in.
///
/// # Errors
/// When it is empty or longer than any that is looked up.
pub fn login(given: &str) -> Result<&str, Problem> {
    let login = text("login", given)?;
    if login.len() > LOGIN_BYTES_MAX {
        let detail = format!("the login is over {LOGIN_BYTES_MAX} bytes");
        return Err(Problem::bad("text-too-long", detail));
    }
    Ok(login)
}

/// A required, bounded piece of free text.
///
/// # Errors
/// When it is empty or over 4,000 characters.
pub fn text<'a>(what: &'static str, text: &'a str) -> Result<&'a str, Problem> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(Problem::bad("empty-text", format!("the {what} is empty"))),
        1..=4_000 => Ok(text),
        _ => Err(Problem::bad(
            "text-too-long",
            format!("the {what} is over 4000 characters"),
        )),
    }
}
