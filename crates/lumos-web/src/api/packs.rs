//! Evidence packs as one file (tar), and readings that a client declares itself. Making a pack is an entry, written
//! before the pack is handed over: what cannot be recorded is not read in bulk.

use std::{fs, io, io::Seek as _};

use axum::{
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use jiff::Timestamp;
use lumos_domain::{
    actor::Right,
    event::ReadingRecorded,
    id::{Digest, Environment, ModelName, ReleaseId},
    words::Reading,
};
use lumos_engine::{
    pack::{self, Asked, File, Head, PackError, Source},
    ports::PortError,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ask, ledger, name};
use crate::{
    app::{App, Json, Path, Query},
    auth::SignedIn,
    decisions,
    pack::page,
    problem::Problem,
    readings,
};

/// Changes drawn when nothing else is asked for: the low end of what auditors test (reference: 25 to 60).
pub const SAMPLE: u32 = 25;
/// Files on their way from the ledger to the archive.
const WAITING: usize = 64;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(of_release))
        .routes(routes!(of_period))
        .routes(routes!(declare))
}

/// The evidence about a release, as an archive: a folder with a page, tables, receipts and how to check them.
#[utoipa::path(get, path = "/api/v1/releases/{model}/{version}/evidence-pack", tag = "ledger",
    params(("model" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/x-tar"), (status = "4XX", body = Problem)))]
async fn of_release(
    State(app): State<App>,
    who: SignedIn,
    Path((model, version)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let release = ReleaseId {
        model: name(&model)?,
        version: name(&version)?,
    };
    let model = release.model.clone();
    // It tells of the house, its systems and its people as well.
    who.must(&app, Right::Read, None).await?;
    let about = format!("release {release}");
    archive(&app, &who, &Asked::Release { release }, about, Some(model)).await
}

/// A period, and how its sample is drawn.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
struct Within {
    /// The first instant; 92 days before the end if none is given.
    #[param(value_type = Option<String>)]
    from: Option<Timestamp>,
    /// The first instant after it; now if none is given.
    #[param(value_type = Option<String>)]
    to: Option<Timestamp>,
    /// Where; everywhere if none is named.
    environment: Option<String>,
    /// How many changes are drawn and shown in full; 25 if none is given.
    sample: Option<u32>,
    /// What they are drawn with; the root of the ledger if none is given, which nobody can choose.
    seed: Option<String>,
}

/// What came to run in a period, as an archive: the whole population, what is wrong with it first, and a sample.
#[utoipa::path(get, path = "/api/v1/evidence-pack", tag = "ledger", params(Within),
    responses((status = 200, body = Vec<u8>, content_type = "application/x-tar"), (status = "4XX", body = Problem)))]
async fn of_period(
    State(app): State<App>,
    who: SignedIn,
    Query(within): Query<Within>,
) -> Result<Response, Problem> {
    who.must(&app, Right::Read, None).await?;
    let period = ask::period(within.from, within.to, app.door.ports().clock.now());
    let environment = within.environment.as_deref().map(name::<Environment>);
    let environment = environment.transpose()?;
    let place = environment
        .as_ref()
        .map_or("every environment", Environment::as_str);
    let about = format!("{} to {} in {place}", period.from, period.to);
    let asked = Asked::Period {
        from: period.from,
        to: period.to,
        environment,
        sample: within.sample.unwrap_or(SAMPLE),
        seed: within
            .seed
            .unwrap_or_else(|| head(&app).map_or_else(|_| String::new(), seed)),
    };
    archive(&app, &who, &asked, about, None).await
}

/// The seed that nobody chose.
fn seed(head: Head) -> String {
    head.checkpoint.root().to_base64()
}

/// A reading that a client does piece by piece.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Declared {
    /// `export` or `verification`.
    reading: String,
    /// How many entries.
    size: u64,
}

/// What became of it.
#[derive(Serialize, ToSchema)]
struct Noted {
    /// Ledger index of the entry; absent when you said the same within the hour and there is no new checkpoint since.
    entry: Option<u64>,
}

/// Say that you export or verify the ledger: it becomes an entry, once for each checkpoint in an hour.
#[utoipa::path(post, path = "/api/v1/readings", tag = "ledger", request_body = Declared,
    responses((status = 200, body = Noted), (status = "4XX", body = Problem)))]
async fn declare(
    State(app): State<App>,
    who: SignedIn,
    Json(body): Json<Declared>,
) -> Result<Json<Noted>, Problem> {
    let reading: Reading = body.reading.parse()?;
    if !matches!(reading, Reading::Export | Reading::Verification) {
        let detail = "a client declares `export` or `verification`; everything else is recorded by the server";
        return Err(Problem::bad("unknown-word", detail));
    }
    who.must(&app, Right::Read, None).await?;
    let recorded = ReadingRecorded {
        reading,
        about: "the ledger".to_owned(),
        model: None,
        size: body.size,
        digest: None,
    };
    let covers = (Reading::Tiles, ledger::TILES);
    let entry = readings::declare(&app, &who, recorded, covers).await?;
    Ok(Json(Noted { entry }))
}

fn head(app: &App) -> Result<Head, Problem> {
    let published = app.checkpoint();
    Head::open(&published.note, &app.keys.vkeys())
        .map_err(|e| PortError::new("reading our own checkpoint", e).into())
}

