//! Where uploads wait to be submitted: how much they may take, and when they are thrown away.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use lumos_engine::ports::PortError;

use crate::problem::Problem;

/// What a folder counts and a file at least, so that many empty ones are not free.
const ENTRY_BYTES_MIN: u64 = 4_096;
/// When something last happened to an upload, by the server's clock.
const SEEN: &str = ".seen";
/// The release that an upload was submitted as.
const SUBMITTED: &str = ".submitted";

/// How much uploads may take, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of everybody's uploads together.
    pub bytes_max: u64,
    /// Bytes of one caller's uploads.
    pub bytes_max_per_caller: u64,
    /// After so long without anything happening an upload is thrown away.
    pub kept: SignedDuration,
    /// Whether anything may be sent: not where the server that fetches it would not see it.
    pub open: bool,
}

/// The staging folder.
pub struct Staging {
    folder: PathBuf,
    limits: Limits,
    /// Bytes taken, by caller.
    taken: Mutex<BTreeMap<String, u64>>,
}

/// An upload that nothing happened to for long.
#[derive(Debug)]
pub(crate) struct Idle {
    folder: PathBuf,
    caller: String,
    /// The release it was submitted as.
    pub(crate) submitted: Option<String>,
}

impl Staging {
    /// The folder with what lies in it from before.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(folder: PathBuf, limits: Limits) -> io::Result<Self> {
        let mut taken = BTreeMap::new();
        for (caller, upload) in uploads(&folder)? {
            *taken.entry(caller).or_default() += upload_size(&upload)?;
        }
        Ok(Self {
            folder,
            limits,
            taken: Mutex::new(taken),
        })
    }

    /// Refuses new uploads where another server of this ledger would look for them in vain.
    ///
    /// # Errors
    /// When they are not seen by all servers.
    pub(crate) fn must_be_open(&self) -> Result<(), Problem> {
        if self.limits.open {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "uploads-not-shared",
            "several servers serve this ledger, and they share no folder for files that are sent; submit a version \
             from a registry, or have the operator set `uploads`",
        ))
    }

    /// Where the upload of this name lies.
    #[must_use]
    pub(crate) fn path(&self, upload: &str) -> PathBuf {
        self.folder.join(upload)
    }

    /// Takes room for a new file of a caller.
    ///
    /// # Errors
    /// When the caller's share or the whole is used up.
    pub(crate) fn file<'a>(&'a self, caller: &'a str) -> Result<Room<'a>, Problem> {
        let mut room = self.entry(caller)?;
        room.free = ENTRY_BYTES_MIN;
        Ok(room)
    }

    fn entry<'a>(&'a self, caller: &'a str) -> Result<Room<'a>, Problem> {
        let mut room = Room {
            staging: self,
            caller,
            bytes: 0,
            free: 0,
        };
        room.grow(ENTRY_BYTES_MIN)?;
        Ok(room)
    }

    /// Makes a folder of a caller's upload, and those it stands in; each that is new takes room.
    ///
    /// # Errors
    /// When the caller's share or the whole is used up, or it cannot be made.
    pub(crate) async fn folder(&self, caller: &str, folder: &Path) -> Result<(), Problem> {
        let failed = |error: io::Error| PortError::new("staging an upload", error);
        tokio::fs::create_dir_all(&self.folder)
            .await
            .map_err(failed)?;
        let inside = folder
            .strip_prefix(&self.folder)
            .map_err(|_| Problem::not_found("such upload of yours"))?;
        let mut folder = self.folder.clone();
        for part in inside.components() {
            folder.push(part);
            if folder.is_dir() {
                continue;
            }
            let room = self.entry(caller)?;
            match tokio::fs::create_dir(&folder).await {
                Ok(()) => room.keep(),
                // Another request made it meanwhile, and keeps the room for it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error).into()),
            }
        }
        Ok(())
    }

    fn take(&self, caller: &str, bytes: u64) -> Result<(), Problem> {
        let full = |whose: &str, max: u64| {
            let detail = format!(
                "{whose} uploads may take {} MiB together; submit or wait for what was sent before: it is thrown away \
                 {} hours after anything happened to it",
                max >> 20,
                self.limits.kept.as_hours()
            );
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "upload-quota", detail)
        };
        let Ok(mut taken) = self.taken.lock() else {
            return Err(full("the server's", 0));
        };
        let everybody = taken
            .values()
            .fold(bytes, |sum, each| sum.saturating_add(*each));
        let own = taken
            .get(caller)
            .copied()
            .unwrap_or_default()
            .saturating_add(bytes);
        if own > self.limits.bytes_max_per_caller {
            return Err(full("your", self.limits.bytes_max_per_caller));
        }
        if everybody > self.limits.bytes_max {
            return Err(full("everybody's", self.limits.bytes_max));
        }
        taken.insert(caller.to_owned(), own);
        Ok(())
    }

    fn give_back(&self, caller: &str, bytes: u64) {
        if let Ok(mut taken) = self.taken.lock()
            && let Some(own) = taken.get_mut(caller)
        {
            *own = own.saturating_sub(bytes);
        }
    }

    /// Notes that something happened to an upload.
    pub(crate) async fn seen(&self, upload: &str, now: Timestamp) -> io::Result<()> {
        tokio::fs::write(self.path(upload).join(SEEN), now.to_string()).await
    }

    /// Notes what an upload was submitted as.
    pub(crate) async fn submitted(&self, upload: &str, release: &str) -> io::Result<()> {
        tokio::fs::write(self.path(upload).join(SUBMITTED), release).await
    }

    /// The uploads that nothing happened to for as long as they are kept.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn idle(&self, now: Timestamp) -> io::Result<Vec<Idle>> {
        let mut idle = Vec::new();
        for (caller, folder) in uploads(&self.folder)? {
            let seen = std::fs::read_to_string(folder.join(SEEN)).ok();
            let Some(seen) = seen.and_then(|seen| seen.parse::<Timestamp>().ok()) else {
                // It is being noted, or whoever was about to note it died: its time begins now.
                std::fs::write(folder.join(SEEN), now.to_string())?;
                continue;
            };
            if now.duration_since(seen) >= self.limits.kept {
                let submitted = std::fs::read_to_string(folder.join(SUBMITTED)).ok();
                idle.push(Idle {
                    folder,
                    caller,
                    submitted,
                });
            }
        }
        Ok(idle)
    }

    /// Throws an upload away and gives its room back.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) fn remove(&self, idle: &Idle) -> io::Result<()> {
        let bytes = upload_size(&idle.folder)?;
        std::fs::remove_dir_all(&idle.folder)?;
        self.give_back(&idle.caller, bytes);
        Ok(())
    }
}

