//! The ledger, for programs: entries, proofs, and the C2SP tlog-tiles that foreign verifiers read.

use std::time::Duration;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use lumos_domain::{actor::Right, words::Reading};
use lumos_engine::{
    LedgerEntry, keyring,
    notary::Published,
    ports::PortError,
    stamping::{self, Stamp},
};
use lumos_ledger::{
    tile::{self, Kind, Tile},
    tlog_proof::TlogProof,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::{App, Json, Path, Query},
    auth::SignedIn,
    problem::Problem,
    readings,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(receipt))
        .routes(routes!(timestamps))
}

/// The tlog-tiles of the ledger, for tools that know the format and not LUMOS.
pub(super) fn tiles() -> Router<App> {
    Router::new()
        .route("/ledger/checkpoint", get(checkpoint))
        .route("/ledger/handover/{key_id}", get(handover))
        .route("/ledger/{*path}", get(tile_file))
}

/// An entry in a list.
#[derive(Serialize, ToSchema)]
pub(super) struct EntryItem {
    index: u64,
    #[schema(value_type = String)]
    time: Timestamp,
    stream: String,
    actor: String,
    #[serde(rename = "type")]
    kind: String,
}

impl From<LedgerEntry> for EntryItem {
    fn from(entry: LedgerEntry) -> Self {
        Self {
            index: entry.index,
            time: entry.time,
            stream: entry.stream.to_string(),
            actor: entry.actor.to_string(),
            kind: entry.event.kind().to_owned(),
        }
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
struct Page {
    /// The first index to read.
    from: Option<u64>,
    /// How many, 1,000 at most.
    limit: Option<u32>,
}

/// Entries in order.
#[utoipa::path(get, path = "/api/v1/ledger/entries", tag = "ledger", params(Page),
    responses((status = 200, body = [EntryItem]), (status = "4XX", body = Problem)))]
async fn list(
    State(app): State<App>,
    who: SignedIn,
    Query(page): Query<Page>,
) -> Result<Json<Vec<EntryItem>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let (from, limit) = (page.from.unwrap_or(0), page.limit.unwrap_or(100).min(1_000));
    let stored = app.door.ports().store.entries(from, limit).await?;
    let entries = stored
        .iter()
        .map(LedgerEntry::read)
        .collect::<Result<Vec<_>, _>>();
    let entries = entries.map_err(|e| Problem::from(lumos_engine::DoorError::from(e)))?;
    Ok(Json(entries.into_iter().map(EntryItem::from).collect()))
}

/// The stored bytes of one entry: what was hashed.
#[utoipa::path(get, path = "/api/v1/ledger/entries/{index}", tag = "ledger", params(("index" = u64, Path)),
    responses((status = 200, body = Object), (status = "4XX", body = Problem)))]
async fn show(
    State(app): State<App>,
    who: SignedIn,
    Path(index): Path<u64>,
) -> Result<Response, Problem> {
    who.must(&app, Right::Read, None).await?;
    let stored = app
        .door
        .ports()
        .store
        .entries(index, 1)
        .await?
        .into_iter()
        .next();
    let stored = stored
        .filter(|entry| entry.index == index)
        .ok_or_else(|| Problem::not_found("such entry"))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], stored.bytes).into_response())
}

/// What is read as tiles.
pub(super) const TILES: &str = "entries";

/// How long a receipt waits for others to vouch for its checkpoint.
const WAIT: Duration = Duration::from_secs(30);

#[derive(Deserialize, utoipa::IntoParams)]
struct Wait {
    /// `witnessed`: answer once a quorum of witnesses cosigned a checkpoint over the entry; `timestamped`: once an
    /// authority stamped one, with that checkpoint. Within 30 seconds.
    #[param(value_type = Option<String>)]
    wait: Option<WaitFor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WaitFor {
    Witnessed,
    Timestamped,
}

/// The receipt of one entry: the entry, its index, inclusion proof and checkpoint (C2SP tlog-proof).
#[utoipa::path(get, path = "/api/v1/ledger/entries/{index}/proof", tag = "ledger", params(("index" = u64, Path), Wait),
    responses((status = 200, body = String), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
async fn receipt(
    State(app): State<App>,
    who: SignedIn,
    Path(index): Path<u64>,
    Query(wait): Query<Wait>,
) -> Result<Response, Problem> {
    who.must(&app, Right::Read, None).await?;
    let proof = match wait.wait {
        None => inclusion(&app, index).await?,
        Some(until) => {
            if index >= app.door.ports().store.frontier().await?.size() {
                return Err(Problem::not_found("such entry"));
            }
            let covered = match until {
                WaitFor::Witnessed => witnessed(&app, index).await?,
                WaitFor::Timestamped => timestamped(&app, index).await?,
            };
            inclusion_in(&app, index, &covered).await?
        }
    };
    let name = format!("attachment; filename=\"entry-{index}.tlog-proof\"");
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_DISPOSITION, name.as_str()),
        // The next one is against a newer checkpoint.
        (header::CACHE_CONTROL, "private, no-cache"),
    ];
    Ok((headers, proof.to_string()).into_response())
}

/// Waits until a cosigned checkpoint covers entry `index`.
async fn witnessed(app: &App, index: u64) -> Result<Published, Problem> {
    let Some(cosigned) = app.cosigned.clone() else {
        return Err(Problem::bad(
            "no-witnesses",
            "this server asks no witnesses: its settings name none",
        ));
    };
    covered(cosigned, index).await.ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-witnessed",
            "too few witnesses have cosigned a checkpoint over this entry yet",
        )
    })
}

