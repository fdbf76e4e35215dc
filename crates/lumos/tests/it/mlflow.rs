//! The way of a release with the real MLflow and a real scikit-learn model, from its Python client to the
//! alias that moves in it.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use lumos_http::{Auth, Method};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    task::JoinSet,
    time::timeout,
};

use crate::{
    artifacts, init,
    world::{Beside, Person, World, peer, peer_at, program, promoted, run},
};

/// MLflow needs most of a minute where nothing else runs.
const PATIENCE: Duration = Duration::from_secs(240);
const NAME: &str = "fraud-detector";

/// A running MLflow; ends with everything it started when dropped.
struct Mlflow {
    port: u16,
    address: String,
    programs: PathBuf,
    child: Beside,
    /// The calls it answered, a line each.
    calls: Arc<Mutex<Vec<String>>>,
    _log: JoinSet<()>,
}

impl Drop for Mlflow {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl Mlflow {
    async fn start(programs: PathBuf, world: &World) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        std::fs::create_dir(world.path("mlflow")).unwrap();
        Self::start_on(programs, world, port).await
    }

    /// Starts on a port, with what an earlier one left in this home.
    async fn start_on(programs: PathBuf, world: &World, port: u16) -> Self {
        let folder = world.path("mlflow");
        let mut mlflow = program(programs.join("mlflow"));
        mlflow
            .args(["server", "--host", "127.0.0.1", "--workers", "1"])
            .args(["--port", &port.to_string()])
            .args(["--backend-store-uri", "sqlite:///mlflow.db"])
            .args(["--artifacts-destination", "./artifacts"])
            .current_dir(folder)
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .env(
                "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY",
                URL_SAFE.encode([7; 32]),
            )
            .env("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
            .env("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
            .env("MLFLOW_WEBHOOK_CACHE_TTL", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = Beside::start(&mut mlflow);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        // It says to be complete before it listens.
        while !["Application startup complete", "Uvicorn running on"]
            .iter()
            .all(|step| said.contains(step))
        {
            let line = timeout(PATIENCE, lines.next_line()).await;
            let line = line.expect("MLflow starts in time").unwrap();
            said += &line.unwrap_or_else(|| panic!("MLflow ended: {said}"));
            said += "\n";
        }
        let mut log = JoinSet::new();
        log.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let calls = Arc::<Mutex<Vec<String>>>::default();
        let (heard, mut lines) = (
            Arc::clone(&calls),
            BufReader::new(child.stdout.take().unwrap()).lines(),
        );
        log.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                heard.lock().unwrap().push(line);
            }
        });
        Self {
            port,
            address: format!("http://127.0.0.1:{port}"),
            programs,
            child,
            calls,
            _log: log,
        }
    }

    /// Sends a signal to it and everything it started.
    fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(rustix::process::Pid::from_raw) {
            // It may have ended by itself.
            let _ended: Result<(), _> = rustix::process::kill_process_group(group, signal);
        }
    }

    /// How often it was asked to move an alias.
    fn moves(&self) -> usize {
        let calls = self.calls.lock().unwrap();
        let moves = calls
            .iter()
            .filter(|call| call.contains("POST") && call.contains("registered-models/alias"));
        moves.count()
    }

    /// Registers the next version with MLflow's own client.
    async fn register(&self, world: &World, iterations: u32, version: &str) {
        let mut python = program(self.programs.join("python"));
        python
            .args(["-c", include_str!("register.py")])
            .current_dir(world.path("client"))
            .env("ITERATIONS", iterations.to_string())
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .env("MLFLOW_TRACKING_URI", &self.address);
        let said = run(&mut python, "").await;
        said.is(0, &format!("registered {version}"));
    }

    /// States an owner of the model, as a tag.
    async fn owned_by(&self, owner: &str) {
        let mlflow = peer_at(&self.address, Auth::None);
        let tag = json!({ "name": NAME, "key": "owner", "value": owner });
        let asked = mlflow.post("api/2.0/mlflow/registered-models/set-tag");
        assert_eq!(asked.json_body(&tag).send().await.unwrap().status, 200);
    }

    /// The version that the alias names, as MLflow says it.
    async fn champion(&self) -> Value {
        let mlflow = peer_at(&self.address, Auth::None);
        let asked = mlflow.get("api/2.0/mlflow/registered-models/alias");
        let asked = asked.query("name", NAME).query("alias", "champion");
        let answer: Value = asked.send().await.unwrap().json().unwrap();
        answer["model_version"].clone()
    }
}

