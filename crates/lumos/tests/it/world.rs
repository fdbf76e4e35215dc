//! A LUMOS of a test's own: a home with Acme's settings, the real binary serving it, and people who ask it.
//! Ends what it started, and nothing else.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use lumos_http::{Auth, Method, Secret};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{ChildStdout, Command},
    time::timeout,
};

use command::words;
pub(crate) use command::{Beside, Said, program, run};
pub(crate) use folder::copy;
pub(crate) use peer::peer;
pub(crate) use person::{Answer, Person, answer, peer_at, promoted};

mod beside;
mod command;
pub(crate) mod folder;
mod peer;
mod person;

/// A limit, not a pace: everything waited for announces itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Asks until it is so.
pub(crate) async fn until(mut so: impl AsyncFnMut() -> bool) {
    let ask = async { while !so().await {} };
    timeout(PATIENCE, ask).await.expect("it becomes so in time");
}

/// Where the log of a server goes that is read by its test.
const LOG: &str = "serve.log";

pub(crate) const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/acme");

/// A server that runs.
struct Server {
    child: Beside,
    address: String,
    vkey: String,
    _lines: Lines<BufReader<ChildStdout>>,
}

/// A home folder and, while it runs, its server.
pub(crate) struct World {
    /// Before its home: what it writes to is there until it has ended.
    server: Option<Server>,
    home: TempDir,
    passwords: BTreeMap<String, String>,
    /// Whether programs of this home run without the rights of root over files.
    plain: bool,
    /// What they find in their environment besides.
    env: Vec<(&'static str, OsString)>,
}

impl World {
    /// An empty home: no settings, so that embedded defaults hold, but for the port.
    pub(crate) fn empty() -> Self {
        Self {
            server: None,
            home: tempfile::Builder::new()
                .prefix("lumos-it-")
                .tempdir()
                .unwrap(),
            passwords: BTreeMap::new(),
            plain: false,
            env: Vec::new(),
        }
    }

    /// Takes from this home's programs what root may do with files that nobody may read. False when that cannot
    /// be done here.
    pub(crate) async fn give_up_rights(&mut self) -> bool {
        self.plain = rustix::process::geteuid().is_root();
        !self.plain || run(&mut self.lumos("--version"), "").await.code == Some(0)
    }