/// The room that a file takes; given back unless it is kept.
pub(crate) struct Room<'a> {
    staging: &'a Staging,
    caller: &'a str,
    bytes: u64,
    /// What the least size of a file leaves free.
    free: u64,
}

impl Room<'_> {
    /// Takes more.
    ///
    /// # Errors
    /// When the caller's share or the whole is used up.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), Problem> {
        let more = bytes.saturating_sub(self.free);
        self.free = self.free.saturating_sub(bytes);
        self.staging.take(self.caller, more)?;
        self.bytes += more;
        Ok(())
    }

    /// The file is there.
    pub(crate) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.staging.give_back(self.caller, self.bytes);
    }
}

/// The caller and the folder of each upload.
fn uploads(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let caller = name.to_str().and_then(|name| name.split_once('.'));
        if let Some((caller, _)) = caller
            && entry.file_type()?.is_dir()
        {
            all.push((caller.to_owned(), entry.path()));
        }
    }
    Ok(all)
}

/// What an upload counts; notes of our own are free.
fn upload_size(upload: &Path) -> io::Result<u64> {
    let notes = [SEEN, SUBMITTED].map(|note| upload.join(note));
    size(upload, &notes)
}

/// What a folder and all below it count, but for `notes`.
fn size(folder: &Path, notes: &[PathBuf]) -> io::Result<u64> {
    let mut bytes = ENTRY_BYTES_MIN;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let more = if entry.file_type()?.is_dir() {
            size(&path, notes)?
        } else if notes.contains(&path) {
            0
        } else {
            entry.metadata()?.len().max(ENTRY_BYTES_MIN)
        };
        bytes = bytes.saturating_add(more);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        bytes_max: 25_000,
        bytes_max_per_caller: 10_000,
        kept: SignedDuration::from_hours(48),
        open: true,
    };

    fn code(asked: Result<(), Problem>) -> String {
        asked.map_or_else(|problem| problem.code, |()| "yes".to_owned())
    }

    #[test]
    fn room_is_bounded_for_each_and_for_all_and_given_back() {
        let home = tempfile::tempdir().unwrap();
        let staging = Staging::open(home.path().join("uploads"), LIMITS).unwrap();
        let mut ada = staging.file("ada").unwrap();
        assert_eq!(
            code(ada.grow(10_000)),
            "yes",
            "the least size of a file is part of it"
        );
        assert_eq!(code(ada.grow(1)), "upload-quota");
        assert_eq!(code(staging.file("ada").map(Room::keep)), "upload-quota");
        let mut bo = staging.file("bo").unwrap();
        assert_eq!(code(bo.grow(10_000)), "yes");
        let mut cyd = staging.file("cyd").unwrap();
        assert_eq!(code(cyd.grow(5_000)), "yes");
        assert_eq!(
            code(cyd.grow(1)),
            "upload-quota",
            "everybody's room is used up"
        );
        drop(bo);
        assert_eq!(code(cyd.grow(1)), "yes", "what was cut off is given back");
        ada.keep();
        assert_eq!(
            code(staging.file("ada").map(Room::keep)),
            "upload-quota",
            "what is kept counts"
        );
    }

    #[test]
    fn what_lies_there_counts_after_a_restart_and_goes_when_it_is_idle() {
        let home = tempfile::tempdir().unwrap();
        let upload = home.path().join("ada.u1");
        std::fs::create_dir_all(upload.join("files")).unwrap();
        std::fs::write(upload.join("files/model"), vec![0; 9_000]).unwrap();
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        std::fs::write(upload.join(SEEN), now.to_string()).unwrap();
        let limits = Limits {
            bytes_max_per_caller: 18_000,
            ..LIMITS
        };
        let staging = Staging::open(home.path().to_owned(), limits).unwrap();
        assert_eq!(code(staging.file("ada").map(Room::keep)), "upload-quota");
        let hours = |hours| now + SignedDuration::from_hours(hours);
        assert!(staging.idle(hours(47)).unwrap().is_empty());
        let idle = staging.idle(hours(48)).unwrap();
        assert_eq!(idle.len(), 1);
        staging.remove(&idle[0]).unwrap();
        assert!(!upload.exists());
        assert_eq!(code(staging.file("ada").map(Room::keep)), "yes");
    }

    #[tokio::test]
    async fn folders_are_not_free_and_come_back_with_their_upload() {
        let home = tempfile::tempdir().unwrap();
        let staging = Staging::open(home.path().join("uploads"), LIMITS).unwrap();
        let upload = staging.path("ada.u1");
        let made = async |name: &str| code(staging.folder("ada", &upload.join(name)).await);
        assert_eq!(made("files").await, "yes");
        assert_eq!(made("files").await, "yes", "it is there already");
        assert_eq!(made("files/more").await, "upload-quota");
        assert!(!upload.join("files/more").exists());
        let idle = Idle {
            folder: upload.clone(),
            caller: "ada".to_owned(),
            submitted: None,
        };
        staging.remove(&idle).unwrap();
        assert_eq!(staging.taken.lock().unwrap()["ada"], 0);
    }

    #[test]
    fn only_our_own_notes_are_free() {
        let home = tempfile::tempdir().unwrap();
        let upload = home.path().join("ada.u1");
        std::fs::create_dir_all(upload.join("files")).unwrap();
        std::fs::write(upload.join(SEEN), "now").unwrap();
        std::fs::write(upload.join(SUBMITTED), "triage/1").unwrap();
        assert_eq!(upload_size(&upload).unwrap(), 2 * ENTRY_BYTES_MIN);
        std::fs::write(upload.join("files").join(SEEN), vec![0; 9_000]).unwrap();
        std::fs::write(upload.join("files").join(SUBMITTED), "").unwrap();
        assert_eq!(
            upload_size(&upload).unwrap(),
            3 * ENTRY_BYTES_MIN + 9_000,
            "what somebody sent under their names is not"
        );
    }

    #[test]
    fn an_upload_that_is_just_being_noted_is_not_idle() {
        let home = tempfile::tempdir().unwrap();
        let staging = Staging::open(home.path().to_owned(), LIMITS).unwrap();
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        for (upload, note) in [("ada.u1", None), ("ada.u2", Some("2026-"))] {
            std::fs::create_dir(staging.path(upload)).unwrap();
            if let Some(note) = note {
                std::fs::write(staging.path(upload).join(SEEN), note).unwrap();
            }
        }
        assert!(staging.idle(now).unwrap().is_empty());
        let later = now + LIMITS.kept;
        assert_eq!(staging.idle(later).unwrap().len(), 2, "its time began");
    }
}