/// Makes a pack, records that it was made, and sends it.
async fn archive(
    app: &App,
    who: &SignedIn,
    asked: &Asked,
    about: String,
    model: Option<ModelName>,
) -> Result<Response, Problem> {
    let turn = app.packs.take(&who.person.person).await?;
    let head = head(app)?;
    let size = head.checkpoint.size();
    let folder = match asked {
        Asked::Release { release } => {
            format!("evidence-{}-{}-{size}", release.model, release.version)
        }
        Asked::Period { .. } => format!("evidence-period-{size}"),
    };
    let (digest, file) = written(app, &head, asked, folder.clone()).await?;
    let reading = ReadingRecorded {
        reading: Reading::EvidencePack,
        about,
        model,
        size,
        digest: Some(digest),
    };
    let entry = readings::record(app, who, reading)
        .await
        .map_err(unrecorded)?;
    let length = file
        .metadata()
        .map_err(|e| PortError::new("reading an evidence pack", e))?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (header::CONTENT_LENGTH, length.len().to_string()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{folder}.tar\""),
        ),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
        (
            header::HeaderName::from_static("lumos-entry"),
            entry.to_string(),
        ),
    ];
    // The archive stays on the disk until it is sent, however slowly it is read, and counts as a request for so long.
    let place = turn.made();
    let stream = ReaderStream::new(tokio::fs::File::from_std(file)).inspect(move |_| {
        let _ = &place;
    });
    Ok((headers, Body::from_stream(stream)).into_response())
}

/// A refusal stays one; a failure says that it is the record that failed, and the way around.
fn unrecorded(problem: Problem) -> Problem {
    if problem.status < 500 {
        return problem;
    }
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "reading-not-recorded",
        format!(
            "the pack was made and is not handed over, because that it was read cannot be written into the ledger now \
             ({}: {}). A copy of the data directory can be read with `lumos evidence-pack --data`",
            problem.code, problem.detail
        ),
    )
}

/// The pack as an archive in a file that has no name, and what stands for all of it.
async fn written(
    app: &App,
    head: &Head,
    asked: &Asked,
    folder: String,
) -> Result<(Digest, fs::File), Problem> {
    let ports = app.door.ports();
    let asks = decisions::asks(&*ports.store).await?;
    let source = Source {
        store: &*ports.store,
        blobs: &*ports.blobs,
        proofs: &app.proofs,
        asks: &asks,
    };
    let (into, files) = mpsc::channel(WAITING);
    let writing = tokio::task::spawn_blocking(move || tar(files, &folder));
    let made = pack::make(source, head, asked, page, into).await;
    let written = writing.await;
    let failed =
        |e: Box<dyn std::error::Error + Send + Sync>| PortError::new("writing an evidence pack", e);
    let digest = match made {
        Ok(digest) => Ok(digest),
        // The reason is the writer's.
        Err(PackError::Taken { .. }) => Err(None),
        Err(error) => Err(Some(error)),
    };
    if let Err(Some(error)) = digest {
        return Err(problem(error));
    }
    let file = written.map_err(|e| failed(e.into()))?;
    let file = file.map_err(|e| failed(e.into()))?;
    let digest = digest.map_err(|_| failed("the writer ended early".into()))?;
    Ok((digest, file))
}

fn tar(mut files: mpsc::Receiver<File>, folder: &str) -> io::Result<fs::File> {
    let mut archive = tar::Builder::new(io::BufWriter::new(tempfile::tempfile()?));
    while let Some(file) = files.blocking_recv() {
        // Nothing of when and where it was made: the same pack is the same bytes.
        let mut header = tar::Header::new_ustar();
        header.set_size(file.bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        archive.append_data(
            &mut header,
            format!("{folder}/{}", file.path),
            file.bytes.as_slice(),
        )?;
    }
    let mut file = archive
        .into_inner()?
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(file)
}

pub(crate) fn problem(error: PackError) -> Problem {
    match error {
        PackError::Door(error) => error.into(),
        PackError::Unknown(_) => {
            Problem::new(StatusCode::NOT_FOUND, error.code(), error.to_string())
        }
        PackError::Period | PackError::Sample => Problem::bad(error.code(), error.to_string()),
        PackError::Write { .. } | PackError::Taken { .. } => {
            tracing::error!(%error, "an evidence pack could not be made");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                error.code(),
                error.to_string(),
            )
        }
    }
}

/// One file of the pack about a release, for a page: nothing is handed over in bulk.
pub(crate) async fn one_file(
    app: &App,
    who: &SignedIn,
    release: ReleaseId,
    path: &str,
) -> Result<Vec<u8>, Problem> {
    let _turn = app.packs.take(&who.person.person).await?;
    let ports = app.door.ports();
    let asks = decisions::asks(&*ports.store).await?;
    let source = Source {
        store: &*ports.store,
        blobs: &*ports.blobs,
        proofs: &app.proofs,
        asks: &asks,
    };
    let asked = Asked::Release { release };
    let file = pack::one_file(source, &head(app)?, &asked, page, path).await;
    let file = file.map_err(problem)?;
    file.ok_or_else(|| Problem::not_found("such file in this pack"))
}
