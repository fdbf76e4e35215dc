//! The lock that keeps two processes from writing one data directory. It is advisory and local: it does
//! not work across machines that share a network folder.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use crate::OpenError;

/// Digits of the longest process id, and more.
const PID_BYTES: u64 = 32;

/// Holds the data directory until it is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock of `dir` and writes our process id into it.
    ///
    /// # Errors
    /// [`OpenError::InUse`] when another process holds it, [`OpenError::Unusable`].
    pub fn take(dir: &Path) -> Result<Self, OpenError> {
        let unusable = |doing| {
            move |source| OpenError::Unusable {
                dir: dir.to_owned(),
                doing,
                source,
            }
        };
        // Never truncated on opening: the file may belong to somebody else, whose id we want to name.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join("lock"))
            .map_err(unusable("opening its lock file"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse {
                    dir: dir.to_owned(),
                    pid: read_pid(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(unusable("locking its lock file")(source));
            }
        }
        write_pid(&mut file).map_err(unusable("writing its lock file"))?;
        Ok(Self { _file: file })
    }
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
