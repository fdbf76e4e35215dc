//! A real object store of one test's own, moto's S3 on loopback with one bucket, behind a wire that can be cut.

use std::{net::SocketAddr, path::PathBuf, process::Stdio};

use lumos_http::{Auth, Method};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::ChildStdout,
    time::timeout,
};

use crate::{
    proxy::{Proxy, Wire},
    world::{Beside, PATIENCE, peer, peer_at, program},
};

/// The bucket, and what lies in it for the ledger of a test.
const BUCKET: &str = "acme";
const PREFIX: &str = "lumos/main";
/// The access key with which requests must be signed.
pub(crate) const SECRET: &str = "a secret/of+tests";

/// An object store with a bucket.
pub(crate) struct Bucket {
    _server: Beside,
    _lines: Lines<BufReader<ChildStdout>>,
    /// Where it really is.
    address: SocketAddr,
    proxy: Proxy,
}

impl Bucket {
    /// Starts one, or says that there is none here: then the test returns.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// The same, which passes over conditions.
    pub(crate) async fn start_deaf() -> Option<Self> {
        Self::start_with(&["--deaf"]).await
    }

    async fn start_with(args: &[&str]) -> Option<Self> {
        let moto = peer("moto", "bin/python")?;
        let serve = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../xtask/peers/moto");
        let mut python = program(moto.join("bin/python"));
        python.arg(serve.join("serve.py")).arg(SECRET).args(args);
        let mut server = Beside::start(python.stdout(Stdio::piped()));
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await;
        let line = line.expect("it starts in time").unwrap().unwrap();
        let address = line.strip_prefix("http://").unwrap().parse().unwrap();
        let bucket = Self {
            _server: server,
            _lines: lines,
            address,
            proxy: Proxy::to(address).await,
        };
        let made = peer_at(&format!("http://{address}"), Auth::None)
            .put(BUCKET)
            .send();
        assert_eq!(made.await.unwrap().status, 200);
        Some(bucket)
    }

    /// What the wire to it does from now on.
    pub(crate) fn set(&self, wire: Wire) {
        self.proxy.set(wire);
    }

    /// Its address, by the wire.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.proxy.address())
    }

    /// The settings of a server that uses it.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!(
            "objects: {{url: '{}', bucket: {BUCKET}, region: eu-central-1, prefix: {PREFIX}, access_key_id: acme, \
             secret_access_key: {SECRET}{more}}}\n",
            self.url()
        )
    }

    /// An object as it really is; nothing where there is none. Asked as anybody, past the wire.
    pub(crate) async fn object(&self, key: &str) -> Option<Vec<u8>> {
        let answer = self.ask(Method::GET, key, None).await;
        (answer.0 == 200).then_some(answer.1)
    }

    /// Puts an object there behind everybody's back, or takes it away.
    pub(crate) async fn tamper(&self, key: &str, bytes: Option<&[u8]>) {
        let gone = self.ask(Method::DELETE, key, None).await;
        assert!((200..300).contains(&gone.0), "{gone:?}");
        if let Some(bytes) = bytes {
            let put = self.ask(Method::PUT, key, Some(bytes)).await;
            assert_eq!(put.0, 200, "{put:?}");
        }
    }

    async fn ask(&self, method: Method, key: &str, body: Option<&[u8]>) -> (u16, Vec<u8>) {
        let peer = peer_at(&format!("http://{}", self.address), Auth::None);
        let mut request = peer
            .request(method, &format!("{BUCKET}/{PREFIX}/{key}"))
            .header("authorization", "AWS4-HMAC-SHA256 Credential=acme/20260101/eu-central-1/s3/aws4_request, SignedHeaders=host, Signature=0");
        if let Some(body) = body {
            request = request.bytes("application/octet-stream", body.to_vec());
        }
        let answer = request.send().await.unwrap();
        (answer.status, answer.body.to_vec())
    }
}