/// Has a checkpoint over entry `index` stamped, if none is.
async fn timestamped(app: &App, index: u64) -> Result<Published, Problem> {
    let Some(stamps) = app.stamps.clone() else {
        return Err(Problem::bad(
            "no-timestamps",
            "this server asks no timestamp authority: its settings name none",
        ));
    };
    let stamped = async {
        // What is stamped is what is shown: that has to cover the entry first.
        let shown = app.cosigned.clone().unwrap_or(app.published.clone());
        covered(shown, index).await?;
        stamps.wanted.notify_one();
        covered(stamps.latest, index).await
    };
    stamped.await.ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-timestamped",
            "the authority has not stamped a checkpoint over this entry yet",
        )
    })
}

async fn covered(mut heads: watch::Receiver<Published>, index: u64) -> Option<Published> {
    let covered = heads.wait_for(|head| index < head.size);
    let covered = tokio::time::timeout(WAIT, covered).await;
    covered.ok()?.ok().map(|head| head.clone())
}

/// The receipt of entry `index` against the checkpoint that is shown, or the last signed one, with the entry in it: one
/// file is all that somebody needs beside the ledger's key.
///
/// # Errors
/// When the entry is not covered by it yet, or the store fails.
pub async fn inclusion(app: &App, index: u64) -> Result<TlogProof, Problem> {
    let published = app.checkpoint_over(index).ok_or_else(|| {
        Problem::not_found("such entry under the published checkpoint; ask again in a moment")
    })?;
    inclusion_in(app, index, &published).await
}

async fn inclusion_in(app: &App, index: u64, published: &Published) -> Result<TlogProof, Problem> {
    let store = &*app.door.ports().store;
    let path = app.proofs.inclusion(store, index, published.size).await?;
    let checkpoint = String::from_utf8(published.note.to_vec())
        .map_err(|e| PortError::new("reading our own checkpoint", e))?;
    let entry = store.entries(index, 1).await?.into_iter().next();
    let entry = entry.filter(|entry| entry.index == index);
    Ok(TlogProof {
        extra: entry.map(|entry| entry.bytes),
        index,
        hashes: path,
        checkpoint,
    })
}

/// A checkpoint with its timestamp.
#[derive(Serialize, ToSchema)]
struct StampView {
    /// Entries under the checkpoint.
    size: u64,
    /// When the authority says it saw it.
    #[schema(value_type = String)]
    time: Timestamp,
    /// The file that was stamped.
    checkpoint: String,
    /// The reply of the authority (RFC 3161) in base64.
    reply: String,
}

/// Checkpoints that a foreign authority stamped, oldest first; `from` is a size.
#[utoipa::path(get, path = "/api/v1/ledger/timestamps", tag = "ledger", params(Page),
    responses((status = 200, body = [StampView]), (status = "4XX", body = Problem)))]
async fn timestamps(
    State(app): State<App>,
    who: SignedIn,
    Query(page): Query<Page>,
) -> Result<Json<Vec<StampView>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let (from, limit) = (page.from.unwrap_or(0), page.limit.unwrap_or(100).min(1_000));
    let stamps = stamping::stamps(&*app.door.ports().store, from, limit).await?;
    let view = |stamp: Stamp| StampView {
        size: stamp.size,
        time: stamp.time,
        checkpoint: stamp.note,
        reply: STANDARD.encode(stamp.reply),
    };
    Ok(Json(stamps.into_iter().map(view).collect()))
}

async fn checkpoint(State(app): State<App>) -> Response {
    let note = app.checkpoint().note;
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        // Short, so that a cache in between hides no new entry for long (tlog-tiles).
        (header::CACHE_CONTROL, "max-age=5"),
    ];
    (headers, note.to_vec()).into_response()
}

/// The checkpoint by which a key handed over to the next: both signed it. It is as public as the checkpoint.
async fn handover(State(app): State<App>, Path(key_id): Path<String>) -> Result<Response, Problem> {
    let store = &*app.door.ports().store;
    let note = keyring::handover(store, &key_id).await?;
    let note = note.ok_or_else(|| Problem::not_found("such handover of a key"))?;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((kind, note).into_response())
}

/// A tile or entry bundle. Entries hold no readable personal data; still they are for signed-in readers.
async fn tile_file(
    State(app): State<App>,
    who: SignedIn,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    who.must(&app, Right::Read, None).await?;
    let tile: Tile = path
        .parse()
        .map_err(|e: tile::Error| Problem::new(StatusCode::BAD_REQUEST, e.code(), e.to_string()))?;
    let size = app.published.borrow().size;
    let bytes = match tile.kind() {
        Kind::Entries => {
            let bundle = bundle(&app, &tile, size).await?;
            readings::note(&app, &who, Reading::Tiles, TILES).await;
            bundle
        }
        Kind::Hashes(_) => {
            let within = Tile::in_tree(tile.kind(), tile.index(), size)
                .is_some_and(|t| tile.width() <= t.width());
            if !within {
                return Err(Problem::not_found("such tile"));
            }
            app.proofs
                .tile(&*app.door.ports().store, &tile, size)
                .await?
        }
    };
    let immutable = "private, max-age=31536000, immutable";
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, immutable),
    ];
    Ok((headers, bytes).into_response())
}

async fn bundle(app: &App, tile: &Tile, size: u64) -> Result<Vec<u8>, Problem> {
    let from = tile.index().saturating_mul(u64::from(tile::WIDTH));
    if from.saturating_add(u64::from(tile.width())) > size {
        return Err(Problem::not_found("such bundle"));
    }
    let stored = app
        .door
        .ports()
        .store
        .entries(from, u32::from(tile.width()))
        .await?;
    let entries = stored.iter().map(|entry| &entry.bytes);
    Ok(tile::encode_bundle(entries).map_err(|e| PortError::new("bundling entries", e))?)
}
