//! Witnesses as processes of their own: what they cosign, and what nobody can make them cosign.

use std::process::Stdio;

use lumos_http::{Auth, Method};
use lumos_ledger::{tlog_policy::TlogPolicy, tlog_proof::TlogProof};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    time::timeout,
};

use crate::world::{Beside, PATIENCE, Person, World, copy, peer_at};

const ANYWHERE: &str = "127.0.0.1:0";

pub(crate) struct Witness {
    child: Beside,
    address: String,
    /// The line for a trust policy.
    line: String,
}

/// Runs the witness `name`, which follows what the file `logs` says.
async fn witness(world: &World, name: &str, listen: &str) -> Witness {
    let line = format!(
        "witness serve --name witness.acme.example/{name} --logs logs --data {name} --listen {listen}"
    );
    let mut child = Beside::start(world.lumos(&line).stdout(Stdio::piped()));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line = timeout(PATIENCE, lines.next_line()).await;
        line.unwrap().unwrap().expect("it witnesses")
    };
    let address = next().await;
    let address = address.strip_prefix("LUMOS witnesses on ").unwrap();
    assert_eq!(next().await, "follows lumos.acme.example/main");
    next().await;
    Witness {
        child,
        address: address.to_owned(),
        line: next().await.trim().replace("NAME", name),
    }
}

/// Acme, with the witnesses `one` and `two`, both of which must cosign.
async fn witnessed() -> (World, [Witness; 2]) {
    witnessed_by_two(World::acme().await).await
}

/// The same of a server that runs.
pub(crate) async fn witnessed_by_two(mut world: World) -> (World, [Witness; 2]) {
    let log = format!("log {}\n", world.vkey());
    world.write("logs", format!("{log}quorum none\n"));
    assert!(world.stop().await.success());
    let both = [
        witness(&world, "one", ANYWHERE).await,
        witness(&world, "two", ANYWHERE).await,
    ];
    let lines = both.each_ref().map(|witness| witness.line.as_str());
    let [one, two] = lines;
    let quorum = "group both all one two\nquorum both\n";
    world.write("trust", format!("{log}{one}\n{two}\n{quorum}"));
    let settings = std::fs::read_to_string(world.path("lumos.yaml")).unwrap();
    world.write("lumos.yaml", format!("{settings}\nwitnesses: trust\n"));
    world.start_logged(0).await;
    (world, both)
}

pub(crate) fn policy(world: &World) -> TlogPolicy {
    TlogPolicy::parse(&std::fs::read(world.path("trust")).unwrap()).unwrap()
}

/// Makes one entry; returns its index.
async fn write(world: &World, role: &str) -> u64 {
    let administrator = world.person("administrator").await;
    let path = format!("/api/v1/roles/{role}");
    let made = administrator
        .ask(Method::PUT, &path, &json!({ "rights": [] }))
        .await;
    made.is(200)["entry"].as_u64().unwrap()
}

async fn text(person: &Person, path: &str) -> (u16, String) {
    let answer = person.peer.get(path).send().await.unwrap();
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    (answer.status, body)
}

/// The size of the checkpoint that the server shows, which the policy must accept.
async fn shown(world: &World) -> u64 {
    let (status, note) = text(&world.with(""), "/ledger/checkpoint").await;
    assert_eq!(status, 200);
    let policy = policy(world);
    policy.open(note.as_bytes()).unwrap().checkpoint.size()
}

#[tokio::test]
async fn receipts_carry_what_the_policy_asks_for() {
    let (world, [one, two]) = witnessed().await;
    let entry = write(&world, "auditors").await;
    let reader = world.person("risk").await;
    let path = format!("/api/v1/ledger/entries/{entry}/proof");
    let receipt = reader.peer.get(&path).query("wait", "witnessed").send();
    let receipt = receipt.await.unwrap();
    assert_eq!(receipt.status, 200);
    let receipt: TlogProof = String::from_utf8(receipt.body.to_vec())
        .unwrap()
        .parse()
        .unwrap();
    let policy = policy(&world);
    let opened = policy.open(receipt.checkpoint.as_bytes()).unwrap();
    assert_eq!(opened.signatures.len(), 3);
    assert!(shown(&world).await > entry);
    for witness in [&one, &two] {
        let monitor = peer_at(&witness.address, Auth::None);
        let origin = lumos_domain::id::Digest::of(b"lumos.acme.example/main").hex();
        let latest = monitor.get(&format!("{origin}/checkpoint")).send().await;
        let latest = latest.unwrap();
        assert_eq!(latest.status, 200);
        // It names the log's signature and its own: what one witness says is no quorum.
        assert!(policy.open(&latest.body).is_err());
        let unknown = monitor.get("00/checkpoint").send().await.unwrap();
        assert_eq!(unknown.status, 404);
    }
    world
        .say_as("risk", "ledger checkpoint")
        .await
        .is(0, "witness.acme.example/one");
}

