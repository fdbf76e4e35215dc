//! Programs that run: where they are, how they are asked, and what they said.

use std::{
    ffi::OsStr,
    ops::{Deref, DerefMut},
    process::Stdio,
    thread,
    time::Instant,
};

use serde_json::Value;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
    time::timeout,
};

use super::PATIENCE;

#[expect(
    clippy::disallowed_methods,
    reason = "these tests are about programs that run"
)]
pub(crate) fn program(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A program that goes on beside its test. Dropped, it is killed and gone: what it holds is free, and the folder it
/// writes to may go.
pub(crate) struct Beside(Child);

impl Beside {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }
}

impl Deref for Beside {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Beside {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // One that has ended needs neither.
        drop(self.0.start_kill());
        #[expect(clippy::disallowed_methods, reason = "a wait has a limit")]
        let killed = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && killed.elapsed() < PATIENCE {
            thread::yield_now();
        }
    }
}

/// The words of a line as a shell would split it: 'these two' are one.
pub(super) fn words(line: &str) -> Vec<&str> {
    let quoted = line.split('\'').enumerate();
    let words = quoted.flat_map(|(n, part)| match n % 2 {
        0 => part.split_whitespace().collect(),
        _ => vec![part],
    });
    words.collect()
}

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The JSON it printed.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Asserts the exit status and that it says `text` somewhere.
    #[track_caller]
    pub(crate) fn is(self, code: i32, text: &str) -> Self {
        let said = self.out.contains(text) || self.err.contains(text);
        assert!(
            self.code == Some(code) && said,
            "not {code} `{text}`: {self:#?}"
        );
        self
    }
}

/// Runs a program to its end, with `input` on its standard input.
pub(crate) async fn run(command: &mut Command, input: &str) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that wants no input may have ended already.
    drop(stdin.write_all(input.as_bytes()).await);
    drop(stdin);
    let output = timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("the program ends in time").unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
