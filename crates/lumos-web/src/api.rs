//! The JSON API, version 1: each file a noun, each handler who asks, what they ask, the door, the answer.

use axum::{Router, response::IntoResponse, routing::get};
use lumos_domain::{event::Event, id::ParseIdError, seal::SealedValue, stream::Stream};
use lumos_engine::{Outcome, secret::Sealer};
use serde::Serialize;
use utoipa::{OpenApi as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    app::{App, Json},
    problem::Problem,
};

pub(crate) mod act;
pub mod agents;
pub(crate) mod ask;
pub mod enforcement;
pub mod erasure;
pub mod events;
pub mod evidence;
pub mod health;
pub mod hooks;
pub mod keys;
pub mod ledger;
pub mod log_review;
pub mod models;
pub mod packs;
pub mod people;
pub mod proposals;
pub mod releases;
pub mod reviews;
pub mod runtime;
pub mod sessions;
pub mod systems;
pub mod uploads;

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "LUMOS",
    description = "LUMOS decides which model versions may run, and proves it. Every change of governed \
                   state goes through here or the pages, and leaves an entry in the ledger.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Document;

fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(sessions::router())
        .merge(people::router())
        .merge(erasure::router())
        .merge(proposals::router())
        .merge(models::router())
        .merge(uploads::router())
        .merge(releases::router())
        .merge(evidence::router())
        .merge(agents::router())
        .merge(reviews::router())
        .merge(systems::router())
        .merge(enforcement::router())
        .merge(keys::router())
        .merge(ledger::router())
        .merge(log_review::router())
        .merge(ask::router())
        .merge(packs::router())
        .merge(hooks::router())
        .merge(events::router())
        .merge(runtime::router())
        .merge(health::router())
}

/// The API, and the document that describes it.
pub fn router() -> Router<App> {
    let (router, document) = documented().split_for_parts();
    router.merge(ledger::tiles()).route(
        "/api/v1/openapi.json",
        get(move || async move { axum::Json(document).into_response() }),
    )
}

/// The OpenAPI 3.1 document, for `cargo xtask openapi`.
#[must_use]
pub fn openapi() -> String {
    documented()
        .into_openapi()
        .to_pretty_json()
        .unwrap_or_default()
}

/// What a command led to.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// Ledger index of the first entry; absent when everything was so already.
    pub entry: Option<u64>,
    /// The entries, in order.
    pub events: Vec<Happened>,
    /// When it needs two people: the proposal that a second person has to confirm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal: Option<String>,
    /// When a token was confirmed: the second half of it, shown this once. Whoever proposed it has the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half: Option<String>,
}

/// One event of a command.
#[derive(Debug, Serialize, ToSchema)]
pub struct Happened {
    /// The stream it belongs to.
    pub stream: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
}

impl From<Outcome> for Json<Done> {
    fn from(outcome: Outcome) -> Self {
        let mut streams = outcome.events.iter();
        let proposal = streams.find_map(|(stream, event)| match (stream, event) {
            (Stream::Proposal(id), Event::ProposalMade(_)) => Some(id.to_string()),
            _ => None,
        });
        Self(Done {
            proposal,
            half: None,
            entry: outcome.appended.map(|appended| appended.first),
            events: outcome
                .events
                .iter()
                .map(|(stream, event)| Happened {
                    stream: stream.to_string(),
                    kind: event.kind().to_owned(),
                })
                .collect(),
        })
    }
}

/// The answer of every command.
pub type Answer = Result<Json<Done>, Problem>;

/// A name from a request.
fn name<T: std::str::FromStr<Err = ParseIdError>>(text: &str) -> Result<T, Problem> {
    Ok(text.parse()?)
}

/// A sealer on the application's entropy.
fn sealer(app: &App) -> Sealer<'_> {
    Sealer::new(&*app.door.ports().entropy)
}

/// One sealed text and the value behind it.
fn seal_one(app: &App, text: &str) -> (lumos_domain::seal::Sealed, Vec<SealedValue>) {
    let mut sealer = sealer(app);
    let sealed = sealer.seal(text);
    (sealed, sealer.into_values())
}
