//! `lumos ledger verify`: three questions, answered apart. Integrity: does every hash agree, from leaf to signed
//! checkpoint? Completeness: is there a gap, and is every business record what the entries say? Anchored range: which
//! prefix does somebody other than the log vouch for? A yes to one says nothing of the others.

use std::{
    fs,
    io::{IsTerminal as _, Write as _},
    num::NonZero,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use lumos_engine::{log_review::Signatures, views::compare::Compared};
use lumos_ledger::{
    Checkpoint, VerifierKey,
    checkpoint::Opened,
    note::Algorithm,
    tlog_policy::TlogPolicy,
    tlog_proof::TlogProof,
    verify::{
        Depth, Error, Progress, Report, Trust,
        anchored::{Anchored, anchored},
        verify_watched,
    },
};
use tokio::runtime::Handle;

use super::{
    records,
    said::{Answers, Integrity, Since},
    stamped,
    target::{self, Database, Live, Target},
    trust::{self, KeyProblem, Reached, Step, Voucher},
};
use crate::{
    cli::{Common, Verify},
    commands::{Out, Said},
    remote::Remote,
};

/// Requests under way at once, when a server is read.
const REQUESTS: usize = 8;

/// Whom the caller trusts.
pub(super) struct Trusted {
    pub(super) keys: Vec<VerifierKey>,
    pub(super) policy: Option<TlogPolicy>,
}

impl Trusted {
    /// From a policy or a key; else `believed`, which is said aloud.
    pub(super) fn of(
        asked: &Verify,
        believed: impl FnOnce() -> Result<Vec<String>>,
    ) -> Result<Self> {
        if let Some(path) = &asked.policy {
            let bytes = read(path)?;
            let policy = TlogPolicy::parse(&bytes)
                .with_context(|| format!("reading `{}`", path.display()))?;
            return Ok(Self {
                keys: policy.keys().to_vec(),
                policy: Some(policy),
            });
        }
        let keys = match &asked.vkey[..] {
            [_, ..] => {
                let keys = asked.vkey.iter().map(|key| key.parse());
                keys.collect::<Result<_, _>>().context("reading --vkey")?
            }
            [] => {
                let keys = believed()?;
                eprintln!(
                    "no --vkey was given: believing the other side's own, which proves only consistency"
                );
                let keys = keys.iter().map(|key| key.parse());
                keys.collect::<Result<_, _>>()
                    .context("reading verifier keys")?
            }
        };
        Ok(Self { keys, policy: None })
    }
}

/// Verifies what is asked for.
///
/// # Errors
/// When something that the caller named cannot be read. What does not verify is a [`Said::No`].
pub(super) async fn run(asked: Verify, common: &Common, out: Out) -> Result<Said> {
    let handle = Handle::current();
    let live = match (&asked.target, &common.data) {
        (None, None) => Some(Remote::of(common)?),
        (None, Some(_)) if common.server.is_some() => Some(Remote::of(common)?),
        _ => None,
    };
    if let (Some(remote), None) = (&live, &asked.target) {
        let note = remote.bytes("/ledger/checkpoint").await?;
        let size = std::str::from_utf8(&note).ok();
        let size = size.and_then(|note| note.lines().nth(1)?.parse().ok());
        super::declare(remote, "verification", size.unwrap_or_default()).await;
    }
    let data = common.data.clone();
    let work = move || match (&asked.target, live) {
        (Some(path), _) if path.is_file() && !target::is_database(path) => {
            super::receipt::verify(&asked, path, out)
        }
        (Some(path), _) if super::pack::is_pack(path) => super::pack::verify(&asked, path, out),
        (_, Some(remote)) => {
            let handle_of_live = handle.clone();
            let live = Live {
                remote,
                handle: handle_of_live,
            };
            whole(&asked, Target::Live(live), None, &handle, out)
        }
        (path, None) => {
            let path = path.as_deref().or(data.as_deref());
            let path = path.context("naming what to verify")?;
            if !target::is_database(path) {
                let export = Target::Export(path.to_owned());
                return whole(&asked, export, Some(path), &handle, out);
            }
            let checkpoint = target::anchored(path)?;
            match Database::open(path, handle.clone()) {
                Ok(database) => {
                    let data = Target::Data(database, checkpoint);
                    whole(&asked, data, Some(path), &handle, out)
                }
                Err(error) => match error.downcast::<lumos_store::OpenError>() {
                    Ok(broken) => {
                        Answers::broken(&format!("{:#}", anyhow::Error::new(broken))).tell(out)
                    }
                    Err(error) => Err(error),
                },
            }
        }
    };
    // Reading blocks, on files or on a server that is asked from threads of its own.
    tokio::task::spawn_blocking(work)
        .await
        .context("verifying broke")?
}

/// Verifies a whole log.
fn whole(
    asked: &Verify,
    target: Target,
    path: Option<&Path>,
    handle: &Handle,
    out: Out,
) -> Result<Said> {
    let trusted = Trusted::of(asked, || own_keys(&target, handle))?;
    let stated = trust::stated(&target, handle);
    let keys = trust::candidates(&trusted.keys, &stated);
    let since = asked.since.iter().map(|path| since(path, &keys, handle));
    let since = since.collect::<Result<Vec<_>>>()?;
    let stamped = stamped::all(asked, &keys)?;
    let (handovers, wrong) = match trust::handovers(&target, &trusted.keys, &keys) {
        Ok(handovers) => (handovers, None),
        Err(wrong) => (Vec::new(), Some(wrong)),
    };
    let held = since.iter().map(|held| &held.checkpoint);
    let earlier = held
        .chain(stamped.iter().map(|stamped| &stamped.checkpoint))
        .chain(handovers.iter().map(|handover| &handover.checkpoint));
    let earlier: Vec<Checkpoint> = earlier.cloned().collect();
    let trust = Trust {
        keys: &keys,
        earlier: &earlier,
        depth: Depth::default(),
        keep: Some("keys"),
    };
    let (integrity, report) = match wrong {
        Some(wrong) => (Integrity::Broken(wrong.into()), None),
        None => integrity(&target, &trust),
    };
    let held = Held {
        trusted: &trusted.keys,
        keys: &keys,
        since: &since,
        handovers: &handovers,
    };
    let (integrity, report, steps, refused) = believed(integrity, report, &held);
    let (records, log_reviews) = match &report {
        None => (None, None),
        Some(report) => beside(&target, report, path, &keys, handle),
    };
    let anchored = match (&report, &trusted.policy) {
        (Some(report), Some(policy)) => Some(range(report, policy, &since)),
        _ => None,
    };
    Answers {
        integrity,
        report,
        records,
        log_reviews,
        since,
        stamped,
        anchored,
        steps,
        refused,
    }
    .tell(out)
}

/// What entries say beside their hashes: the records that follow from them, and what was signed about them.
fn beside(
    target: &Target,
    report: &Report,
    path: Option<&Path>,
    keys: &[VerifierKey],
    handle: &Handle,
) -> (Option<Result<Compared>>, Option<Result<Signatures>>) {
    let both = match target {
        Target::Export(_) => {
            let signatures = records::of_export(target, &report.checkpoint, handle);
            return (None, Some(signatures));
        }
        Target::Live(live) => records::of_server(target, live, keys, handle),
        Target::Data(database, _) => {
            let signed = report.checkpoint.size();
            let dir = path.context("naming the data directory");
            dir.and_then(|dir| records::of_database(target, database, dir, signed, handle))
        }
    };
    match both {
        Ok((compared, signatures)) => (Some(Ok(compared)), Some(Ok(signatures))),
        Err(error) => (Some(Err(error)), None),
    }
}

/// What bears on whose word counts.
struct Held<'a> {
    trusted: &'a [VerifierKey],
    keys: &'a [VerifierKey],
    since: &'a [Since],
    handovers: &'a [Voucher],
}

