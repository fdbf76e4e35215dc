//! A PostgreSQL server of one test's own: made in a temporary folder, on loopback, run by an unprivileged user, and
//! gone with the test. Each store gets a database of its own in it. The tests of the whole server use it as well.

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Who runs a server where the tests run as root, which PostgreSQL refuses.
const USER: &str = "postgres";

/// What has to be free in memory for servers there. One needs 80 MB and more, and several run at once.
const ROOM_BYTES: u64 = 1 << 30;

/// A running server.
pub(crate) struct Cluster {
    dir: TempDir,
    bin: PathBuf,
    port: u16,
    databases: AtomicU32,
    /// What its server finds in its environment.
    env: Vec<(&'static str, PathBuf)>,
}

impl Cluster {
    /// Starts a server, or says that there is none here: then the test returns.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// The same, with lines of its own in `postgresql.conf`.
    pub(crate) fn start_with(settings: &str) -> Option<Self> {
        Self::start_in(tempfile::tempdir().unwrap(), settings, Vec::new())
    }

    /// The same, in memory where a folder of that has room: for tests in which processes end and the machine does not.
    /// Stories are told twice as fast there.
    pub(crate) fn start_in_memory() -> Option<Self> {
        let memory = "/dev/shm";
        let room = rustix::fs::statvfs(memory).map_or(0, |stat| stat.f_bavail * stat.f_frsize);
        let dir = if room >= ROOM_BYTES {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        };
        Self::start_in(dir.unwrap(), "", Vec::new())
    }

    /// The same, and the server finds this in its environment.
    pub(crate) fn start_on(env: impl Into<Vec<(&'static str, PathBuf)>>) -> Option<Self> {
        Self::start_in(tempfile::tempdir().unwrap(), "", env.into())
    }

    fn start_in(dir: TempDir, settings: &str, env: Vec<(&'static str, PathBuf)>) -> Option<Self> {
        let Some(bin) = bin() else {
            println!("skipped: no PostgreSQL; run cargo xtask peers postgresql");
            return None;
        };
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let cluster = Self {
            dir,
            bin,
            port: free_port(),
            databases: AtomicU32::new(0),
            env,
        };
        let data = cluster.data();
        let args = ["--auth=trust", "--username=lumos", "--encoding=UTF8"];
        let rest = ["--locale=C", "--data-checksums", "--no-sync", "--pgdata"];
        cluster.run("initdb", |c| c.args(args).args(rest).arg(&data));
        let conf = data.join("lumos.conf");
        let text = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n\
             shared_buffers = 32MB\n{settings}\n",
            cluster.port
        );
        std::fs::write(&conf, text).unwrap();
        let include = format!("include '{}'\n", conf.display());
        append(&data.join("postgresql.conf"), &include);
        cluster.up();
        Some(cluster)
    }

    /// Starts a second server that follows this one, and has this one wait for it with each commit from now on.
    pub(crate) fn standby(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let standby = Self {
            dir,
            bin: self.bin.clone(),
            port: free_port(),
            databases: AtomicU32::new(0),
            env: Vec::new(),
        };
        let (data, from) = (standby.data(), self.url("lumos", "postgres"));
        let copied = standby.run("pg_basebackup", |c| {
            c.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]);
            c.args(["--dbname", &from]);
            c.arg("--pgdata").arg(&data)
        });
        assert!(copied);
        let port = format!("port = {}\n", standby.port);
        append(&data.join("postgresql.conf"), &port);
        standby.up();
        self.sql(
            "postgres",
            "ALTER SYSTEM SET synchronous_standby_names = '*'",
        );
        self.sql("postgres", "SELECT pg_reload_conf()");
        let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        until(|| self.sql("postgres", synchronous) == "1");
        standby
    }

    /// Makes a server that followed another one write by itself.
    pub(crate) fn promote(&self) {
        let data = self.data();
        let done = self.run("pg_ctl", |c| {
            c.args(["--wait", "--silent", "promote", "--pgdata"])
                .arg(&data)
        });
        assert!(done);
    }