    /// Lays this under this home's programs from now on, instead of what was there.
    pub(crate) fn lay_under<V: Into<OsString>>(
        &mut self,
        env: impl IntoIterator<Item = (&'static str, V)>,
    ) {
        let env = env.into_iter().map(|(name, value)| (name, value.into()));
        self.env = env.collect();
    }

    /// Acme's example, its settings changed by `change`, not started.
    pub(crate) fn prepared(change: impl FnOnce(String) -> String) -> Self {
        let world = Self::empty();
        for file in [
            "organisation.yaml",
            "policy/starter.yaml",
            "policy/nist-ai-rmf.yaml",
            "policy/cards.yaml",
            "policy/tests/starter.yaml",
            "policy/tests/cards.yaml",
            "policy/tests/passes.json",
        ] {
            let text = std::fs::read(Path::new(EXAMPLES).join(file)).unwrap();
            world.write(file, text);
        }
        let settings = std::fs::read_to_string(Path::new(EXAMPLES).join("lumos.yaml")).unwrap();
        let settings = settings
            .replace("127.0.0.1:8417", "127.0.0.1:0")
            .replace("poll_s: 900", "poll_s: 1");
        world.write("lumos.yaml", change(settings));
        std::fs::create_dir_all(world.path("models/triage")).unwrap();
        world
    }

    /// Acme's example, running, a password for everybody.
    pub(crate) async fn acme() -> Self {
        Self::acme_with(|settings| settings).await
    }

    /// Acme's example with changed settings, running, a password for everybody.
    pub(crate) async fn acme_with(change: impl FnOnce(String) -> String) -> Self {
        let mut world = Self::prepared(change);
        world.start(2).await;
        world.give_passwords().await;
        world
    }

    /// Only founders have a first password; the administrator gives one to everybody else. Whoever has a
    /// password that somebody else knows cannot sign, so each then chooses their own.
    pub(crate) async fn give_passwords(&mut self) {
        let administrator = self.person("administrator").await;
        let people = administrator.get("/api/v1/people").await;
        let path = |person: &Value| {
            let id = person["person"].as_str().unwrap();
            format!("/api/v1/people/{id}/password")
        };
        let login = |person: &Value| person["login"].as_str().unwrap().to_owned();
        for person in people.as_array().unwrap() {
            let login = login(person);
            if !self.passwords.contains_key(&login) {
                let first = format!("the first password of {login}");
                let body = json!({ "password": first });
                let path = path(person);
                let set = administrator.ask(Method::PUT, &path, &body).await.is(200);
                self.confirm(&set).await;
                self.passwords.insert(login, first);
            }
        }
        for person in people.as_array().unwrap() {
            let login = login(person);
            let own = format!("a password that {login} chose");
            let body = json!({ "current": self.password(&login), "password": own });
            let themselves = self.person(&login).await;
            let path = path(person);
            themselves.ask(Method::PUT, &path, &body).await.is(200);
            self.passwords.insert(login, own);
        }
    }

    /// Confirms, as the other founder, what needs two people, if it does.
    pub(crate) async fn confirm(&self, done: &Value) {
        if let Some(proposal) = done["proposal"].as_str() {
            let path = format!("/api/v1/proposals/{proposal}/confirmation");
            let risk = self.person("risk").await;
            risk.ask(Method::POST, &path, &json!({})).await.is(200);
        }
    }

    /// Registers a model that is bound to no registry, so that files can be submitted for it.
    pub(crate) async fn register(&self, model: &str) {
        let body = json!({
            "owner": "platform", "purpose": "Helps the tests of this program.", "tier": "medium",
            "rationale": "Nothing depends on it.", "policies": ["acme-starter"],
        });
        let path = format!("/api/v1/models/{model}");
        let platform = self.person("platform").await;
        let registered = platform.ask(Method::PUT, &path, &body).await.is(200);
        self.confirm(&registered).await;
    }

    /// A path in the home.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// Writes a file in the home.
    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// `lumos` in this home, with nothing of the environment that the tests run in.
    pub(crate) fn lumos(&self, line: &str) -> Command {
        let mut command = if self.plain {
            let mut command = program("/usr/bin/setpriv");
            command.args(["--bounding-set", "-dac_override,-dac_read_search"]);
            command.args(["--inh-caps", "-all", env!("CARGO_BIN_EXE_lumos")]);
            command
        } else {
            program(env!("CARGO_BIN_EXE_lumos"))
        };
        command
            .args(words(line))
            .current_dir(self.home.path())
            .env_clear()
            .env("HOME", self.home.path())
            .envs(self.env.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// Runs `lumos` as whoever signed in last in this home.
    pub(crate) async fn say(&self, line: &str) -> Said {
        run(&mut self.lumos(line), "").await
    }

    /// Runs `lumos` as the person with a login. As `one & other`, the other confirms what the one proposed.
    pub(crate) async fn say_as(&self, login: &str, line: &str) -> Said {
        if let Some((one, other)) = login.split_once(" & ") {
            let mut proposed = self.run_as(one, &format!("{line} --json")).await.json();
            let proposal = proposed["proposal"].take();
            let proposal = proposal.as_str().unwrap_or_else(|| panic!("{proposed:#}"));
            return self
                .run_as(other, &format!("proposal confirm {proposal}"))
                .await;
        }
        self.run_as(login, line).await
    }

    async fn run_as(&self, login: &str, line: &str) -> Said {
        let person = self.person(login).await;
        let mut command = self.lumos(line);
        run(command.env("LUMOS_TOKEN", person.credential), "").await
    }

    /// Runs one line after the other; each ends with a status and says a text somewhere.
    pub(crate) async fn check(&self, rows: &[(&str, i32, &str)]) {
        for (line, code, text) in rows {
            self.say(line).await.is(*code, text);
        }
    }

    /// The same, each as the person with a login.
    pub(crate) async fn check_as(&self, rows: &[(&str, &str, i32, &str)]) {
        for (login, line, code, text) in rows {
            self.say_as(login, line).await.is(*code, text);
        }
    }

    /// Starts `lumos serve` and reads what it says, with as many first passwords as there are founders.
    pub(crate) async fn start(&mut self, founders: usize) {
        self.start_into("serve", founders, Stdio::inherit()).await;
    }

    /// Starts it without a key that is lost.
    pub(crate) async fn start_without(&mut self, key: &str) {
        let line = format!("serve --key-lost {key}");
        self.start_into(&line, 0, Stdio::inherit()).await;
    }

    /// The same, and its log goes into a file, for [`Self::until_logged`].
    pub(crate) async fn start_logged(&mut self, founders: usize) {
        let log = std::fs::File::create(self.path(LOG)).unwrap();
        self.start_into("serve", founders, log.into()).await;
    }

    /// Reads the log until it says something.
    pub(crate) async fn until_logged(&self, text: &str) {
        let nobody = self.with("");
        let look = async {
            while !std::fs::read_to_string(self.path(LOG))
                .unwrap()
                .contains(text)
            {
                nobody.get("/healthz").await;
            }
        };
        timeout(PATIENCE, look).await.expect("the log says so");
    }

    async fn start_into(&mut self, line: &str, founders: usize, log: Stdio) {
        let mut serve = self.lumos(line);
        serve.env("LUMOS_LOG", "warn");
        let mut child = Beside::start(serve.stdout(Stdio::piped()).stderr(log));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = async || {
            let line = timeout(PATIENCE, lines.next_line()).await;
            line.expect("it starts in time")
                .unwrap()
                .expect("it serves")
        };
        let address = next().await;
        let address = address.strip_prefix("LUMOS serves on ").unwrap().to_owned();
        let vkey = next().await.rsplit(' ').next().unwrap().to_owned();
        if founders > 0 {
            assert_eq!(next().await, "");
            assert!(next().await.contains("shown this once"));
        }
        for _ in 0..founders {
            let line = next().await;
            let (login, password) = line.trim().split_once("  ").unwrap();
            self.passwords.insert(login.to_owned(), password.to_owned());
        }
        self.server = Some(Server {
            child,
            address,
            vkey,
            _lines: lines,
        });
    }

    /// Asks the server to end, and waits until it has.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        let mut server = self.server.take().unwrap();
        let id = i32::try_from(server.child.id().unwrap()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let ended = timeout(PATIENCE, server.child.wait()).await;
        ended.expect("it ends in time").unwrap()
    }

    /// Ends the server without asking: `kill -9`.
    pub(crate) async fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.child.kill().await.unwrap();
    }

    /// The memory the server has, in words.
    pub(crate) fn memory(&self) -> String {
        let id = self.server.as_ref().unwrap().child.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kb: f64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        format!("{:.0} MB", kb / 1e3)
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> &str {
        &self.server.as_ref().unwrap().address
    }

    /// The key that the server's ledger is verified with.
    pub(crate) fn vkey(&self) -> &str {
        &self.server.as_ref().unwrap().vkey
    }

    /// Takes over a password that somebody chose before.
    pub(crate) fn knows(&mut self, login: &str, password: String) {
        self.passwords.insert(login.to_owned(), password);
    }

    /// The password of the person with a login.
    pub(crate) fn password(&self, login: &str) -> &str {
        &self.passwords[login]
    }

    /// Somebody who has not signed in, or asks with a credential of their own.
    pub(crate) fn with(&self, credential: &str) -> Person {
        let auth = match credential {
            "" => Auth::None,
            credential => Auth::Bearer(Secret::new(credential)),
        };
        Person {
            peer: peer_at(self.address(), auth),
            credential: credential.to_owned(),
            password: String::new(),
        }
    }

    /// The person with a login, signed in.
    pub(crate) async fn person(&self, login: &str) -> Person {
        let password = self.password(login);
        let body = json!({ "login": login, "password": password });
        let nobody = self.with("");
        let session = nobody.ask(Method::POST, "/api/v1/sessions", &body).await;
        let mut person = self.with(session.is(200)["credential"].as_str().unwrap());
        password.clone_into(&mut person.password);
        person
    }

    /// Exports the ledger and verifies it offline with the server's key.
    pub(crate) async fn ledger_verifies(&self, login: &str) {
        let into = tempfile::tempdir().unwrap();
        let (into, vkey) = (into.path().display(), self.vkey());
        let export = format!("ledger export {into}");
        self.say_as(login, &export).await.is(0, "exported");
        let verify = format!("ledger verify {into} --vkey {vkey}");
        self.say(&verify).await.is(0, "verified");
    }

    /// The types of a release's history, oldest first.
    pub(crate) async fn history(&self, release: &str) -> Vec<String> {
        let reader = self.person("platform").await;
        let view = reader.get(&format!("/api/v1/releases/{release}")).await;
        let entries = view["history"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["type"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Puts a version into the directory registry and marks it complete.
    pub(crate) fn publish(&self, version: &str) {
        let folder = self.path("models/triage").join(version);
        crate::artifacts::baseline(&folder).unwrap();
        std::fs::write(folder.join(".complete"), "").unwrap();
    }

    /// Publishes a version and waits until its review is open; the developer who waited.
    pub(crate) async fn reviewed(&self, version: &str) -> Person {
        self.publish(version);
        let developer = self.person("developer").await;
        let open = |view: &Value| view["state"] == "in review";
        developer.until(&format!("triage/{version}"), open).await;
        developer
    }

    /// Publishes a version and leads it to its approval, up to the second signature.
    pub(crate) async fn approve(&self, version: &str) {
        let release = format!("triage/{version}");
        let developer = self.reviewed(version).await;
        let path = format!("/api/v1/releases/{release}/claims");
        developer
            .ask(Method::POST, &path, &json!({ "claim": 1 }))
            .await
            .is(200);
        for login in ["compliance", "expert"] {
            self.person(login).await.sign(&release).await.is(200);
        }
    }
}
