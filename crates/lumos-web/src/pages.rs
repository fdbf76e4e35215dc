//! Pages for people: server-rendered, every action a plain form first. A page translates what the ledger
//! says into words and tables; what may be done is asked of the same rules that decide.

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};

use crate::{app::App, problem::Problem};

mod ask;
mod assets;
pub(crate) mod filters;
mod frame;
mod inbox;
mod ledger;
mod log_review;
mod models;
mod oops;
mod password;
mod policies;
mod proposals;
mod release;
mod releases;
mod runtime;
mod say;
mod show;
mod sign_in;
mod systems;
#[cfg(test)]
mod tests;

/// Rows on one page of a list.
const ROWS: u32 = 50;

/// What a page may load and do: its own files, its own forms, nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The page of an evidence pack brings its own style, since it is also read from a folder; it loads nothing at all.
const PACK_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

/// The pages.
pub fn router() -> Router<App> {
    Router::new()
        .route("/", get(inbox::show))
        .route("/sign-in", get(sign_in::show).post(sign_in::enter))
        .route("/sign-out", post(sign_in::leave))
        .route("/password", get(password::show).post(password::change))
        .route("/releases", get(releases::show))
        .route("/releases/{model}/{version}", get(release::show))
        .route(
            "/releases/{model}/{version}/sign",
            post(release::actions::sign),
        )
        .route(
            "/releases/{model}/{version}/remark",
            post(release::actions::remark),
        )
        .route(
            "/releases/{model}/{version}/claim",
            post(release::actions::claim),
        )
        .route(
            "/releases/{model}/{version}/withdraw",
            post(release::actions::withdraw),
        )
        .route(
            "/releases/{model}/{version}/revoke",
            post(release::actions::revoke),
        )
        .route(
            "/releases/{model}/{version}/next-gate",
            post(release::actions::next_gate),
        )
        .route(
            "/releases/{model}/{version}/evidence-pack/",
            get(release::pack::show),
        )
        .route(
            "/releases/{model}/{version}/evidence-pack/{*file}",
            get(release::pack::file),
        )
        .route("/ledger", get(ledger::show))
        // Beside the tlog-tiles, which own every other path below `/ledger/`.
        .route("/ledger/entry/{index}", get(ledger::entry::show))
        .route("/log-review", get(log_review::show).post(log_review::sign))
        .route("/log-review/{matter}", get(log_review::entries))
        .route("/models", get(models::show))
        .route("/models/{model}", get(models::one))
        .route("/systems", get(systems::show))
        .route("/systems/{system}/stop", post(systems::actions::stop))
        .route("/systems/{system}/resume", post(systems::actions::resume))
        .route("/proposals", get(proposals::show))
        .route("/proposals/{proposal}/confirm", post(proposals::confirm))
        .route("/proposals/{proposal}/decline", post(proposals::decline))
        .route("/ask", get(ask::begin))
        .route("/ask/{question}", get(ask::show))
        .route("/policies", get(policies::show))
        .route("/runtime", get(runtime::show))
        .route("/runtime/{agent}/retry", post(runtime::retry))
        .layer(middleware::from_fn(guarded))
        .merge(assets::router())
}

/// A problem as a page, for an address that no page has.
pub(crate) fn refuse(problem: Problem) -> Response {
    oops::Oops::from(problem).into_response()
}

/// Says on every page, errors included, what a browser may do with it.
async fn guarded(request: Request, next: Next) -> Response {
    let response_is_pack = request.uri().path().ends_with("/evidence-pack/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            if response_is_pack {
                PACK_POLICY
            } else {
                POLICY
            },
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
