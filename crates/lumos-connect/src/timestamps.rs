//! A timestamp authority over HTTP (RFC 3161, section 3.4). What it answers is checked before it is believed.

use std::sync::Arc;

use async_trait::async_trait;
use lumos_engine::ports::{Entropy, PortError, Stamped, TimestampAuthority};
use lumos_http::{Auth, Client, HttpError, Peer};
use lumos_timestamp::{Authority, QUERY, granted, request};

const DOING: &str = "asking for a timestamp";

/// An authority at an address, and the certificates by which its timestamps are believed.
pub struct HttpAuthority {
    peer: Peer,
    authority: Authority,
    entropy: Arc<dyn Entropy>,
}

impl HttpAuthority {
    /// The authority at `address`, asked with nonces from `entropy`.
    ///
    /// # Errors
    /// When the client may not reach it.
    pub fn new(
        http: &Client,
        address: &str,
        authority: Authority,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, HttpError> {
        Ok(Self {
            peer: http.peer(address, Auth::None)?,
            authority,
            entropy,
        })
    }
}

#[async_trait]
impl TimestampAuthority for HttpAuthority {
    async fn stamp(&self, file: &[u8]) -> Result<Stamped, PortError> {
        let failed = |error: lumos_timestamp::Error| PortError::new(DOING, error);
        let mut nonce = [0; 8];
        self.entropy.fill(&mut nonce);
        let nonce = u64::from_be_bytes(nonce);
        let asked = self
            .peer
            .post("")
            .bytes(QUERY, request(file, nonce).map_err(failed)?)
            .ok();
        let reply = asked.await.map_err(|error| PortError::new(DOING, error))?;
        let reply = reply.body.to_vec();
        granted(&reply, file, nonce).map_err(failed)?;
        let time = self.authority.verify(&reply, file).map_err(failed)?;
        Ok(Stamped { reply, time })
    }
}
