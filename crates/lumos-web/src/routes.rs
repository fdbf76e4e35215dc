//! Everything that can be called, in one place: the table of contents of the web.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request},
    http::{Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;

use crate::{api, app::App, pages, problem::Problem};

/// The most bytes of a JSON body or form; uploads have their own limit.
const BODY_BYTES_MAX: usize = 4 << 20;
/// What is still read of a body that is refused, and for how long.
const DRAINED_BYTES_MAX: u64 = 256 << 20;
const DRAINED_WITHIN: Duration = Duration::from_secs(10);

/// The whole site.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(pages::router())
        .merge(api::router())
        .fallback(absent)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(too_large))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app)
}

/// Refuses a body that says itself to be too large, once it was sent: a client that still writes when the connection
/// closes never reads why.
async fn too_large(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let upload = request.uri().path().starts_with("/api/v1/uploads/");
    if upload || length.unwrap_or(0) <= BODY_BYTES_MAX as u64 {
        return next.run(request).await;
    }
    let page = !request.uri().path().starts_with("/api/");
    drain(request.into_body()).await;
    let detail = format!("what was sent is larger than {} MiB", BODY_BYTES_MAX >> 20);
    let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail);
    if page {
        pages::refuse(problem)
    } else {
        problem.into_response()
    }
}

/// Reads and forgets what is left of a body, within bounds.
pub(crate) async fn drain(body: Body) {
    let read = async {
        let mut left = DRAINED_BYTES_MAX;
        let mut stream = body.into_data_stream();
        while let Some(Ok(chunk)) = stream.next().await {
            match left.checked_sub(chunk.len() as u64) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // Too slow is as good as too much: then the connection closes.
    let _late: Result<(), _> = tokio::time::timeout(DRAINED_WITHIN, read).await;
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
