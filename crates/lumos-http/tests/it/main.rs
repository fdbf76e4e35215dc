//! The client against servers that behave, and against servers that do not.

#![expect(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

use std::{path::Path, time::Duration};

use lumos_http::{Auth, Client, Egress, HttpError, Limits, Method, Part, Peer, Secret};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_bytes, body_json, header, method, path, query_param},
};

mod pages;
mod tls;

/// Small answers, and all the time a busy machine needs.
const SMALL: Limits = Limits {
    connect_ms: 60_000,
    idle_ms: 60_000,
    exchange_ms: 60_000,
    transfer_ms: 60_000,
    answer_bytes: 1_000,
};
/// For servers that say nothing: how long does not matter, for they never do.
const IMPATIENT: Limits = Limits {
    idle_ms: 200,
    exchange_ms: 200,
    transfer_ms: 200,
    ..SMALL
};

fn peer(base: &str, auth: Auth, limits: Limits) -> Peer {
    let egress = Egress {
        hosts: vec![base.to_owned()],
        limits,
        ..Egress::default()
    };
    Client::new(&egress).unwrap().peer(base, auth).unwrap()
}

fn plain(server: &MockServer) -> Peer {
    peer(&server.uri(), Auth::None, Limits::default())
}

async fn answering(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::any())
        .respond_with(template)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn each_kind_of_credential_is_sent() {
    async fn check(auth: Auth, name: &str, value: &str) {
        let server = MockServer::start().await;
        Mock::given(header(name, value))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"ok": true})))
            .mount(&server)
            .await;
        let peer = peer(&server.uri(), auth, Limits::default());
        let answer: Value = peer.get("a/b").json().await.unwrap();
        assert_eq!(answer, json!({"ok": true}));
    }
    let secret = || Secret::new("hunter2");
    check(Auth::Bearer(secret()), "authorization", "Bearer hunter2").await;
    check(
        Auth::Basic {
            user: "ada".to_owned(),
            password: secret(),
        },
        "authorization",
        "Basic YWRhOmh1bnRlcjI=",
    )
    .await;
    check(
        Auth::Header {
            name: "PRIVATE-TOKEN".to_owned(),
            value: secret(),
        },
        "private-token",
        "hunter2",
    )
    .await;
}

#[tokio::test]
async fn a_call_carries_its_query_headers_and_body() {
    let server = MockServer::start().await;
    Mock::given(method("PUT"))
        .and(path("/a/b%20c"))
        .and(query_param("filter", "name='x' & y"))
        .and(header("idempotency-key", "k1"))
        .and(body_json(json!({"n": 1})))
        .respond_with(ResponseTemplate::new(201).insert_header("etag", "\"7\""))
        .mount(&server)
        .await;
    let call = plain(&server)
        .request(Method::PUT, "a/b c")
        .query("filter", "name='x' & y")
        .header("Idempotency-Key", "k1")
        .json_body(&json!({"n": 1}));
    let answer = call.ok().await.unwrap();
    assert_eq!((answer.status, answer.header("ETag")), (201, "\"7\""));
}

