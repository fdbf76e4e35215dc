//! The style sheet and the scripts, served from the binary under addresses that name their content.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use lumos_domain::id::Digest;

use crate::app::App;

struct Asset {
    name: &'static str,
    media: &'static str,
    bytes: &'static [u8],
}

const ASSETS: [Asset; 3] = [
    Asset {
        name: "lumos.css",
        media: "text/css; charset=utf-8",
        bytes: include_bytes!("../../assets/lumos.css"),
    },
    Asset {
        name: "verify.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../assets/verify.js"),
    },
    Asset {
        name: "live.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../assets/live.js"),
    },
];

/// Where each asset is: its name with the first half of its digest, so that it can be kept for ever.
static ADDRESSES: LazyLock<[String; 3]> = LazyLock::new(|| {
    ASSETS.map(|asset| {
        let digest = Digest::of(asset.bytes).hex();
        format!("/assets/{}/{}", &digest[..32], asset.name)
    })
});

/// The address of the asset `name`.
pub(super) fn address(name: &str) -> &'static str {
    let known = ASSETS.iter().position(|asset| asset.name == name);
    known.map_or("/assets/unknown", |at| &ADDRESSES[at])
}

pub(super) fn router() -> Router<App> {
    Router::new().route("/assets/{digest}/{name}", get(serve))
}

async fn serve(Path((digest, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // Another digest is an older page's address: the content is the newest, and nobody may keep it.
    let current = address(asset.name).contains(&digest);
    let keep = if current {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let tag = format!("\"{}\"", Digest::of(asset.bytes).hex());
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let answer = [
        (header::CONTENT_TYPE, asset.media.to_owned()),
        (header::CACHE_CONTROL, keep.to_owned()),
        (header::ETAG, tag),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, answer).into_response();
    }
    (answer, asset.bytes).into_response()
}
