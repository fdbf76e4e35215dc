//! A witness as a log asks it over HTTP (C2SP tlog-witness v1.0.0). It judges nothing: what was cosigned is
//! checked by who asked.

use async_trait::async_trait;
use lumos_engine::ports::{Answered, PortError, WitnessPeer};
use lumos_http::{Answer, Auth, Client, HttpError, Peer};

/// Characters of a refusal that are kept.
const PROBLEM_CHARS: usize = 300;

/// A witness at an address.
#[derive(Debug)]
pub struct HttpWitness(Peer);

impl HttpWitness {
    /// The witness whose `add-checkpoint` lies below `address`.
    ///
    /// # Errors
    /// When the client may not reach it.
    pub fn new(http: &Client, address: &str) -> Result<Self, HttpError> {
        http.peer(address, Auth::None).map(Self)
    }
}

#[async_trait]
impl WitnessPeer for HttpWitness {
    async fn add_checkpoint(&self, request: String) -> Result<Answered, PortError> {
        let sent = self
            .0
            .post("add-checkpoint")
            .bytes("text/plain; charset=utf-8", request.into_bytes())
            .send();
        let answer = sent
            .await
            .map_err(|error| PortError::new("asking a witness", error))?;
        Ok(read(&answer))
    }
}

fn read(answer: &Answer) -> Answered {
    let body = String::from_utf8_lossy(&answer.body);
    let size = body.strip_suffix('\n').and_then(|size| size.parse().ok());
    match (answer.status, size) {
        (200, _) => Answered::Cosigned(body.into_owned()),
        (409, Some(size)) => Answered::Latest(size),
        (status, _) => Answered::Refused {
            status,
            problem: body.trim_end().chars().take(PROBLEM_CHARS).collect(),
        },
    }
}