#[tokio::test]
async fn failures_are_told_apart() {
    async fn check(template: ResponseTemplate, code: &str, text: &str) {
        let server = answering(template).await;
        let auth = Auth::Bearer(Secret::new("hunter2"));
        let limits = if code == "http-timeout" {
            IMPATIENT
        } else {
            SMALL
        };
        let peer = peer(&server.uri(), auth, limits);
        let call = peer.get("x").query("key", "hidden-in-query");
        let error = call.json::<Value>().await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(text), "{shown}");
        for secret in ["hunter2", "hidden-in-query"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let new = ResponseTemplate::new;
    check(
        new(500).set_body_string("it\n\nbroke"),
        "http-status",
        "500: it broke",
    )
    .await;
    check(
        new(401).set_body_string("Bearer hunter2 is bad"),
        "http-status",
        "*** is bad",
    )
    .await;
    check(new(304), "http-status", "304").await;
    check(
        new(200).set_body_string("<html>"),
        "http-not-json",
        "line 1",
    )
    .await;
    check(new(200).set_body_string("{\"a\":"), "http-not-json", "EOF").await;
    check(
        new(200).set_body_bytes(vec![b' '; 1_001]),
        "http-too-large",
        "1000 bytes",
    )
    .await;
    check(
        new(200).set_delay(Duration::from_secs(60)),
        "http-timeout",
        "no answer in time",
    )
    .await;
    let elsewhere = new(302).insert_header("location", "http://169.254.169.254/latest");
    check(elsewhere, "http-not-allowed", "http://169.254.169.254:80").await;
    let other_port = new(307).insert_header("location", "//127.0.0.1:1/x");
    check(other_port, "http-not-allowed", "127.0.0.1:1").await;
    let nonsense = new(302).insert_header("location", "http://[");
    check(nonsense, "http-not-allowed", "redirects").await;
    let round = new(302).insert_header("location", "/again");
    check(round, "http-unreachable", "more than 5 redirects").await;
}

#[tokio::test]
async fn a_redirect_within_the_origin_is_followed_by_get_only() {
    let server = MockServer::start().await;
    let moved = ResponseTemplate::new(302).insert_header("location", "/new");
    Mock::given(path("/old"))
        .respond_with(moved)
        .mount(&server)
        .await;
    Mock::given(path("/new"))
        .respond_with(ResponseTemplate::new(200).set_body_json(7))
        .mount(&server)
        .await;
    assert_eq!(plain(&server).get("old").json::<u8>().await.unwrap(), 7);
    let posted = plain(&server).post("old").json_body(&1).json::<u8>().await;
    assert_eq!(posted.unwrap_err().status(), Some(302));
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = peer(&base, Auth::None, SMALL)
        .get("x")
        .ok()
        .await
        .unwrap_err();
    assert_eq!(error.code(), "http-unreachable", "{error}");
}

/// A server that says `head` once and then what `after` says, for ever or until the caller leaves.
async fn raw(head: &'static str, after: &'static [u8]) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let Ok((mut socket, _)) = listener.accept().await else {
            return;
        };
        let mut request = [0; 4_096];
        drop(socket.read(&mut request).await);
        drop(socket.write_all(head.as_bytes()).await);
        if after.is_empty() {
            // Holds the connection open, silent, until the caller gives up.
            drop(socket.read(&mut request).await);
        }
        while !after.is_empty() && socket.write_all(after).await.is_ok() {}
    });
    (base, tasks)
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n";
    async fn check(head: &'static str, after: &'static [u8], code: &str) {
        let (base, _tasks) = raw(head, after).await;
        let limits = if code == "http-timeout" {
            IMPATIENT
        } else {
            SMALL
        };
        let error = peer(&base, Auth::None, limits)
            .get("x")
            .ok()
            .await
            .unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    check(HEAD, &[b'x'; 512], "http-too-large").await;
    check(HEAD, b"", "http-timeout").await;
    check("no http at all\r\n\r\n", b"", "http-unreachable").await;
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
    check(announced, b"", "http-too-large").await;
}

#[tokio::test]
async fn a_download_is_streamed_bounded_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let body: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let server = answering(ResponseTemplate::new(200).set_body_bytes(body.clone())).await;
    let peer = peer(&server.uri(), Auth::None, SMALL);
    let into = folder.path().join("weights");
    let size = peer.get("w").download(&into, 200_000).await.unwrap();
    assert_eq!((size, std::fs::read(&into).unwrap()), (200_000, body));
    let again = peer.get("w").download(&into, 200_000).await.unwrap_err();
    assert_eq!(again.code(), "http-file", "{again}");
    let other = folder.path().join("other");
    let error = peer.get("w").download(&other, 199_999).await.unwrap_err();
    assert_eq!(error.code(), "http-too-large");
    let (base, _tasks) = raw("HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 512]).await;
    let endless = self::peer(&base, Auth::None, SMALL).get("w");
    let third = folder.path().join("third");
    let error = endless.download(&third, 10_000).await.unwrap_err();
    assert_eq!(error.code(), "http-too-large");
    assert!(std::fs::metadata(third).unwrap().len() <= 10_000);
}

