//! `kill -9` under load: what was answered is there, nothing is there by half. The number of kills is
//! `LUMOS_SOAK_KILLS`, or a slice of it.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use lumos_engine::ports::Store;
use lumos_store::{PostgresSettings, PostgresStore, SqliteStore};

use crate::{
    cluster::Cluster,
    world::{SCHEMA, append, check_whole, id, open, stream, with_login},
};

/// Kills in an ordinary run, and per ledger in a long one.
const KILLS: u64 = 30;

/// Callers at once in the process that is killed.
const CLIENTS: u64 = 8;

/// Says to the process that is killed where to write: a directory, or the address of a database.
pub(crate) const PLACE: &str = "LUMOS_TEST_STORE";

/// What was answered: a command, its first entry, how many it has.
pub(crate) type Answers = Vec<(String, u64, u64)>;

/// When to kill, by the number of answers seen: the same in each run.
struct Moments(u64);

impl Moments {
    const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        // Numerical Recipes' generator: any spread will do.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        1 + (self.0 >> 33) % 150
    }
}

fn kills() -> u64 {
    env("LUMOS_SOAK_KILLS").map_or(KILLS, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_kill() {
    let (kills, mut moments) = (kills(), Moments::new());
    let mut done = 0;
    while done < kills {
        let dir = tempfile::tempdir().unwrap();
        let mut answered = Vec::new();
        for kill in 1..=KILLS.min(kills - done) {
            let place = dir.path().to_str().unwrap();
            answered.extend(write_and_kill(place, moments.next()));
            let more = all_is_there(&open(&dir), &answered).await;
            assert!(more <= CLIENTS * kill, "each had asked for one");
            done += 1;
        }
    }
    assert_eq!(done, kills);
}

/// The same where the database goes on by itself, with what the killed process had begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_postgres_what_was_answered_survives_a_kill() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let (kills, mut moments) = (kills(), Moments::new());
    let mut done = 0;
    while done < kills {
        let database = cluster.database();
        let mut answered = Vec::new();
        for kill in 1..=KILLS.min(kills - done) {
            let place = cluster.url("lumos", &database);
            answered.extend(write_and_kill(&place, moments.next()));
            let more = all_is_there(&cluster.open(&database).await, &answered).await;
            assert!(more <= CLIENTS * kill, "each had asked for one");
            done += 1;
        }
    }
}

/// Compares what is there with what was answered; says how many appends are there that were not.
pub(crate) async fn all_is_there(store: &dyn Store, answered: &Answers) -> u64 {
    let size = check_whole(store).await;
    let logins = store
        .query("SELECT login FROM logins", vec![])
        .await
        .unwrap();
    for (command, first, count) in answered {
        let found = store.appended(&id(command)).await.unwrap().unwrap();
        assert_eq!((found.first, found.count), (*first, *count), "{command}");
        assert!(found.first + found.count <= size);
    }
    // One login per append.
    let unanswered = logins.len().checked_sub(answered.len());
    unanswered.expect("what was answered is there") as u64
}

/// Starts this test binary again as a writer, and kills it once it was answered `after` times. Returns
/// every answer it got.
fn write_and_kill(place: &str, after: u64) -> Answers {
    let (answers, status) = writes(place).until(after);
    assert!(answers.len() as u64 >= after, "it ended early: {status}");
    answers
}

/// This test binary, as a process that writes to a place for ever.
pub(crate) struct Writes {
    pub(crate) command: Command,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test needs a process that it may kill"
)]
pub(crate) fn writes(place: &str) -> Writes {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crash::writes_until_killed", "--ignored"]);
    command.arg("--nocapture").env(PLACE, place);
    Writes { command }
}

impl Writes {
    /// Runs it until something else ends it. Every answer it got, and how it ended.
    pub(crate) fn until_it_ends(self) -> (Answers, ExitStatus) {
        self.until(u64::MAX)
    }

    /// The same, and kills it once it was answered `after` times.
    fn until(mut self, after: u64) -> (Answers, ExitStatus) {
        let mut child = self.command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut answers = Vec::new();
        for line in output.lines() {
            let line = line.unwrap();
            // Anything else is the test harness talking; a line cut by the kill has no end mark.
            let words: Vec<_> = line.split(' ').collect();
            if let ["answered", command, first, count, "."] = words[..] {
                answers.push((
                    command.to_owned(),
                    first.parse().unwrap(),
                    count.parse().unwrap(),
                ));
                if answers.len() as u64 == after {
                    child.kill().unwrap();
                }
            }
        }
        (answers, child.wait().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the kill test runs it in a process of its own"]
async fn writes_until_killed() {
    let Some(place) = env(PLACE) else { return };
    let store: Box<dyn Store> = if place.starts_with("postgres://") {
        let settings = PostgresSettings {
            url: place,
            owner_url: None,
            accept_loss: false,
        };
        Box::new(PostgresStore::open(&settings, SCHEMA).await.unwrap())
    } else {
        Box::new(SqliteStore::open(Path::new(&place), SCHEMA).unwrap())
    };
    let clients = (0..CLIENTS).map(|client| write_for_ever(&*store, client));
    futures::future::join_all(clients).await;
}

async fn write_for_ever(store: &dyn Store, client: u64) {
    let name = format!("person/p{client}");
    let mut version = store.stream_version(&stream(&name)).await.unwrap();
    loop {
        let command = format!("c{client}-{version}");
        let entries: Vec<_> = (0..=version % 3)
            .map(|more| (name.as_str(), version + 1 + more))
            .collect();
        let append = append(&command, &entries, &[(&name, version)]);
        let done = store.append(with_login(append, &command)).await.unwrap();
        println!("answered {command} {} {} .", done.first, done.count);
        version += done.count;
    }
}

pub(crate) fn env(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the caller of a long run says how long"
    )]
    std::env::var(name).ok()
}
