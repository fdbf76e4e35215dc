//! The wire between LUMOS and a PostgreSQL server. It passes everything on, knows a `COMMIT` when it sees one, and cuts
//! the connection where the plan says so: before the server gets it, or when its answer comes back. A process that
//! ended reaches nothing any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::Arc,
};

use anyhow::{Context as _, Result};
use lumos_store::PostgresSettings;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{After, Fault, Plan};

/// Bytes read at once.
const READ: usize = 64 << 10;

/// A wire on loopback; it ends when dropped.
#[derive(Debug)]
pub struct Wire {
    _passing: JoinSet<()>,
}

impl Wire {
    /// Lays a wire to the server that `settings` name, and says how to reach it over that.
    ///
    /// # Errors
    /// When their URL names no port on this machine, or there is none to listen on.
    pub fn to(settings: &PostgresSettings, plan: Arc<Plan>) -> Result<(Self, PostgresSettings)> {
        let named = settings.url.split_once('@');
        let named = named.and_then(|(_, rest)| rest.split_once('/'));
        let (host, _) = named.context("the URL of a world's database has no host")?;
        let to: SocketAddr = host.parse().context("reading where the database is")?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("laying a wire")?;
        listener.set_nonblocking(true)?;
        let here = listener.local_addr()?.to_string();
        let listener = TcpListener::from_std(listener)?;
        let mut passing = JoinSet::new();
        passing.spawn(accept(listener, to, plan));
        let over = PostgresSettings {
            url: settings.url.replacen(host, &here, 1),
            owner_url: None,
            accept_loss: settings.accept_loss,
        };
        Ok((Self { _passing: passing }, over))
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, plan: Arc<Plan>) {
    let mut passing = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if plan.is_dead() {
            continue;
        }
        let plan = Arc::clone(&plan);
        passing.spawn(async move {
            tokio::select! {
                // Either side may end it, and a broken wire is what this is for.
                _ended = pass(client, to, &plan) => {}
                () = plan.died() => {}
            }
        });
        while passing.try_join_next().is_some() {}
    }
}

/// Passes messages on until either side, or the plan, ends the connection.
async fn pass(mut client: TcpStream, to: SocketAddr, plan: &Plan) -> io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut asked, mut answered) = (Messages::of_client(), Messages::of_server());
    let mut known = Known::default();
    // The answer that gets lost, once it comes.
    let mut lost: Option<After> = None;
    loop {
        tokio::select! {
            more = client.read_buf(&mut asked.bytes) => {
                if more? == 0 {
                    return Ok(());
                }
                while let Some(message) = asked.next() {
                    let fate = if known.commits(&message) { plan.commit() } else { None };
                    match fate {
                        Some((Fault::Failed, after)) => {
                            plan.end(after);
                            return Ok(());
                        }
                        Some((Fault::Persisted, after)) => lost = Some(after),
                        None => {}
                    }
                    server.write_all(&message).await?;
                }
                asked.bytes.reserve(READ);
            }
            more = server.read_buf(&mut answered.bytes) => {
                if more? == 0 {
                    return Ok(());
                }
                let mut back = Vec::new();
                while let Some(message) = answered.next() {
                    if let (Some(after), b"COMMIT\0") = (lost, body(b'C', &message)) {
                        plan.end(after);
                        return Ok(());
                    }
                    back.extend_from_slice(&message);
                }
                client.write_all(&back).await?;
                answered.bytes.reserve(READ);
            }
        }
    }
}

/// The body of a message of this type; nothing when it is of another.
fn body(kind: u8, message: &[u8]) -> &[u8] {
    match message {
        [first, _, _, _, _, body @ ..] if *first == kind => body,
        _ => &[],
    }
}

/// What follows up to the next zero byte, as the protocol writes text, and the rest.
fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0);
    let end = end.unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

/// Bytes that come in, message by message: a type, a length that counts itself, a body. What a client sends first has
/// no type.
struct Messages {
    bytes: Vec<u8>,
    typed: bool,
}

impl Messages {
    const fn of_client() -> Self {
        let typed = false;
        Self {
            bytes: Vec::new(),
            typed,
        }
    }

    const fn of_server() -> Self {
        let typed = true;
        Self {
            bytes: Vec::new(),
            typed,
        }
    }

    /// The next message, once it is there whole.
    fn next(&mut self) -> Option<Vec<u8>> {
        let at = usize::from(self.typed);
        let length = self.bytes.get(at..at + 4)?.try_into().ok()?;
        let length = at + usize::try_from(u32::from_be_bytes(length)).ok()?;
        if self.bytes.len() < length {
            return None;
        }
        self.typed = true;
        let rest = self.bytes.split_off(length);
        Some(std::mem::replace(&mut self.bytes, rest))
    }
}

/// What a client said before, as far as its commits depend on it.
#[derive(Default)]
struct Known {
    /// The prepared statements that commit.
    statements: BTreeSet<Vec<u8>>,
    /// Which statement a portal runs.
    portals: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Known {
    /// Whether this message has the server commit.
    fn commits(&mut self, message: &[u8]) -> bool {
        let Some(kind) = message.first() else {
            return false;
        };
        let (first, rest) = text(message.get(5..).unwrap_or_default());
        let (second, _) = text(rest);
        match kind {
            b'Q' => return first == b"COMMIT",
            b'P' if second == b"COMMIT" => {
                self.statements.insert(first.to_vec());
            }
            b'P' => {
                self.statements.remove(first);
            }
            b'B' => {
                self.portals.insert(first.to_vec(), second.to_vec());
            }
            b'E' => {
                let runs = self.portals.get(first);
                return runs.is_some_and(|runs| self.statements.contains(runs));
            }
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let startup = [&9_u32.to_be_bytes()[..], b"start"].concat();
        let all = [
            startup.clone(),
            message(b'Q', b"COMMIT\0"),
            message(b'S', b""),
        ];
        let bytes = all.concat();
        for piece in 1..bytes.len() {
            let mut messages = Messages::of_client();
            let mut came = Vec::new();
            for part in bytes.chunks(piece) {
                messages.bytes.extend_from_slice(part);
                came.extend(std::iter::from_fn(|| messages.next()));
            }
            assert_eq!(came, all, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_commit_is_known_however_it_is_asked_for() {
        let mut known = Known::default();
        let mut said = |kind, body: &[u8]| known.commits(&message(kind, body));
        assert!(said(b'Q', b"COMMIT\0"));
        assert!(!said(b'Q', b"BEGIN\0"));
        assert!(!said(b'P', b"s1\0COMMIT\0\0\0"));
        assert!(!said(b'P', b"s2\0UPDATE head SET size = size\0\0\0"));
        assert!(!said(b'B', b"\0s2\0\0\0\0\0\0\0"));
        assert!(!said(b'E', b"\0\0\0\0\0"));
        assert!(!said(b'B', b"\0s1\0\0\0\0\0\0\0"));
        assert!(said(b'E', b"\0\0\0\0\0"));
        assert!(!said(b'E', b"other\0\0\0\0\0"));
        assert!(!said(b'P', b"s1\0SELECT 1\0\0\0"));
        assert!(!said(b'E', b"\0\0\0\0\0"));
    }
}
