//! People and machines talk to LUMOS: the JSON API, the pages, live updates. Handlers translate; they hold
//! no rule and no SQL of governed state.

pub mod api;
pub mod app;
pub mod auth;
pub mod decisions;
pub mod log_review;
pub mod pack;
pub mod pages;
pub mod problem;
pub mod proposals;
pub mod readings;
pub mod routes;
pub mod staging;
pub mod streams;
pub mod sweep;
pub mod witness;

/// The tables of the web: sessions, decision counts, webhook deliveries, idempotency keys.
#[must_use]
pub fn schema() -> Vec<&'static str> {
    [
        auth::SCHEMA,
        decisions::SCHEMA,
        api::hooks::SCHEMA,
        api::act::SCHEMA,
    ]
    .concat()
}
