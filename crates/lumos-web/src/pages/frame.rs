//! What stands around every page: who is signed in, where one is, and what everybody must know first
//! (a sandbox, a mode that only observes).

use axum::{
    extract::{FromRequest, FromRequestParts},
    http::{Method, request::Parts},
};
use jiff::Timestamp;
use lumos_domain::{
    actor::{Caller, Right},
    command::Command,
    facts::ModeScope,
    id::{CommandId, Digest, ModelName},
    org::Org,
    person::authorise,
    seal::{Sealed, SealedValue},
    words::Mode,
    world::{Halt, World},
};
use lumos_engine::secret::{self, Sealer};
use serde::Deserialize;

use super::{assets, oops::Oops, show::When};
use crate::{
    app::{App, Once},
    auth::SignedIn,
    problem::Problem,
};

/// The parts of the site, in the order of the navigation.
const PLACES: [(&str, &str); 10] = [
    ("/", "Inbox"),
    ("/proposals", "Proposals"),
    ("/releases", "Releases"),
    ("/models", "Models"),
    ("/systems", "Systems"),
    ("/policies", "Policies"),
    ("/ledger", "Ledger"),
    ("/log-review", "Log review"),
    ("/ask", "Ask"),
    ("/runtime", "Runtime"),
];

/// An environment in which denials are only recorded.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    pub(super) systems: String,
    pub(super) environment: String,
    pub(super) until: When,
}

/// What stands around a page.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) here: &'static str,
    /// The reader's name; empty when nobody is signed in.
    pub(super) name: String,
    pub(super) csrf: String,
    /// Makes the forms of this page act once, however often they are sent.
    pub(super) once: String,
    pub(super) sandbox: bool,
    pub(super) observed: Vec<Observed>,
}

impl Frame {
    /// The frame of a page for nobody in particular.
    pub(super) fn bare(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            here: "",
            name: String::new(),
            csrf: String::new(),
            once: String::new(),
            sandbox: false,
            observed: Vec::new(),
        }
    }

    pub(super) const fn places(&self) -> [(&'static str, &'static str); 10] {
        PLACES
    }

    /// Whether the page belongs to this part of the site.
    pub(super) fn is_here(&self, place: &str) -> bool {
        self.here == place
    }

    pub(super) fn asset(&self, name: &str) -> &'static str {
        assets::address(name)
    }

    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self {
            title: "Sample <script>alert(1)</script>".into(),
            here: "/",
            name: "Ada <script>".into(),
            csrf: "csrf-of-this-session".into(),
            once: "nonce".into(),
            sandbox: true,
            observed: vec![Observed {
                systems: "every system".into(),
                environment: "production".into(),
                until: When::sample(),
            }],
        }
    }
}

/// A signed-in person who looks at a page.
pub(super) struct Visit {
    pub(super) app: App,
    pub(super) who: SignedIn,
    pub(super) now: Timestamp,
}

impl FromRequestParts<App> for Visit {
    type Rejection = Oops;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Oops> {
        let who =
            <Option<SignedIn> as FromRequestParts<App>>::from_request_parts(parts, app).await?;
        let path = parts.uri.path();
        let Some(who) = who else {
            if parts.method != Method::GET {
                return Err(Problem::unauthenticated().into());
            }
            let wanted = parts.uri.path_and_query().map_or(path, |p| p.as_str());
            return Err(Oops::Elsewhere(format!("/sign-in?next={}", query(wanted))));
        };
        if who.csrf.is_some()
            && who.person.must_change
            && !["/password", "/sign-out"].contains(&path)
        {
            return Err(Oops::Elsewhere("/password".to_owned()));
        }
        let now = app.door.ports().clock.now();
        let app = app.clone();
        Ok(Self { app, who, now })
    }
}

impl Visit {
    /// The frame of a page of this visit.
    pub(super) async fn frame(&self, title: &str, here: &'static str) -> Result<Frame, Oops> {
        let org = self.app.door.ask(|world| Ok(world.org()?.clone())).await?;
        Ok(Frame {
            title: title.to_owned(),
            here,
            name: self.app.unseal(&self.who.person.name).await?,
            csrf: self.who.csrf.clone().unwrap_or_default(),
            once: secret::secret(&*self.app.door.ports().entropy),
            sandbox: org.sandbox,
            observed: observed(&org, self.now),
        })
    }