/// Whether the keys that signed a log that holds together count: the caller's, or those that they lead to. Beside it
/// the steps from one to the other, and which checkpoints from before do not count.
fn believed(
    integrity: Integrity,
    report: Option<Report>,
    held: &Held<'_>,
) -> (Integrity, Option<Report>, Vec<Step>, Vec<KeyProblem>) {
    let Some(mut report) = report else {
        return (integrity, None, Vec::new(), Vec::new());
    };
    let notes = held.since.iter().filter_map(|since| since.note.as_ref());
    let from_before: Vec<Voucher> = notes
        .filter_map(|note| Voucher::read(note, held.keys))
        .collect();
    let vouchers: Vec<&Voucher> = held.handovers.iter().chain(&from_before).collect();
    let reached = Reached::from(&report, held.trusted, &vouchers);
    let reached = match reached.and_then(|reached| reached.believe(&report).map(|()| reached)) {
        Ok(reached) => reached,
        Err(problem) => {
            return (
                Integrity::Disbelieved(problem),
                None,
                Vec::new(),
                Vec::new(),
            );
        }
    };
    // What the other side states was only where to look: a signature that nothing of the caller's vouches for is not said
    // to be there.
    report
        .signatures
        .retain(|(key, _)| key.algorithm() != Algorithm::Ed25519 || reached.vouches_for(key));
    let refused = from_before.iter();
    let refused = refused.filter_map(|voucher| reached.accept(voucher).err());
    let refused = refused.collect();
    (integrity, Some(report), reached.steps, refused)
}