#[tokio::test]
async fn a_witness_that_was_killed_goes_on_where_it_was() {
    let (world, [mut one, two]) = witnessed().await;
    let first = write(&world, "first").await;
    let reader = world.person("risk").await;
    let wait = async |entry: u64| {
        let path = format!("/api/v1/ledger/entries/{entry}/proof");
        let asked = reader.peer.get(&path).query("wait", "witnessed").send();
        asked.await.unwrap().status
    };
    assert_eq!(wait(first).await, 200);
    one.child.kill().await.unwrap();
    let second = write(&world, "second").await;
    world.until_logged("a witness did not cosign").await;
    assert!(shown(&world).await <= second, "one alone is no quorum");
    let listen = one.address.strip_prefix("http://").unwrap();
    let again = witness(&world, "one", listen).await;
    assert_eq!(again.line, one.line);
    assert_eq!(wait(second).await, 200);
    // Two with one memory would each believe to be the only one.
    let line = "witness serve --name witness.acme.example/two --logs logs --data two";
    world.say(line).await.is(1, "code data-dir-in-use");
    drop(two);
}

#[tokio::test]
async fn whoever_puts_back_database_and_anchor_gets_no_cosignature() {
    let (mut world, _both) = witnessed().await;
    let start = shown_after(&world, write(&world, "before").await).await;
    assert!(world.stop().await.success());
    for folder in ["lumos-data", "lumos-data.anchor"] {
        copy(&world.path(folder), &world.path(&format!("old-{folder}")));
    }
    world.start_logged(0).await;
    let published = shown_after(&world, write(&world, "unwanted").await).await;
    assert!(published > start);
    assert!(world.stop().await.success());

    // An administrator of the machine makes it all unhappen: to LUMOS itself nothing is wrong.
    for folder in ["lumos-data", "lumos-data.anchor"] {
        std::fs::remove_dir_all(world.path(folder)).unwrap();
        std::fs::rename(world.path(&format!("old-{folder}")), world.path(folder)).unwrap();
    }
    let asked = std::fs::read_to_string(world.path("lumos.yaml")).unwrap();
    let refused = world.say("serve").await.is(1, "it says to have seen");
    assert!(refused.err.contains("code against-witness"), "{refused:?}");

    // Nor does it help to ask nobody until there is as much again: it is another history, and nobody's word for it.
    let unasked = asked.replace("\nwitnesses: trust\n", "\n");
    world.write("lumos.yaml", unasked);
    world.start(0).await;
    for n in 0.. {
        if write(&world, &format!("another-{n}")).await > published {
            break;
        }
    }
    let (_, note) = text(&world.with(""), "/ledger/checkpoint").await;
    let refused = policy(&world).open(note.as_bytes()).unwrap_err();
    assert_eq!(refused.code(), "ledger-no-quorum");
    assert!(world.stop().await.success());
    world.write("lumos.yaml", asked);
    world.say("serve").await.is(1, "it answered 422");
}

/// Waits until the checkpoint that is shown covers `entry`; returns its size.
async fn shown_after(world: &World, entry: u64) -> u64 {
    let look = async {
        loop {
            let size = shown(world).await;
            if size > entry {
                return size;
            }
        }
    };
    timeout(PATIENCE, look).await.expect("it is cosigned")
}

#[tokio::test]
async fn what_is_no_witness_setting_is_refused_by_name() {
    let mut world = World::acme().await;
    let log = format!("log {}\n", world.vkey());
    assert!(world.stop().await.success());
    world.write("empty", "quorum none\n");
    world.write("broken", "quorum\n");
    let serve = "witness serve --name a.example/w --data w --listen 127.0.0.1:0 --logs";
    for (file, expected) in [
        ("absent", "`absent`"),
        ("empty", "names no ledger"),
        ("broken", "code ledger-policy-malformed"),
    ] {
        world.say(&format!("{serve} {file}")).await.is(1, expected);
    }
    world.write("logs", format!("{log}quorum none\n"));
    let named = "witness serve --name 'a+b' --data w --logs logs";
    world.say(named).await.is(1, "a+b");
    let settings = std::fs::read_to_string(world.path("lumos.yaml")).unwrap();
    let foreign = "log example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n";
    let witness = witness(&world, "one", ANYWHERE).await.line;
    for (trust, expected) in [
        (format!("{log}quorum none\n"), "no witness with an address"),
        (
            format!("{foreign}{witness}\nquorum one\n"),
            "add the line `log lumos.acme.example/main",
        ),
        ("what\n".to_owned(), "code ledger-policy-malformed"),
    ] {
        world.write("trust", trust);
        world.write("lumos.yaml", format!("{settings}\nwitnesses: trust\n"));
        world.say("serve").await.is(1, expected);
    }
}