fn settings(mlflow: &Mlflow, settings: String, poll_s: u32) -> String {
    let secret = "hook-secret";
    let address = &mlflow.address;
    settings.replace("poll_s: 1", &format!("poll_s: {poll_s}"))
        + &format!(
            "  - {{kind: mlflow, name: mlflow, address: \"{address}\", webhook_secret: {secret}}}\n"
        )
}

/// Registers the model with LUMOS and binds it to its name in MLflow.
async fn bind(world: &World) {
    let register = "model register fraud --owner platform --tier low --policy acme-starter
        --purpose 'Suggests which payments a person should look at.'
        --rationale 'A person looks before anything happens.'";
    world.say_as("platform & risk", register).await.is(0, "");
    let bind = "model bind fraud --registry mlflow --name fraud-detector --env production --alias champion";
    world
        .say_as("platform & risk", bind)
        .await
        .is(0, "lumos.model.bound.v1");
}

async fn gate(world: &World, code: i32, asked: &str) {
    let gate = format!("gate --model fraud --env production {asked}");
    let said = world.say_as("platform", &gate).await;
    said.is(code, if code == 0 { "allow" } else { "deny" });
}

/// Has a found version claimed, measured and signed, and waits until the alias was moved.
async fn approve(world: &World, developer: &Person, release: &str) -> Value {
    prepare(world, developer, release).await;
    world.person("expert").await.sign(release).await.is(200);
    developer.until(release, promoted).await
}

/// The same, but for the last signature.
async fn prepare(world: &World, developer: &Person, release: &str) {
    let view = developer
        .until(release, |view| view["state"] == "in review")
        .await;
    assert_eq!(view["open_claims"], json!([1]), "{view:#}");
    let path = format!("/api/v1/releases/{release}");
    let claim = json!({ "claim": 1 });
    developer
        .ask(Method::POST, &format!("{path}/claims"), &claim)
        .await
        .is(200);
    for (kind, claim) in artifacts::missing_evidence() {
        let body = json!({ "kind": kind, "claim": claim });
        developer
            .ask(Method::POST, &format!("{path}/evidence"), &body)
            .await
            .is(200);
    }
    let unblocked = |view: &Value| view["reviews"][0]["record"]["blocking"] == json!([]);
    developer.until(release, unblocked).await;
    developer
        .sign(release)
        .await
        .is_refused(403, "separation-of-duties");
    world.person("compliance").await.sign(release).await.is(200);
}

