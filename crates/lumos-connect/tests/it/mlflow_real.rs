//! The connector against a real MLflow with basic authentication, a real scikit-learn model in it.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use jiff::Timestamp;
use lumos_connect::registries::Mlflow;
use lumos_domain::id::Digest;
use lumos_engine::ports::{Delivery, Registry as _};
use lumos_http::{Auth, Client, Egress, Limits, Secret};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::mpsc::{self, UnboundedReceiver},
    task::JoinSet,
    time::timeout,
};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use crate::{
    fake::{mlflow_with, nothing_known},
    peer::peer,
};

const MODEL: &str = "fraud-detector";
const ADMIN: (&str, &str) = ("admin", "admin-password-for-tests");
const READER: (&str, &str) = ("reader", "reader-password-for-tests");
/// A limit, not a pace: everything waited for announces itself.
const PATIENCE: Duration = Duration::from_secs(240);

/// The programs of the installed MLflow, unless it is not installed.
fn programs() -> Option<PathBuf> {
    peer("mlflow", "bin/mlflow").map(|folder| folder.join("bin"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the peer is a process of its own"
)]
fn command(program: &Path) -> Command {
    Command::new(program)
}

/// A running MLflow; ends with everything it started when dropped.
struct Server {
    address: String,
    programs: PathBuf,
    folder: TempDir,
    child: Child,
    _log: JoinSet<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(id) = self.child.id() {
            #[expect(
                clippy::disallowed_methods,
                reason = "a process group is ended by its id"
            )]
            let ended = std::process::Command::new("kill")
                .args(["-KILL", "--", &format!("-{id}")])
                .status();
            drop(ended);
        }
    }
}

impl Server {
    async fn start(programs: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let auth = folder.path().join("auth.ini");
        let users = folder.path().join("users.db");
        let ini = format!(
            "[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{}\nadmin_username = {}\n\
             authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
            users.display(),
            ADMIN.0
        );
        std::fs::write(&auth, ini).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut child = command(&programs.join("mlflow"))
            .args(["server", "--host", "127.0.0.1", "--workers", "1"])
            .args(["--port", &port.to_string(), "--app-name", "basic-auth"])
            .args(["--backend-store-uri", "sqlite:///mlflow.db"])
            .args(["--artifacts-destination", "./artifacts"])
            .current_dir(folder.path())
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .env("MLFLOW_AUTH_CONFIG_PATH", &auth)
            .env("MLFLOW_AUTH_ADMIN_PASSWORD", ADMIN.1)
            .env("MLFLOW_FLASK_SERVER_SECRET_KEY", "only-for-tests")
            .env(
                "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY",
                URL_SAFE.encode([7; 32]),
            )
            .env("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
            .env("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
            .env("MLFLOW_WEBHOOK_CACHE_TTL", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
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
        Self {
            address: format!("http://127.0.0.1:{port}"),
            programs,
            folder,
            child,
            _log: log,
        }
    }

    fn connector(&self, (user, password): (&str, &str)) -> Mlflow {
        let settings = json!({"user": user, "password": password, "webhook_secret": "hook-secret"});
        mlflow_with(&self.address, &settings, Limits::default())
    }

    async fn post_as_admin(&self, path: &str, body: &Value) {
        let egress = Egress {
            hosts: vec![self.address.clone()],
            ..Egress::default()
        };
        let auth = Auth::Basic {
            user: ADMIN.0.to_owned(),
            password: Secret::new(ADMIN.1),
        };
        let peer = Client::new(&egress)
            .unwrap()
            .peer(&self.address, auth)
            .unwrap();
        peer.post(path).json_body(body).ok().await.unwrap();
    }

    /// Registers two versions with MLflow's own client and returns what it says about the second.
    async fn register(&self) -> Registered {
        let output = command(&self.programs.join("python"))
            .args(["-c", include_str!("register.py")])
            .current_dir(self.folder.path())
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .env("MLFLOW_TRACKING_URI", &self.address)
            .env("MLFLOW_TRACKING_USERNAME", ADMIN.0)
            .env("MLFLOW_TRACKING_PASSWORD", ADMIN.1)
            .output();
        let output = timeout(PATIENCE, output).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = said.lines().last().unwrap_or_default();
        let errors = String::from_utf8_lossy(&output.stderr);
        serde_json::from_str(last).unwrap_or_else(|_| panic!("no model was registered: {errors}"))
    }
}

#[derive(Deserialize)]
struct Registered {
    version: String,
    accuracy: f64,
    files: BTreeMap<String, String>,
}

/// Where MLflow delivers to.
async fn inbox() -> (MockServer, UnboundedReceiver<Request>) {
    let (send, receive) = mpsc::unbounded_channel();
    let server = MockServer::start().await;
    let answer = move |request: &Request| {
        let sent = send.send(request.clone());
        ResponseTemplate::new(if sent.is_ok() { 200 } else { 500 })
    };
    Mock::given(any()).respond_with(answer).mount(&server).await;
    (server, receive)
}

/// The next delivery, verified by the connector at the time it came.
async fn delivered(registry: &Mlflow, inbox: &mut UnboundedReceiver<Request>) -> Delivery {
    let request = timeout(PATIENCE, inbox.recv()).await.unwrap().unwrap();
    let headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    #[expect(
        clippy::disallowed_methods,
        reason = "MLflow signs the time of its own clock"
    )]
    let now = Timestamp::now();
    registry
        .receive(&headers, &request.body, now)
        .unwrap()
        .unwrap()
}

/// The SHA-256 of each file below `folder`, by path.
fn digests(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                let digest = Digest::of(&std::fs::read(&path).unwrap()).to_string();
                found.insert(name, digest.trim_start_matches("sha256:").to_owned());
            }
        }
    }
    found
}