    /// Starts a server as one that waits for nobody, whatever it was told before.
    pub(crate) fn up_alone(&self) {
        append(
            &self.data().join("postgresql.auto.conf"),
            "synchronous_standby_names = ''\n",
        );
        self.up();
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts the server and waits until it answers.
    pub(crate) fn up(&self) {
        let (data, log) = (self.data(), self.dir.path().join("log"));
        let done = self.run("pg_ctl", |c| {
            c.args(["--wait", "--silent", "start", "--pgdata"]);
            let env = self.env.iter().map(|(name, value)| (*name, value));
            c.arg(&data).arg("--log").arg(&log).envs(env)
        });
        assert!(
            done,
            "{}",
            std::fs::read_to_string(&log).unwrap_or_default()
        );
    }

    /// Stops the server in order and starts it with what its settings say now.
    pub(crate) fn restart(&self) {
        self.stopped(|| ());
    }

    /// Stops the server in order, does something to its files, and starts it.
    pub(crate) fn stopped(&self, meanwhile: impl FnOnce()) {
        self.stop();
        meanwhile();
        self.up();
    }

    fn stop(&self) {
        let data = self.data();
        let stopped = self.run("pg_ctl", |c| {
            c.args(["--silent", "--mode=fast", "stop", "--pgdata"])
                .arg(&data)
        });
        assert!(stopped);
    }

    /// Stops the server and says whether every page of it has its checksum.
    pub(crate) fn is_sound(&self) -> bool {
        self.stop();
        let data = self.data();
        let sound = self.run("pg_checksums", |c| {
            c.args(["--check", "--pgdata"]).arg(&data)
        });
        self.up();
        sound
    }

    /// The file that a table is kept in.
    pub(crate) fn file_of(&self, database: &str, table: &str) -> PathBuf {
        let asked = format!("SELECT pg_relation_filepath('{table}')");
        self.data().join(self.sql(database, &asked))
    }

    /// Kills every process of the server at once, as a power cut would: nothing is written any more.
    pub(crate) fn kill(&self) {
        // One that ended by itself left no such file.
        let Ok(pid) = std::fs::read_to_string(self.data().join("postmaster.pid")) else {
            return;
        };
        let pid = pid.lines().next().unwrap().to_owned();
        // Stopped, it starts nothing while its children are counted.
        output(command("kill").args(["-STOP", &pid]));
        let children = output(command("pgrep").args(["-P", &pid]));
        let children = String::from_utf8(children.stdout).unwrap();
        let all: Vec<&str> = std::iter::once(pid.as_str())
            .chain(children.lines())
            .collect();
        // A child may have ended meanwhile.
        for pid in &all {
            output(command("kill").args(["-9", pid]));
        }
        until(|| !all.iter().any(|pid| runs(pid)));
        if Path::new("/proc").join(&pid).exists() {
            // Nobody asks how it ended: to the next server it would look as if it ran.
            std::fs::remove_file(self.data().join("postmaster.pid")).unwrap();
        }
    }

    /// Runs a program of PostgreSQL's as who may; says whether it went well.
    fn run(&self, program: &str, args: impl FnOnce(&mut Command) -> &mut Command) -> bool {
        let path = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = command("runuser");
            command.args(["-u", USER, "--"]).arg(path);
            command
        } else {
            command(path)
        };
        command.current_dir(self.dir.path());
        // A server that keeps our output open would keep who reads it waiting.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        args(&mut command).status().unwrap().success()
    }

    /// Runs SQL in a database, as the superuser.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let answer = self.try_sql(database, sql);
        answer
            .map_err(|problem| format!("{sql}: {problem}"))
            .unwrap()
    }

    /// The same, where it may fail: then with the server's words.
    pub(crate) fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = command(self.bin.join("psql"));
        let port = self.port.to_string();
        psql.args([
            "-h",
            "127.0.0.1",
            "-U",
            "lumos",
            "-p",
            &port,
            "-d",
            database,
        ]);
        psql.args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let answer = output(&mut psql);
        if !answer.status.success() {
            return Err(String::from_utf8_lossy(&answer.stderr).into_owned());
        }
        Ok(String::from_utf8(answer.stdout).unwrap().trim().to_owned())
    }

    /// Everything that stands in a database, as text.
    pub(crate) fn dump(&self, database: &str) -> String {
        let mut dump = command(self.bin.join("pg_dump"));
        dump.args(["--dbname", &self.url("lumos", database)]);
        let dumped = output(&mut dump);
        assert!(dumped.status.success(), "{dumped:?}");
        String::from_utf8(dumped.stdout).unwrap()
    }

    /// Runs what a dump says, in an empty database.
    pub(crate) fn load(&self, database: &str, dump: &Path) {
        let mut psql = command(self.bin.join("psql"));
        psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "--dbname"]);
        psql.arg(self.url("lumos", database))
            .arg("--file")
            .arg(dump);
        let loaded = output(&mut psql);
        assert!(loaded.status.success(), "{loaded:?}");
    }

    /// Makes an empty database and says its name.
    pub(crate) fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("d{number}");
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Makes a copy of a database that nobody is connected to, and says its name.
    pub(crate) fn copied(&self, database: &str) -> String {
        let copy = format!("{database}_copy");
        let sql = format!("CREATE DATABASE {copy} TEMPLATE {database}");
        self.sql("postgres", &sql);
        copy
    }

    /// The address of a database, for a role that needs no password here.
    pub(crate) fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.data();
        self.run("pg_ctl", |c| {
            c.args(["--silent", "--mode=immediate", "stop", "--pgdata"])
                .arg(&data)
        });
    }
}

/// Where PostgreSQL's programs are: of the versions that Debian keeps side by side the newest, or else on the path.
fn bin() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok();
    let versions = versions.into_iter().flatten().filter_map(Result::ok);
    let mut bins: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    bins.retain(|bin| bin.join("initdb").exists());
    bins.sort_unstable();
    let newest = bins.pop();
    newest.or_else(|| {
        let asked = command("pg_config").arg("--bindir").output().ok()?;
        let bin = PathBuf::from(String::from_utf8(asked.stdout).ok()?.trim());
        bin.join("initdb").exists().then_some(bin)
    })
}

/// How long a server may take for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Asks until it is so.
pub(crate) fn until(mut so: impl FnMut() -> bool) {
    #[expect(clippy::disallowed_methods, reason = "a wait has a limit")]
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "it becomes so in time");
        std::thread::yield_now();
    }
}

/// Whether a process runs. One that ended is listed until its parent asks how, and in a container perhaps for ever.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Before the state stands its name, which may hold anything.
    let state = stat.rsplit_once(") ").map(|(_, state)| state);
    state.is_some_and(|state| !state.starts_with('Z'))
}

fn append(file: &Path, text: &str) {
    let all = std::fs::read_to_string(file).unwrap() + text;
    std::fs::write(file, all).unwrap();
}

fn is_root() -> bool {
    output(command("id").arg("-u")).stdout == b"0\n"
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the tests need a real database")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}
