//! The registry outside: a real directory registry, whose one write fails as planned and is counted when it
//! happens, and which cannot always be reached.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;
use lumos_domain::id::RegistryName;
use lumos_engine::ports::{
    Delivery, FoundEvidence, FoundModel, FoundVersion, InboundError, Registry, RegistryError,
};

use crate::{Plan, wait::finish};

/// Aliases that were moved: alias, version, marker.
pub type Moves = Arc<Mutex<Vec<(String, String, String)>>>;

/// A registry behind a plan.
pub struct FaultyRegistry<R> {
    inner: R,
    plan: Arc<Plan>,
    moves: Moves,
}

impl<R: Registry> FaultyRegistry<R> {
    /// Wraps `inner`; what happens in it is added to `moves`.
    pub const fn new(inner: R, plan: Arc<Plan>, moves: Moves) -> Self {
        Self { inner, plan, moves }
    }

    fn lost(&self) -> RegistryError {
        RegistryError::Unreachable {
            registry: self.inner.name().to_string(),
            problem: "an injected fault".to_owned(),
        }
    }

    async fn read<T>(
        &self,
        read: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        if self.plan.reaches() {
            self.plan.read(read).await
        } else {
            Err(self.lost())
        }
    }
}

#[async_trait]
impl<R: Registry> Registry for FaultyRegistry<R> {
    fn name(&self) -> &RegistryName {
        self.inner.name()
    }

    async fn models(&self) -> Result<Vec<FoundModel>, RegistryError> {
        self.read(self.inner.models()).await
    }

    async fn versions(
        &self,
        name: &str,
        known: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync),
    ) -> Result<Vec<FoundVersion>, RegistryError> {
        self.read(self.inner.versions(name, known)).await
    }

    async fn version(&self, name: &str, version: &str) -> Result<FoundVersion, RegistryError> {
        self.read(self.inner.version(name, version)).await
    }

    async fn fetch(&self, name: &str, version: &str, into: &Path) -> Result<u64, RegistryError> {
        self.read(self.inner.fetch(name, version, into)).await
    }

    async fn evidence(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Vec<FoundEvidence>, RegistryError> {
        self.read(self.inner.evidence(name, version)).await
    }

    async fn alias(&self, name: &str, alias: &str) -> Result<Option<String>, RegistryError> {
        self.read(self.inner.alias(name, alias)).await
    }

    async fn set_alias(
        &self,
        name: &str,
        alias: &str,
        version: &str,
        marker: &str,
    ) -> Result<(), RegistryError> {
        let write = async {
            finish(self.inner.set_alias(name, alias, version, marker))?;
            let mut moves = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
            moves.push((alias.to_owned(), version.to_owned(), marker.to_owned()));
            Ok(())
        };
        self.plan.write("registry", write, || self.lost()).await
    }

    async fn missing_permissions(&self) -> Result<Vec<String>, RegistryError> {
        self.read(self.inner.missing_permissions()).await
    }

    fn receive(
        &self,
        headers: &[(String, String)],
        body: &[u8],
        now: Timestamp,
    ) -> Option<Result<Delivery, InboundError>> {
        self.inner.receive(headers, body, now)
    }
}
