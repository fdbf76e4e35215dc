//! Everything that can be called, in one place: the table of contents of the web.

use axum::{Router, extract::DefaultBodyLimit};

use crate::{api, app::App, pages};

/// The most bytes of a JSON body or form; uploads have their own limit.
const BODY_BYTES_MAX: usize = 4 << 20;

/// The whole site.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(pages::router())
        .merge(api::router())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app)
}