/// Every hash, from leaf to checkpoint; and where only something else failed, that apart.
fn integrity(target: &Target, trust: &Trust<'_>) -> (Integrity, Option<Report>) {
    match hashes(target, trust) {
        Ok(report) => (Integrity::Whole, Some(report)),
        // These are no failures of a hash, unless the hashes say so themselves when they are asked alone.
        Err(error @ (Error::Stream { .. } | Error::Entry { .. } | Error::History { .. })) => {
            let alone = Trust {
                earlier: &[],
                depth: Depth::Bytes,
                ..*trust
            };
            match hashes(target, &alone) {
                Ok(_) => (Integrity::But(error), None),
                Err(error) => (Integrity::Broken(error), None),
            }
        }
        Err(error) => (Integrity::Broken(error), None),
    }
}

fn hashes(target: &Target, trust: &Trust<'_>) -> Result<Report, Error> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = match target {
        Target::Live(_) => cores.max(REQUESTS),
        _ => cores,
    };
    let threads = NonZero::new(threads).unwrap_or(NonZero::<usize>::MIN);
    let shows = std::io::stderr().is_terminal();
    let mut line = std::io::stderr();
    let watch = |Progress { done, of }| {
        if shows {
            let percent = done.saturating_mul(100) / of.max(1);
            // A terminal that went away ends the showing, not the verification.
            drop(write!(
                line,
                "\rverifying: {done} of {of} entries, {percent} %"
            ));
            drop(line.flush());
        }
    };
    let verified = verify_watched(threads, target, trust, watch);
    if shows {
        drop(writeln!(std::io::stderr()));
    }
    verified
}

/// Which prefix the witnesses of the policy vouch for: by the checkpoint verified, or by one the caller holds and which
/// it continues.
fn range(report: &Report, policy: &TlogPolicy, since: &[Since]) -> Anchored {
    let verified = report.note.to_string().into_bytes();
    let held = since.iter().filter_map(|held| held.note.as_ref());
    let notes: Vec<&Vec<u8>> = std::iter::once(&verified).chain(held).collect();
    let opened: Vec<Opened<'_>> = notes
        .iter()
        .filter_map(|note| Checkpoint::open(note, policy.keys()).ok())
        .collect();
    anchored(policy, &opened)
}

/// The keys that stand in a folder, an export or a pack.
pub(super) fn vkeys(dir: &Path) -> Result<Vec<String>> {
    let vkeys = String::from_utf8(read(&dir.join("vkeys"))?).context("reading `vkeys`")?;
    Ok(vkeys.lines().map(str::to_owned).collect())
}

/// The keys that the other side names itself.
fn own_keys(target: &Target, handle: &Handle) -> Result<Vec<String>> {
    match target {
        Target::Export(dir) => vkeys(dir),
        Target::Live(live) => {
            let trust = handle.block_on(live.remote.get("/api/v1/trust"))?;
            let keys = trust["vkeys"].as_array().into_iter().flatten();
            Ok(keys.filter_map(|k| k.as_str().map(str::to_owned)).collect())
        }
        Target::Data(..) => {
            bail!("a data directory names no key: give the ledger's with --vkey or --policy")
        }
    }
}

/// What the caller holds from before: a checkpoint, a receipt, or a copy of the database, whose head is hashed anew
/// from its entries.
fn since(path: &Path, keys: &[VerifierKey], handle: &Handle) -> Result<Since> {
    let named = || format!("reading `{}`", path.display());
    if target::is_database(path) {
        let database = Database::open(path, handle.clone()).with_context(named)?;
        let head = database
            .head()
            .map_err(|error| anyhow::anyhow!("{}: {error}", named()))?;
        if head.size() == 0 {
            bail!(
                "`{}` holds no entry, so it proves nothing; is its `lumos.db-wal` missing?",
                path.display()
            );
        }
        let origin = keys.first().context("naming the log's key")?.name();
        return Ok(Since {
            path: path.to_owned(),
            checkpoint: Checkpoint::new(origin, head.size(), head.root())?,
            note: None,
        });
    }
    let bytes = read(path)?;
    let receipt = std::str::from_utf8(&bytes).ok();
    let receipt = receipt.and_then(|text| text.parse::<TlogProof>().ok());
    let note = receipt.map_or(bytes, |receipt| receipt.checkpoint.into_bytes());
    let opened = Checkpoint::open(&note, keys).with_context(named)?;
    Ok(Since {
        path: path.to_owned(),
        checkpoint: opened.checkpoint,
        note: Some(note),
    })
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading `{}`", path.display()))
}
