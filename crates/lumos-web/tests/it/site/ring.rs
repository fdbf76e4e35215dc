//! The site's one key, in this process.

use std::sync::Arc;

use lumos_domain::words::KeyPlace;
use lumos_engine::{
    Door,
    keyring::{KeyRing, Places},
    ports::{KeyStore, PortError, Signer},
};
use lumos_ledger::NoteSigner;

use super::ORIGIN;

/// A key that signs in this process.
#[derive(Clone)]
struct Own(NoteSigner);

#[async_trait::async_trait]
impl Signer for Own {
    fn public(&self) -> &[u8; 32] {
        self.0.verifier_key().public()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PortError> {
        Ok(self.0.signature(message).to_vec())
    }
}

#[async_trait::async_trait]
impl KeyStore for Own {
    async fn open(&self, _name: &str) -> Result<Option<Arc<dyn Signer>>, PortError> {
        Ok(Some(Arc::new(self.clone())))
    }

    async fn create(&self, _name: &str) -> Result<Arc<dyn Signer>, PortError> {
        Ok(Arc::new(self.clone()))
    }
}

/// The keys of the ledger behind `door`.
pub(super) async fn of(door: &Door, signer: &NoteSigner) -> Arc<KeyRing> {
    let own: Arc<dyn KeyStore> = Arc::new(Own(signer.clone()));
    let places = Places {
        stores: [(KeyPlace::File, own)].into(),
        new: KeyPlace::File,
    };
    let (store, clock) = (&door.ports().store, &door.ports().clock);
    let ring = KeyRing::open(Arc::clone(store), Arc::clone(clock), places, ORIGIN).await;
    Arc::new(ring.unwrap())
}
