//! The parent: starts the child, waits for its answer, kills it at the deadline.
//!
//! Not here: what the child does. Its answer is read as a stranger's: bounded, and of one shape.

use std::{
    io::{self, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use lumos_evidence::scan::Inspection;

use crate::{
    child::ARGUMENT,
    protocol::{ANSWER_BYTES_MAX, Answer, Progress, Request, read_line, write_line},
};

/// Starts workers.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The binary to run again; its `main` calls [`crate::main_if_worker`] first.
    pub exe: PathBuf,
}

/// Why there is no inspection.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The path is not absolute or not UTF-8.
    #[error("starting a worker: `{0}` is not an absolute path in UTF-8")]
    Path(PathBuf),
    /// The child could not be started or spoken to.
    #[error("starting a worker")]
    Start(#[source] io::Error),
    /// The child was not done in time and was killed.
    #[error("waiting for a worker: it was not done after {} s and was killed", .0.as_secs())]
    Deadline(Duration),
    /// The child ended without an answer: killed by a limit, or broken by its input.
    #[error("waiting for a worker: it died without an answer ({0})")]
    Died(String),
    /// The child said something that is no answer.
    #[error("reading the answer of a worker")]
    Answer(#[source] io::Error),
    /// The child could not inspect the files; the code is that of its error.
    #[error("inspecting the files: {message}")]
    Failed {
        /// The code of the child's error.
        code: &'static str,
        /// Its message with causes.
        message: String,
    },
}

impl WorkerError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Path(_) => "artifact-path",
            Self::Start(_) => "worker-start",
            Self::Deadline(_) => "worker-deadline",
            Self::Died(_) => "worker-died",
            Self::Answer(_) => "worker-answer",
            Self::Failed { code, .. } => code,
        }
    }
}

/// The codes a child may answer with; any other is a broken answer.
const CODES: [&str; 7] = [
    "artifact-unreadable",
    "artifact-changed",
    "artifact-path",
    "artifact-link",
    "artifact-special-file",
    "artifact-too-many",
    "bad-manifest",
];

impl Worker {
    /// Inspects the directory or file `tree` (absolute) in a child process. Blocks until the answer or `deadline`.
    ///
    /// # Errors
    /// When the child cannot be started, dies, is too late, or cannot inspect the files.
    pub fn scan(
        &self,
        tree: &Path,
        deadline: Duration,
        mut progress: impl FnMut(Progress),
    ) -> Result<Inspection, WorkerError> {
        let path = tree.to_str().filter(|_| tree.is_absolute());
        let path = path.ok_or_else(|| WorkerError::Path(tree.to_owned()))?;
        let request = Request {
            tree: path.to_owned(),
            cpu_seconds: deadline.as_secs().saturating_add(1),
        };
        let (mut running, stdin, stdout) = self.start()?;
        let answers = listen(stdout, stdin, request);
        #[expect(
            clippy::disallowed_methods,
            reason = "a deadline on a real process needs the real clock"
        )]
        let end = Instant::now().checked_add(deadline);
        loop {
            #[expect(
                clippy::disallowed_methods,
                reason = "a deadline on a real process needs the real clock"
            )]
            let left = end.map_or(deadline, |end| {
                end.saturating_duration_since(Instant::now())
            });
            match answers.recv_timeout(left) {
                Ok(Ok(Some(Answer::Progress(at)))) => progress(at),
                Ok(Ok(Some(Answer::Done(inspection)))) => return Ok(*inspection),
                Ok(Ok(Some(Answer::Failed(failure)))) => {
                    return Err(failed(&failure.code, failure.message));
                }
                Ok(Ok(None)) | Err(RecvTimeoutError::Disconnected) => return Err(running.died()),
                Ok(Err(e)) => return Err(running.spoke_wrongly(e)),
                Err(RecvTimeoutError::Timeout) => return Err(WorkerError::Deadline(deadline)),
            }
        }
    }

    fn start(&self) -> Result<(Running, ChildStdin, ChildStdout), WorkerError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that starts workers"
        )]
        let mut command = Command::new(&self.exe);
        let command = command
            .arg(ARGUMENT)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(WorkerError::Start)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let running = Running(child);
        let (stdin, stdout) =
            pipes.ok_or_else(|| WorkerError::Start(io::ErrorKind::BrokenPipe.into()))?;
        Ok((running, stdin, stdout))
    }
}

fn failed(code: &str, message: String) -> WorkerError {
    match CODES.into_iter().find(|known| *known == code) {
        Some(code) => WorkerError::Failed { code, message },
        None => WorkerError::Answer(io::Error::new(
            io::ErrorKind::InvalidData,
            "the worker names an unknown error",
        )),
    }
}

/// Sends the request and reads answers until one that is the last. The thread ends when the child's end of the pipe
/// closes, which the owner of [`Running`] forces; it never outlives the child.
fn listen(
    stdout: ChildStdout,
    mut stdin: ChildStdin,
    request: Request,
) -> Receiver<io::Result<Option<Answer>>> {
    let (send, receive) = mpsc::sync_channel(16);
    thread::spawn(move || {
        // A child that died before reading shows up as the end of its answers.
        write_line(&mut stdin, &request).ok();
        drop(stdin);
        let mut from = BufReader::new(stdout);
        loop {
            let answer = read_line::<Answer>(&mut from, ANSWER_BYTES_MAX);
            let goes_on = matches!(answer, Ok(Some(Answer::Progress(_))));
            if send.send(answer).is_err() || !goes_on {
                return;
            }
        }
    });
    receive
}

/// A child that is killed and waited for when dropped, whatever happened.
struct Running(Child);

impl Running {
    /// The child closed its pipe without an answer; it is gone or will be.
    fn died(&mut self) -> WorkerError {
        self.0.kill().ok();
        match self.0.wait() {
            Ok(status) => WorkerError::Died(status.to_string()),
            Err(e) => WorkerError::Died(e.to_string()),
        }
    }

    /// A cut line is what a killed child leaves; anything else is a wrong answer.
    fn spoke_wrongly(&mut self, error: io::Error) -> WorkerError {
        match self.0.try_wait() {
            Ok(Some(status)) if !status.success() => WorkerError::Died(status.to_string()),
            _ => WorkerError::Answer(error),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
