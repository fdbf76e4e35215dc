//! Connections that only read, lent out a few at a time. They see what is committed, never more.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use lumos_engine::ports::PortError;
use rusqlite::Connection;
use tokio::{sync::Semaphore, task};

use super::connect;

/// Queries that run at once; SQLite reads are short, and each connection holds a cache of its own.
const READERS: usize = 4;

pub(super) struct Readers {
    path: PathBuf,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            permits: Arc::new(Semaphore::new(READERS)),
            idle: Arc::default(),
        }
    }

    /// Runs `read` on a thread that may block, with a connection of its own.
    pub(super) async fn read<T, E>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, PortError>
    where
        T: Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|error| PortError::new(doing, error))?;
        let (path, idle) = (self.path.clone(), self.idle.clone());
        let work = move || -> Result<T, PortError> {
            let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match pooled {
                Some(connection) => connection,
                None => connect::reader(&path).map_err(|error| PortError::new(doing, error))?,
            };
            let answer = read(&connection).map_err(|error| PortError::new(doing, error));
            // A connection that failed is closed, in case the failure is its own.
            if answer.is_ok() {
                idle.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(connection);
            }
            drop(permit);
            answer
        };
        task::spawn_blocking(work)
            .await
            .map_err(|error| PortError::new(doing, error))?
    }
}