/// One test, since the server takes longer to start than all that is asked of it.
#[tokio::test]
async fn a_real_mlflow_is_watched_fetched_from_and_promoted_in() {
    let Some(programs) = programs() else { return };
    let server = Server::start(programs).await;
    let registry = server.connector(ADMIN);
    assert_eq!(registry.missing_permissions().await.unwrap(), [""; 0]);
    assert_eq!(registry.models().await.unwrap(), []);
    let absent = registry.versions(MODEL, &nothing_known).await.unwrap_err();
    assert_eq!(absent.code(), "registry-not-found");

    let (hooks, mut inbox) = inbox().await;
    let url = format!("{}/hooks/mlflow", hooks.uri());
    let hook = registry.ensure_webhook(&url).await.unwrap();
    assert_eq!(registry.ensure_webhook(&url).await.unwrap().id, hook.id);
    assert_eq!(registry.webhooks().await.unwrap().len(), 1);
    assert!(registry.test_webhook(&hook.id).await.unwrap());
    delivered(&registry, &mut inbox).await;

    let registered = server.register().await;
    let first = (MODEL.to_owned(), Some("1".to_owned()));
    let mut hints = Vec::new();
    while !hints.contains(&(MODEL.to_owned(), Some(registered.version.clone()))) {
        hints.extend(delivered(&registry, &mut inbox).await.hints);
    }
    assert!(hints.contains(&first), "{hints:?}");

    finds(&registry, &registered).await;
    fetches(&registry, &registered).await;
    promotes(&registry, &registered.version).await;
    refuses_readers(&server).await;
}

async fn finds(registry: &Mlflow, registered: &Registered) {
    let models = registry.models().await.unwrap();
    assert_eq!(models.len(), 1);
    assert_eq!(models[0].name, MODEL);
    assert_eq!(models[0].owner.as_deref(), Some("risk-team"));
    assert_eq!(models[0].latest.as_ref(), Some(&registered.version));
    let all = registry.versions(MODEL, &nothing_known).await.unwrap();
    let versions: Vec<&str> = all.iter().map(|it| it.version.as_str()).collect();
    assert_eq!(versions, ["2", "1"]);
    let newer = registry.versions(MODEL, &|it| it == "1").await.unwrap();
    assert_eq!(newer, all[..1]);
    assert_eq!(newer[0].declared.as_deref(), Some("parameters"));
    assert!(!newer[0].authors.is_empty());
    assert_eq!(registry.version(MODEL, "2").await.unwrap(), newer[0]);
    assert_eq!(registry.versions(MODEL, &|_| true).await.unwrap(), []);

    let evidence = registry.evidence(MODEL, &registered.version).await.unwrap();
    let claim = &evidence[0].claim;
    assert_eq!(claim["metrics"][0]["value"], json!(registered.accuracy));
    assert_eq!(claim["not_numbers"], json!(["loss"]));
    assert_eq!(claim["params"], json!({"max_iter": "200"}));
}

async fn fetches(registry: &Mlflow, registered: &Registered) {
    let into = tempfile::tempdir().unwrap();
    let fetched = registry
        .fetch(MODEL, &registered.version, into.path())
        .await;
    assert!(fetched.unwrap() > 1_000);
    let digests = digests(into.path());
    assert!(
        digests.contains_key("code/features/deep/scale me.py"),
        "{digests:?}"
    );
    assert_eq!(digests, registered.files);
    let absent = registry.fetch(MODEL, "9", into.path()).await.unwrap_err();
    assert_eq!(absent.code(), "registry-not-found");
}

async fn promotes(registry: &Mlflow, newest: &str) {
    assert_eq!(registry.alias(MODEL, "champion").await.unwrap(), None);
    for version in ["1", newest, "1"] {
        let moved = registry
            .set_alias(MODEL, "champion", version, "approval-7")
            .await;
        moved.unwrap();
        let alias = registry.alias(MODEL, "champion").await.unwrap();
        assert_eq!(alias.as_deref(), Some(version));
    }
    let absent = registry
        .set_alias(MODEL, "champion", "9", "x")
        .await
        .unwrap_err();
    assert_eq!(absent.code(), "registry-not-found");
    let absent = registry.alias("absent", "champion").await.unwrap_err();
    assert_eq!(absent.code(), "registry-not-found");
}

async fn refuses_readers(server: &Server) {
    let user = json!({"username": READER.0, "password": READER.1});
    server
        .post_as_admin("api/2.0/mlflow/users/create", &user)
        .await;
    let reader = server.connector(READER);
    assert_eq!(
        reader.versions(MODEL, &nothing_known).await.unwrap().len(),
        2
    );
    let missing = reader.missing_permissions().await.unwrap();
    assert_eq!(missing, ["list webhooks, and so create one"]);
    let moved = reader
        .set_alias(MODEL, "champion", "2", "x")
        .await
        .unwrap_err();
    assert_eq!(moved.code(), "registry-refused", "{moved}");
    let alias = reader.alias(MODEL, "champion").await.unwrap();
    assert_eq!(alias.as_deref(), Some("1"));
    let stranger = server.connector(("reader", "a wrong password"));
    let refused = stranger.models().await.unwrap_err();
    assert_eq!(refused.code(), "registry-refused", "{refused}");
}
