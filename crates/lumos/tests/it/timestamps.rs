//! Checkpoints stamped by OpenSSL's own authority, served over HTTP, and what happens when it lies.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use axum::{Router, body::Bytes, extract::State, http::header, response::IntoResponse, routing};
use lumos_http::Method;
use serde_json::json;
use tokio::{net::TcpListener, sync::Mutex};

use crate::world::{World, program, run};

const OPENSSL: &str = "/usr/bin/openssl";
/// An authority as OpenSSL describes one.
const CONFIGURATION: &str = "\
[ tsa ]
default_tsa = acme
[ acme ]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
other_policies = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
";

/// What the authority does with the next request.
const HONEST: u8 = 0;
const AWAY: u8 = 1;
const REPEATS: u8 = 2;

struct Authority {
    folder: PathBuf,
    mood: AtomicU8,
    /// One at a time, as the serial number of OpenSSL wants it; and what it answered last.
    last: Mutex<Vec<u8>>,
}

async fn openssl(folder: &Path, line: &str) {
    let mut command = program(OPENSSL);
    command.args(line.split(' ')).current_dir(folder);
    run(&mut command, "").await.is(0, "");
}

/// Makes the keys and certificates of an authority in `folder`.
async fn make(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    std::fs::write(folder.join("tsa.cnf"), CONFIGURATION).unwrap();
    std::fs::write(folder.join("serial"), "01\n").unwrap();
    let extensions = "extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n";
    std::fs::write(folder.join("extensions"), extensions).unwrap();
    for line in [
        "req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -days 30 -subj /O=Acme/CN=Root -addext basicConstraints=critical,CA:TRUE",
        "req -new -newkey rsa:2048 -nodes -keyout tsa.key -out tsa.csr -subj /O=Acme/CN=Timestamps",
        "x509 -req -in tsa.csr -CA root.pem -CAkey root.key -CAcreateserial -days 30 -extfile extensions -out tsa.pem",
    ] {
        openssl(folder, line).await;
    }
    let own = std::fs::read_to_string(folder.join("tsa.pem")).unwrap();
    let root = std::fs::read_to_string(folder.join("root.pem")).unwrap();
    std::fs::write(folder.join("chain.pem"), own + &root).unwrap();
}

async fn stamp(State(authority): State<Arc<Authority>>, query: Bytes) -> impl IntoResponse {
    let mut last = authority.last.lock().await;
    match authority.mood.load(Ordering::SeqCst) {
        AWAY => return Err(axum::http::StatusCode::SERVICE_UNAVAILABLE),
        REPEATS => {}
        _ => {
            std::fs::write(authority.folder.join("query.tsq"), &query).unwrap();
            let line = "ts -reply -config tsa.cnf -queryfile query.tsq -signer tsa.pem -inkey tsa.key -out reply.tsr";
            openssl(&authority.folder, line).await;
            *last = std::fs::read(authority.folder.join("reply.tsr")).unwrap();
        }
    }
    let kind = [(header::CONTENT_TYPE, lumos_timestamp::REPLY)];
    Ok((kind, last.clone()))
}

