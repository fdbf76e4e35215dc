//! The child: reads one request, confines itself, inspects, answers.
//!
//! Not here: anything that trusts what it reads after confining itself.

use std::{
    error::Error,
    io::{self, BufReader, Write},
    path::Path,
    process::ExitCode,
};

use lumos_evidence::scan::Limits;

use crate::{
    confine::{self, Resources},
    protocol::{Answer, Failure, REQUEST_BYTES_MAX, Request, read_line, write_line},
    tree,
};

/// The first argument that makes a process a worker.
pub const ARGUMENT: &str = "__worker";

/// Serves one request and gives the exit code when this process was started as a worker; `None` when it was not. Call
/// it first in `main`, before threads, files or sockets are opened.
#[must_use]
pub fn main_if_worker() -> Option<ExitCode> {
    if std::env::args_os().nth(1)? != ARGUMENT {
        return None;
    }
    // The child must not outlive the parent, which alone knows the deadline.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).ok();
    let served = serve(&mut io::stdout().lock());
    Some(if served.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn serve(out: &mut dyn Write) -> io::Result<()> {
    let mut input = BufReader::new(io::stdin().lock());
    let request: Option<Request> = read_line(&mut input, REQUEST_BYTES_MAX)?;
    let request = request.ok_or(io::ErrorKind::UnexpectedEof)?;
    let tree = Path::new(&request.tree);
    let confinement = confine::confine(tree, Resources::of_scanner(request.cpu_seconds));
    let mut told = Ok(());
    let inspected = tree::inspect(tree, Limits::default(), confinement, &mut |progress| {
        if told.is_ok() {
            told = write_line(out, &Answer::Progress(progress));
        }
    });
    told?;
    let answer = match inspected {
        Ok(inspection) => Answer::Done(Box::new(inspection)),
        Err(error) => Answer::Failed(Failure {
            code: error.code().to_owned(),
            message: with_causes(&error),
        }),
    };
    write_line(out, &answer)
}

fn with_causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    message
}
