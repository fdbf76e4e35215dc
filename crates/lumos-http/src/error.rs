//! Why a call did not succeed, in words that hold no secret.

use std::{error::Error, path::Path};

use crate::egress::LocalAddress;

/// Why a call to a peer did not succeed. `at` is method, host and path; never a query string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The settings do not name this host, or its name leads to a local address.
    #[error("calling `{host}`: it may not be reached: {problem}")]
    NotAllowed {
        /// Scheme, host and port, or as much of it as can be told.
        host: String,
        /// What stands against it.
        problem: String,
    },
    /// The address or path cannot be used.
    #[error("reading address `{address}`: {problem}")]
    Address {
        /// The address as given, without a credential.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Nobody answered: name not found, refused, TLS failed, connection lost.
    #[error("calling {at}: it cannot be reached: {problem}")]
    Unreachable {
        /// The call.
        at: String,
        /// What happened.
        problem: String,
    },
    /// It took too long.
    #[error("calling {at}: no answer in time")]
    Timeout {
        /// The call.
        at: String,
    },
    /// It answered with a status that is no success.
    #[error("calling {at}: it answered {status}: {body}")]
    Status {
        /// The call.
        at: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer, secrets struck out.
        body: String,
    },
    /// The answer is longer than allowed.
    #[error("calling {at}: its answer is longer than {limit_bytes} bytes")]
    TooLarge {
        /// The call.
        at: String,
        /// How many bytes are allowed.
        limit_bytes: u64,
    },
    /// The answer is not the JSON it must be.
    #[error("calling {at}: its answer is not the JSON expected: {problem}")]
    NotJson {
        /// The call.
        at: String,
        /// Where reading stopped.
        problem: String,
    },
    /// A file here could not be read or written.
    #[error("transferring file `{path}`: {problem}")]
    File {
        /// The file.
        path: String,
        /// What went wrong.
        problem: String,
    },
    /// The client could not be made, such as for an unreadable certificate.
    #[error("preparing the outgoing client: {problem}")]
    Setup {
        /// What went wrong.
        problem: String,
    },
}

impl HttpError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed { .. } => "http-not-allowed",
            Self::Address { .. } => "http-address",
            Self::Unreachable { .. } => "http-unreachable",
            Self::Timeout { .. } => "http-timeout",
            Self::Status { .. } => "http-status",
            Self::TooLarge { .. } => "http-too-large",
            Self::NotJson { .. } => "http-not-json",
            Self::File { .. } => "http-file",
            Self::Setup { .. } => "http-setup",
        }
    }

    /// The HTTP status, when there was an answer that is no success.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    pub(crate) fn file(path: &Path, error: impl ToString) -> Self {
        Self::File {
            path: path.display().to_string(),
            problem: error.to_string(),
        }
    }

    /// The failure of a call, sorted by what the caller can do about it.
    pub(crate) fn of_call(at: &str, error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_timeout() {
            return Self::Timeout { at: at.to_owned() };
        }
        if let Some(local) = sources(&error).find_map(|e| e.downcast_ref::<LocalAddress>()) {
            return Self::NotAllowed {
                host: local.host.clone(),
                problem: local.to_string(),
            };
        }
        Self::Unreachable {
            at: at.to_owned(),
            problem: chain(&error),
        }
    }
}

fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let causes: Vec<String> = sources(error).map(ToString::to_string).collect();
    causes.join(": ")
}
