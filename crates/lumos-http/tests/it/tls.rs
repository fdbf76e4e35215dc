//! Certificates: one of our own authority is trusted when the settings name it, and only then.

use std::{fs, path::PathBuf, sync::Arc};

use lumos_http::{Auth, Client, Egress};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

/// A server on loopback with a certificate for `name`, and that certificate as PEM.
async fn server(name: &str) -> (u16, String, JoinSet<()>) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(socket).await else {
                continue;
            };
            let mut request = [0; 4_096];
            drop(stream.read(&mut request).await);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\n7";
            drop(stream.write_all(answer).await);
            drop(stream.shutdown().await);
        }
    });
    (port, made.cert.pem(), tasks)
}

async fn ask(port: u16, ca_file: Option<PathBuf>) -> Result<u8, String> {
    let base = format!("https://127.0.0.1:{port}");
    let egress = Egress {
        hosts: vec![base.clone()],
        ca_file,
        ..Egress::default()
    };
    let client = Client::new(&egress).map_err(|error| error.to_string())?;
    let peer = client.peer(&base, Auth::None).unwrap();
    let answer = peer.get("x").json().await;
    answer.map_err(|error| format!("{} {error}", error.code()))
}

#[tokio::test]
async fn a_certificate_is_trusted_when_its_authority_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let (port, pem, _tasks) = server("127.0.0.1").await;
    fs::write(&ca_file, pem).unwrap();
    assert_eq!(ask(port, Some(ca_file.clone())).await, Ok(7));
    // Another server, with a certificate of its own that nobody vouches for.
    let (other, _, _tasks) = server("127.0.0.1").await;
    let refused = ask(other, Some(ca_file)).await.unwrap_err();
    assert!(refused.starts_with("http-unreachable"), "{refused}");
    assert!(refused.contains("certificate"), "{refused}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let (port, pem, _tasks) = server("mlflow.acme.example").await;
    fs::write(&ca_file, pem).unwrap();
    let refused = ask(port, Some(ca_file)).await.unwrap_err();
    assert!(refused.starts_with("http-unreachable"), "{refused}");
    assert!(refused.contains("not valid for name"), "{refused}");
}