    /// Does what a form asks: checks its token, makes one command of it, submits it as the visitor, with the
    /// password they gave.
    pub(super) async fn submit(
        &self,
        sent: &Sent<'_>,
        command: impl FnOnce(&mut Sealer<'_>) -> Result<Command, Problem> + Send,
    ) -> Result<(), Oops> {
        self.who.check_csrf(sent.csrf)?;
        let once = self.once(sent.once, &sent.content)?;
        let entropy = self.app.door.ports().entropy.clone();
        let (command, sealed) = {
            let mut sealer = Sealer::new(&*entropy);
            let command = command(&mut sealer)?;
            (command, sealer.into_values())
        };
        let caller = self
            .who
            .with_password(&self.app, Some(sent.password))
            .await?;
        self.app.submit(caller, once, command, sealed).await?;
        Ok(())
    }

    /// Refuses a visitor without the right to read, everywhere or about `model`.
    pub(super) async fn must_read(&self, model: Option<&ModelName>) -> Result<(), Oops> {
        Ok(self.who.must(&self.app, Right::Read, model).await?)
    }

    /// The id of the command that a form makes: the same form with the same content sent twice acts once,
    /// while other content from the same page is another command. The page's random number keeps the id
    /// from telling anything about the content.
    pub(super) fn once(&self, nonce: &str, content: &[&str]) -> Result<Once, Oops> {
        if nonce.is_empty() || nonce.len() > 256 {
            let detail = "this form lacks its number; load the page again";
            return Err(Problem::bad("bad-request", detail).into());
        }
        let actor = self.who.caller.actor.to_string();
        let parts = [actor.as_str(), nonce]
            .into_iter()
            .chain(content.iter().copied());
        let name: String = parts.map(|part| format!("{}:{part}", part.len())).collect();
        let id: CommandId = format!("page.{}", Digest::of(name.as_bytes()).hex())
            .parse()
            .map_err(Problem::from)?;
        Ok(Once(id))
    }
}

/// What every form brings, and what makes it another one than the next.
pub(super) struct Sent<'a> {
    pub(super) csrf: &'a str,
    pub(super) once: &'a str,
    pub(super) password: &'a str,
    /// Everything but token, number and password.
    pub(super) content: Vec<&'a str>,
}

/// The fields of a form that asks for nothing but a reason, or not even that.
#[derive(Debug, Deserialize)]
pub(super) struct Reasoned {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    once: String,
    #[serde(default)]
    pub(super) reason: String,
}

impl Reasoned {
    /// What it sends to do `verb` about `what`.
    pub(super) fn sent<'a>(&'a self, verb: &'a str, what: &'a str) -> Sent<'a> {
        Sent {
            csrf: &self.csrf,
            once: &self.once,
            password: "",
            content: vec![verb, what, &self.reason],
        }
    }
}

/// A commitment to nothing, for commands that are only tried out.
pub(super) fn no_text() -> Sealed {
    SealedValue::new([0; 32], String::new()).commitment
}

/// Where denials are only recorded now, and until when.
fn observed(org: &Org, now: Timestamp) -> Vec<Observed> {
    let running = org.modes.iter().filter_map(|((scope, environment), set)| {
        let until = set.until.filter(|until| now < *until)?;
        let systems = match scope {
            ModeScope::Every => "every system without a mode of its own".to_owned(),
            ModeScope::System(system) => format!("system {system}"),
        };
        (set.mode == Mode::Observe).then(|| Observed {
            systems,
            environment: environment.to_string(),
            until: When::of(until, now),
        })
    });
    running.collect()
}

/// Whether `caller` holds `right` for `model`.
pub(super) fn may(
    world: &World,
    caller: &Caller,
    right: Right,
    model: Option<&ModelName>,
) -> Result<bool, Halt> {
    match authorise(world, caller, right, model) {
        Ok(()) => Ok(true),
        Err(Halt::Refused(_)) => Ok(false),
        Err(need @ Halt::Need(_)) => Err(need),
    }
}

/// `text` as it can stand in the query of an address.
pub(super) fn query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The names in a path; what does not fit is a page, not problem+json.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Oops))]
pub(super) struct Path<T>(pub(super) T);

/// The query of an address.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Oops))]
pub(super) struct Query<T>(pub(super) T);

/// The fields of a form.
#[derive(Debug, FromRequest)]
#[from_request(via(axum::Form), rejection(Oops))]
pub(super) struct Form<T>(pub(super) T);
