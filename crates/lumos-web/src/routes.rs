//! Everything that can be called, in one place: the table of contents of the web.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};

use crate::{api, app::App, pages, problem::Problem};

/// The most bytes of a JSON body or form; uploads have their own limit.
const BODY_BYTES_MAX: usize = 4 << 20;

/// The whole site.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(pages::router())
        .merge(api::router())
        .fallback(absent)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app)
}

/// Nothing is here: said to a program as a problem, to a person as a page.
async fn absent(uri: Uri) -> Response {
    let problem = Problem::not_found("such address");
    if uri.path().starts_with("/api/") {
        problem.into_response()
    } else {
        pages::refuse(problem)
    }
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("`{}` does not answer to {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "bad-request", detail)
}
