//! Pages for people: server-rendered, every action a plain form first.

use axum::Router;

use crate::app::App;

/// The pages.
pub fn router() -> Router<App> {
    Router::new()
}