#[tokio::test]
async fn a_download_that_is_refused_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = answering(ResponseTemplate::new(404).set_body_string("gone")).await;
    let into = folder.path().join("weights");
    let error = plain(&server)
        .get("w")
        .download(&into, 10)
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(404));
    assert!(!into.exists());
}

#[tokio::test]
async fn files_are_uploaded_as_they_are_and_as_forms() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("card.md");
    std::fs::write(&file, "a card").unwrap();
    let server = MockServer::start().await;
    Mock::given(method("PUT"))
        .and(header("content-length", "6"))
        .and(body_bytes("a card"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(202))
        .mount(&server)
        .await;
    assert_eq!(
        plain(&server).put("f").upload(&file).await.unwrap().status,
        204
    );
    let parts = [
        Part::Text {
            name: "model".to_owned(),
            value: "fraud".to_owned(),
        },
        Part::File {
            name: "card".to_owned(),
            file_name: "card.md".to_owned(),
            path: &file,
        },
    ];
    let answer = plain(&server).post("f").upload_form(&parts).await.unwrap();
    assert_eq!(answer.status, 202);
    let requests = server.received_requests().await.unwrap();
    let form = String::from_utf8_lossy(&requests[1].body).into_owned();
    for expected in ["name=\"model\"", "fraud", "filename=\"card.md\"", "a card"] {
        assert!(form.contains(expected), "{form}");
    }
    for path in [folder.path(), Path::new("absent")] {
        let error = plain(&server).put("f").upload(path).await.unwrap_err();
        assert_eq!(error.code(), "http-file", "{error}");
    }
}

#[tokio::test]
async fn lines_come_one_by_one() {
    async fn check(body: &str, expected: &[&str]) {
        let server = answering(ResponseTemplate::new(200).set_body_string(body)).await;
        let mut lines = plain(&server).get("events").lines().await.unwrap();
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(line);
        }
        assert_eq!(found, expected);
    }
    check("", &[]).await;
    check("\n", &[""]).await;
    check("data: 1\r\n\r\ndata: 2\n", &["data: 1", "", "data: 2"]).await;
    check("no end", &["no end"]).await;
}

#[tokio::test]
async fn a_stream_ends_by_silence_or_by_a_line_without_end() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\n\r\n";
    async fn check(head: &'static str, after: &'static [u8], lines: usize, code: &str) {
        let (base, _tasks) = raw(head, after).await;
        let limits = Limits {
            idle_ms: if code == "http-timeout" {
                2_000
            } else {
                60_000
            },
            ..SMALL
        };
        let mut stream = peer(&base, Auth::None, limits)
            .get("e")
            .lines()
            .await
            .unwrap();
        for _ in 0..lines {
            assert_eq!(stream.next().await.unwrap().as_deref(), Some("data: 1"));
        }
        assert_eq!(stream.next().await.unwrap_err().code(), code);
    }
    check("HTTP/1.1 200 OK\r\n\r\ndata: 1\n", b"", 1, "http-timeout").await;
    check(HEAD, &[b'x'; 512], 0, "http-too-large").await;
}

#[tokio::test]
async fn a_secret_in_a_path_is_hidden() {
    let server = answering(ResponseTemplate::new(500)).await;
    let secret = Secret::new("T1/B2/hunter2");
    let call = plain(&server).post("services/T1/B2/hunter2").hide(&secret);
    let error: HttpError = call.ok().await.unwrap_err();
    assert!(error.to_string().contains("/services/***"), "{error}");
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_an_error() {
    let peer = peer("http://127.0.0.1:9", Auth::None, SMALL);
    let call = peer.get("x").header("x-note", "a\nb");
    assert_eq!(call.ok().await.unwrap_err().code(), "http-address");
}
