//! The JSON API, version 1.

use axum::Router;

use crate::app::App;

/// The API.
pub fn router() -> Router<App> {
    Router::new()
}
