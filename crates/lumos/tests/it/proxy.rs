//! A wire between two programs that can be cut: it stops passing bytes on, loses answers, or answers itself.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// What the wire does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// It passes them on.
    Open,
    /// It keeps them, both ways, until it is open again: a partition.
    Cut,
    /// It passes on what is asked and drops the answer with the connection.
    LosesAnswers,
    /// It says this to whoever asks, and passes nothing on.
    Says(&'static str),
}

/// A wire on loopback; it ends when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    wire: watch::Sender<Wire>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// A wire to `to`, open.
    pub(crate) async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (wire, seen) = watch::channel(Wire::Open);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let seen = seen.clone();
                passing.spawn(async move { pass(client, to, seen).await });
                while passing.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            wire,
            _accepting: accepting,
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it does this, with connections that stand as well.
    pub(crate) fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

/// Passes bytes of one connection on until either side ends it.
async fn pass(mut client: TcpStream, to: SocketAddr, mut wire: watch::Receiver<Wire>) {
    let Ok(mut server) = TcpStream::connect(to).await else {
        return;
    };
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(read @ 1..) = read else { return };
                match open(&mut wire).await {
                    Wire::Says(text) => {
                        drop(client.write_all(text.as_bytes()).await);
                        drop(client.shutdown().await);
                        return;
                    }
                    _ => if server.write_all(&asked[..read]).await.is_err() { return },
                }
            }
            read = server.read(&mut answered) => {
                let Ok(read @ 1..) = read else { return };
                match open(&mut wire).await {
                    Wire::LosesAnswers => return,
                    _ => if client.write_all(&answered[..read]).await.is_err() { return },
                }
            }
        }
    }
}

/// What the wire does, once it is not cut.
async fn open(wire: &mut watch::Receiver<Wire>) -> Wire {
    match wire.wait_for(|wire| *wire != Wire::Cut).await {
        Ok(wire) => *wire,
        Err(_) => Wire::Open,
    }
}