/// Acme, whose checkpoints an authority stamps; nothing where there is no OpenSSL.
async fn stamped() -> Option<(World, Arc<Authority>)> {
    if !Path::new(OPENSSL).exists() {
        println!("skipped: no openssl, run `cargo xtask peers`");
        return None;
    }
    let mut world = World::acme().await;
    assert!(world.stop().await.success());
    let folder = world.path("authority");
    make(&folder).await;
    let authority = Arc::new(Authority {
        folder,
        mood: AtomicU8::new(HONEST),
        last: Mutex::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/stamp", routing::post(stamp));
    let serving = axum::serve(listener, router.with_state(authority.clone()));
    #[expect(clippy::disallowed_methods, reason = "the authority of this test")]
    tokio::spawn(async move { serving.await.unwrap() });
    let settings = std::fs::read_to_string(world.path("lumos.yaml")).unwrap();
    let named =
        format!("\ntimestamps:\n  url: http://{address}/stamp\n  chain: authority/chain.pem\n");
    world.write("lumos.yaml", settings + &named);
    world.start_logged(0).await;
    Some((world, authority))
}

/// Makes an entry; returns its index, and what is said to who waits for a timestamp over it.
async fn entry_and_status(world: &World, role: &str) -> (u64, u16) {
    let administrator = world.person("administrator").await;
    let path = format!("/api/v1/roles/{role}");
    let made = administrator
        .ask(Method::PUT, &path, &json!({ "rights": [] }))
        .await;
    let entry = made.is(200)["entry"].as_u64().unwrap();
    let path = format!("/api/v1/ledger/entries/{entry}/proof");
    let asked = administrator.peer.get(&path).query("wait", "timestamped");
    (entry, asked.send().await.unwrap().status)
}

#[tokio::test]
async fn openssl_verifies_what_openssl_stamped() {
    let Some((world, authority)) = stamped().await else {
        return;
    };
    let (entry, status) = entry_and_status(&world, "auditors").await;
    assert_eq!(status, 200);
    let line = "ledger timestamps stamps --authority authority/chain.pem";
    let said = world.say_as("risk", line).await;
    let said = said.is(0, "which the authority vouches for");
    let sizes = said.out.lines().map(|line| line.split(' ').next().unwrap());
    let sizes: Vec<u64> = sizes.map(|size| size.parse().unwrap()).collect();
    assert!(*sizes.last().unwrap() > entry, "{sizes:?}");
    let size = sizes.last().unwrap();
    let verify = format!(
        "ts -verify -in stamps/{size}.tsr -data stamps/{size}.checkpoint -CAfile authority/root.pem -untrusted authority/tsa.pem"
    );
    openssl(&world.path(""), &verify).await;
    // The log of today continues each of them.
    let key = format!("--vkey {}", world.vkey());
    let anchored = format!("ledger verify {key} --timestamps stamps --authority");
    let said = world
        .say_as("risk", &format!("{anchored} authority/chain.pem"))
        .await;
    let said = said.is(0, "anchored: yes");
    let seen = format!("the authority saw the first {size} entries at 20");
    assert!(said.out.contains(&seen), "{said:?}");

    // Another authority, one with the same names, did not give it: neither tool believes that.
    make(&world.path("other")).await;
    let line = "ledger timestamps again --authority other/chain.pem";
    let said = world.say_as("risk", line).await;
    said.is(3, "DOES NOT VERIFY");
    let said = world
        .say_as("risk", &format!("{anchored} other/chain.pem"))
        .await;
    said.is(3, "DOES NOT VERIFY: anchored");
    let mut other = program(OPENSSL);
    let verify = verify.replace("authority/", "other/");
    other.args(verify.split(' ')).current_dir(world.path(""));
    assert_ne!(run(&mut other, "").await.code, Some(0));
    drop(authority);
}

#[tokio::test]
async fn an_authority_that_is_away_or_repeats_itself_is_asked_again() {
    let Some((world, authority)) = stamped().await else {
        return;
    };
    let (_, status) = entry_and_status(&world, "first").await;
    assert_eq!(status, 200);
    for (mood, role, problem) in [
        (AWAY, "second", "503"),
        (REPEATS, "third", "it answers another request"),
    ] {
        authority.mood.store(mood, Ordering::SeqCst);
        let waits = entry_and_status(&world, role);
        let recovers = async {
            world.until_logged(problem).await;
            authority.mood.store(HONEST, Ordering::SeqCst);
        };
        let ((_, status), ()) = tokio::join!(waits, recovers);
        assert_eq!(status, 200, "{role}");
    }
}

#[tokio::test]
async fn what_is_no_timestamp_setting_is_refused_by_name() {
    let world = World::prepared(|settings| {
        settings + "\ntimestamps:\n  url: http://127.0.0.1:1/\n  chain: chain.pem\n"
    });
    world.say("serve").await.is(1, "chain.pem");
    world.write("chain.pem", "no certificate");
    world
        .say("serve")
        .await
        .is(1, "code timestamp-chain-unreadable");
    let world = World::acme().await;
    let reader = world.person("risk").await;
    for (wait, status, code) in [
        ("timestamped", 422, "no-timestamps"),
        ("witnessed", 422, "no-witnesses"),
    ] {
        let path = "/api/v1/ledger/entries/0/proof";
        let asked = reader.peer.get(path).query("wait", wait).send().await;
        crate::world::answer(asked.unwrap()).is_refused(status, code);
    }
}
