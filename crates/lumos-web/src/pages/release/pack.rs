//! The evidence pack of a release as pages: its page, and each file that the page leads to. The whole of it is an
//! archive over the API, and only that is a reading that is recorded.

use axum::{
    http::header,
    response::{Html, IntoResponse as _, Response},
};
use lumos_domain::id::{ModelName, ReleaseId, Version};

use super::Named;
use crate::{
    api::packs,
    pages::{
        frame::{Path, Visit},
        oops::Oops,
    },
    problem::Problem,
};

/// What opens the commitments of names comes with the archive, whose making is an entry, and not file by file.
const UNLOCKS: &str = "opened.json";

/// The page of the pack, for the screen and for paper.
pub(in crate::pages) async fn show(
    visit: Visit,
    Path((model, version)): Path<Named>,
) -> Result<Response, Oops> {
    let html = one(&visit, model, version, "index.html").await?;
    Ok(Html(html).into_response())
}

/// One file that the page leads to.
pub(in crate::pages) async fn file(
    visit: Visit,
    Path((model, version, file)): Path<(ModelName, Version, String)>,
) -> Result<Response, Oops> {
    let bytes = one(&visit, model, version, &file).await?;
    // Never as what a browser would run: blobs come from outside.
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((headers, bytes).into_response())
}

async fn one(
    visit: &Visit,
    model: ModelName,
    version: Version,
    file: &str,
) -> Result<Vec<u8>, Oops> {
    visit.must_read(None).await?;
    if file == UNLOCKS {
        return Err(Problem::not_found("file").into());
    }
    let release = ReleaseId { model, version };
    Ok(packs::one_file(&visit.app, &visit.who, release, file).await?)
}
