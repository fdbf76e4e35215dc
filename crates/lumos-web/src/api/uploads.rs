//! Uploads: files stream to a staging folder; the server hashes and scans them there (DECISIONS 20).

use std::path::PathBuf;

use axum::{
    body::{Body, BodyDataStream},
    extract::{DefaultBodyLimit, State},
};
use futures::StreamExt as _;
use jiff::SignedDuration;
use lumos_domain::{actor::Right, id::TokenId, manifest::is_safe_path};
use lumos_engine::{ports::PortError, secret};
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{App, Json, Path},
    auth::SignedIn,
    problem::Problem,
    routes::drain,
    staging::Room,
};

/// The most bytes of one uploaded file: 1 TiB.
const FILE_BYTES_MAX: u64 = 1 << 40;
/// The most bytes of one claim.
const CLAIM_BYTES_MAX: u64 = 1 << 20;

/// How often it is noted that a file still arrives.
const NOTED_EVERY: SignedDuration = SignedDuration::from_mins(1);

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(open))
        .routes(routes!(put))
        .layer(DefaultBodyLimit::disable())
}

/// A staging folder.
#[derive(Serialize, ToSchema)]
struct Upload {
    /// Name it in `POST /api/v1/releases`.
    upload: String,
}

/// Open an upload.
#[utoipa::path(post, path = "/api/v1/uploads", tag = "releases",
    responses((status = 200, body = Upload), (status = "4XX", body = Problem)))]
async fn open(State(app): State<App>, who: SignedIn) -> Result<Json<Upload>, Problem> {
    // Whoever may submit something may stage files; for which model is checked at submission.
    may_submit(&app, &who).await?;
    app.uploads.must_be_open()?;
    let random: TokenId = secret::id(&*app.door.ports().entropy, "u")?;
    let caller = who.person.person.as_str();
    let upload = format!("{caller}.{random}");
    let folder = app.uploads.path(&upload);
    app.uploads.folder(caller, &folder).await?;
    seen(&app, &upload).await?;
    for part in ["files", "evidence"] {
        app.uploads.folder(caller, &folder.join(part)).await?;
    }
    Ok(Json(Upload { upload }))
}

/// Refuses callers who hold the right to submit nowhere.
async fn may_submit(app: &App, who: &SignedIn) -> Result<(), Problem> {
    let id = &who.person.person;
    let limited = who
        .caller
        .limited_to
        .as_ref()
        .is_none_or(|rights| rights.contains(&Right::Submit));
    let held = app
        .door
        .ask(|world| {
            let org = world.org()?;
            let grants = world.person(id)?.grants.iter();
            let carries = |role| {
                org.roles
                    .get(role)
                    .is_some_and(|rights| rights.contains(&Right::Submit))
            };
            Ok(grants.map(|grant| &grant.role).any(carries))
        })
        .await?;
    let refusal = lumos_domain::refusal::Refusal::NotAllowed {
        right: Right::Submit,
    };
    if held && limited {
        Ok(())
    } else {
        Err(lumos_engine::DoorError::from(refusal).into())
    }
}

pub(super) fn staging(error: std::io::Error) -> PortError {
    PortError::new("staging an upload", error)
}

/// The staging folder of `upload`, if it is the caller's.
pub(super) fn folder(app: &App, who: &SignedIn, upload: &str) -> Result<PathBuf, Problem> {
    let own = upload.split_once('.').is_some_and(|(person, random)| {
        person == who.person.person.as_str() && random.chars().all(|c| c.is_ascii_alphanumeric())
    });
    let folder = app.uploads.path(upload);
    if own && folder.is_dir() {
        Ok(folder)
    } else {
        Err(Problem::not_found("such upload of yours"))
    }
}

/// Send one file: `files/PATH` for artifacts, `evidence/KIND` for a claim in JSON. The body is the file.
#[utoipa::path(put, path = "/api/v1/uploads/{upload}/{*path}", tag = "releases",
    params(("upload" = String, Path), ("path" = String, Path)),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200), (status = "4XX", body = Problem)))]
async fn put(
    State(app): State<App>,
    who: SignedIn,
    Path((upload, path)): Path<(String, String)>,
    body: Body,
) -> Result<(), Problem> {
    let folder = folder(&app, &who, &upload)?;
    let part = path.split('/').next().unwrap_or_default();
    if !is_safe_path(&path) || !matches!(part, "files" | "evidence") || part == path {
        return Err(Problem::bad(
            "bad-name",
            "send files below `files/` or `evidence/`, by a relative path",
        ));
    }
    let target = folder.join(&path);
    let caller = who.person.person.as_str();
    if let Some(parent) = target.parent() {
        app.uploads.folder(caller, parent).await?;
    }
    let mut room = app.uploads.file(caller)?;
    // What is being sent is not idle.
    seen(&app, &upload).await?;
    let file = tokio::fs::File::create_new(&target)
        .await
        .map_err(staging)?;
    let part = Incoming {
        app: &app,
        upload: &upload,
        claim: part == "evidence",
    };
    let mut stream = body.into_data_stream();
    if let Err(problem) = part.receive(file, &mut stream, &mut room).await {
        // Whoever still sends reads no answer.
        drain(Body::from_stream(stream)).await;
        // What was cut off is not half there: it can be sent again.
        tokio::fs::remove_file(&target).await.map_err(staging)?;
        return Err(problem);
    }
    room.keep();
    seen(&app, &upload).await
}

/// Notes that something happened to an upload.
pub(super) async fn seen(app: &App, upload: &str) -> Result<(), Problem> {
    let now = app.door.ports().clock.now();
    Ok(app.uploads.seen(upload, now).await.map_err(staging)?)
}

/// A file that arrives.
struct Incoming<'a> {
    app: &'a App,
    upload: &'a str,
    claim: bool,
}

impl Incoming<'_> {
    /// Writes a body to a file, within the bounds of its kind and of the room there is.
    async fn receive(
        &self,
        mut file: tokio::fs::File,
        stream: &mut BodyDataStream,
        room: &mut Room<'_>,
    ) -> Result<(), Problem> {
        let clock = &*self.app.door.ports().clock;
        let mut noted = clock.now();
        let mut left = if self.claim {
            CLAIM_BYTES_MAX
        } else {
            FILE_BYTES_MAX
        };
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| Problem::bad("bad-request", "the upload was cut off"))?;
            let size = chunk.len() as u64;
            left = left.checked_sub(size).ok_or_else(|| {
                Problem::bad(
                    "too-large",
                    "a file has at most 1 TiB, a claim at most 1 MiB",
                )
            })?;
            room.grow(size)?;
            file.write_all(&chunk).await.map_err(staging)?;
            if clock.now().duration_since(noted) >= NOTED_EVERY {
                seen(self.app, self.upload).await?;
                noted = clock.now();
            }
        }
        file.sync_all().await.map_err(staging)?;
        Ok(())
    }
}