#[tokio::test]
async fn real_mlflow_model_is_found_signed_promoted_and_allowed() {
    let Some(folder) = peer("mlflow", "bin/mlflow") else {
        return;
    };
    let site = World::empty();
    let mlflow = Mlflow::start(folder.join("bin"), &site).await;
    let mut world = World::acme_with(|text| settings(&mlflow, text, 900)).await;
    artifacts::baseline(&world.path("baseline")).unwrap();
    let card = std::fs::read(world.path("baseline/README.md")).unwrap();
    world.write("client/card/README.md", card);
    bind(&world).await;

    let hook = format!("{}/api/v1/hooks/mlflow", world.address());
    let line = format!(
        "init --mlflow {} --webhook-url {hook} --into other",
        mlflow.address
    );
    let mut first = site.lumos(&line);
    first.env("LUMOS_MLFLOW_WEBHOOK_SECRET", "hook-secret");
    run(&mut first, "").await.is(0, "webhook: ");

    // Polling comes every quarter of an hour: what is found now, the webhook told.
    mlflow.register(&world, 50, "1").await;
    let developer = world.person("developer").await;
    developer
        .until("fraud/1", |view| view["state"] == "in review")
        .await;
    gate(&world, 3, "--version 1").await;
    let view = approve(&world, &developer, "fraud/1").await;
    let champion = mlflow.champion().await;
    assert_eq!(champion["version"], "1");
    assert!(
        champion["tags"].to_string().contains("fraud/1/production"),
        "{champion:#}"
    );
    gate(&world, 0, "--version 1").await;
    let digest = view["digest"].as_str().unwrap();
    gate(&world, 0, &format!("--digest {digest}")).await;
    gate(&world, 3, &format!("--digest sha256:{}", "0".repeat(64))).await;

    // On another port the webhook finds nobody: what is found now, polling found.
    assert!(world.stop().await.success());
    let text = std::fs::read_to_string(world.path("lumos.yaml")).unwrap();
    world.write("lumos.yaml", text.replace("poll_s: 900", "poll_s: 1"));
    world.start(0).await;
    mlflow.register(&world, 200, "2").await;
    let developer = world.person("developer").await;
    developer
        .until("fraud/2", |view| view["state"] == "in review")
        .await;
    gate(&world, 3, "--version 2").await;
    approve(&world, &developer, "fraud/2").await;
    assert_eq!(mlflow.champion().await["version"], "2");
    gate(&world, 0, "--version 2").await;

    // Whoever starts now is shown what is there, and may say who owns it.
    mlflow.owned_by("ada@acme.example").await;
    let mut other = World::empty();
    let options = format!("--mlflow {}", mlflow.address);
    let said = init::founded(&mut other, &options, "\n").await;
    assert!(
        said.out.contains("`fraud-detector` [ada@acme.example]: "),
        "{said:#?}"
    );
    init::owns_and_comes(&other, "ada@acme.example", NAME).await;

    let revoke = "release revoke fraud/2 --env production --reason 'a recall'";
    world
        .say_as("compliance", revoke)
        .await
        .is(0, "lumos.approval.revoked.v1");
    gate(&world, 3, "--version 2").await;
    world.ledger_verifies("developer").await;
}

/// Signs for the last time while MLflow does not answer; returns once the promotion is intended.
async fn sign_without_mlflow(world: &World, developer: &Person, release: &str) {
    world.person("expert").await.sign(release).await.is(200);
    let intended = |view: &Value| view["promotions"][0]["settled"] == false;
    developer.until(release, intended).await;
}

/// In the middle of a promotion, between what was intended and what is observed, MLflow is first stopped for a while
/// and then killed: when it is back the alias is moved, once.
#[tokio::test]
async fn real_mlflow_away_in_the_middle_of_a_promotion_is_promoted_in_once() {
    let Some(folder) = peer("mlflow", "bin/mlflow") else {
        return;
    };
    let site = World::empty();
    let mut mlflow = Mlflow::start(folder.join("bin"), &site).await;
    let world = World::acme_with(|text| settings(&mlflow, text, 1)).await;
    artifacts::baseline(&world.path("baseline")).unwrap();
    let card = std::fs::read(world.path("baseline/README.md")).unwrap();
    world.write("client/card/README.md", card);
    bind(&world).await;
    mlflow.register(&world, 50, "1").await;
    let developer = world.person("developer").await;
    prepare(&world, &developer, "fraud/1").await;

    mlflow.signal(Signal::STOP);
    sign_without_mlflow(&world, &developer, "fraud/1").await;
    mlflow.signal(Signal::CONT);
    developer.until("fraud/1", promoted).await;
    assert_eq!(mlflow.champion().await["version"], "1");
    assert_eq!(mlflow.moves(), 1);

    mlflow.register(&world, 200, "2").await;
    prepare(&world, &developer, "fraud/2").await;
    let (programs, port) = (mlflow.programs.clone(), mlflow.port);
    mlflow.signal(Signal::KILL);
    timeout(PATIENCE, mlflow.child.wait())
        .await
        .unwrap()
        .unwrap();
    sign_without_mlflow(&world, &developer, "fraud/2").await;
    let mlflow = Mlflow::start_on(programs, &site, port).await;
    developer.until("fraud/2", promoted).await;
    assert_eq!(mlflow.champion().await["version"], "2");
    assert_eq!(mlflow.moves(), 1);

    for release in ["fraud/1", "fraud/2"] {
        let history = world.history(release).await;
        for kind in ["lumos.promotion.intended.v1", "lumos.promotion.observed.v1"] {
            let seen = history.iter().filter(|seen| *seen == kind);
            assert_eq!(seen.count(), 1, "{kind} of {release} in {history:?}");
        }
    }
    world.ledger_verifies("developer").await;
}
