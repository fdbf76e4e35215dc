//! Why work on the database failed, and whether the same work may go through a moment later.

use std::sync::Arc;

use deadpool_postgres::PoolError;
use lumos_engine::ports::{AppendError, PortError};
use tokio_postgres::error::{Severity, SqlState};

use crate::OpenError;

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// By itself, with the answer its caller gets.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The database answered with an error. What it says of the values concerned is left out: they may be sealed.
    #[error("{message} ({})", code.code())]
    Refused {
        /// Its SQLSTATE.
        code: SqlState,
        /// Its words.
        message: String,
    },
    /// The database was not reached, or went away.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("the database did not answer in time")]
    Late,
    /// What is stored contradicts itself or what was just written.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The database has less than it had: this process must never append to it again.
    #[error("the database lost what it had acknowledged: {0}")]
    WentBack(String),
    /// A server that was failed over to is not fit to hold a ledger.
    #[error("the database is not fit to be appended to: {0}")]
    Unfit(String),
    /// The connection was lost while a commit was under way.
    #[error("whether it was committed is unknown; ask by command id")]
    Unknown(#[source] Box<Self>),
    /// With all that shared its transaction.
    #[error(transparent)]
    Batch(Arc<Self>),
    /// In a transaction without savepoints, so that all of it has to be done again with them.
    #[error("an append of the batch was refused")]
    Again,
    /// A statement and its parameters do not belong together, or a column is of a type that not both databases know.
    #[error("{0}")]
    Statement(String),
    /// The store was closed before it answered.
    #[error("the store has stopped")]
    Stopped,
}

impl Failure {
    /// An error of the caller's own making, in words.
    pub(super) fn refused(doing: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Append(AppendError::Store(PortError::new(doing, problem.into())))
    }

    /// Whether more is lost than the job that met it: the transaction, the connection or the database.
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            Self::Append(_) | Self::Statement(_) => false,
            // Data, constraints, statements and rights: what an append itself brought along.
            Self::Refused { code, .. } => !["22", "23", "42", "0A", "P0"]
                .iter()
                .any(|class| code.code().starts_with(class)),
            _ => true,
        }
    }

    /// Whether it says that the server or the connection ended, and nothing of what became of the work.
    pub(super) fn is_of_ending(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { code, .. } => code.code().starts_with("57P"),
            _ => false,
        }
    }

    /// Whether the same work may go through on a new connection: nothing is wrong with it or with what is stored.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            // Connections, a server that stops or starts, a transaction that was rolled back for another's sake or
            // ended for idling, a server that was demoted.
            Self::Refused { code, .. } => {
                let code = code.code();
                ["08", "40"].iter().any(|class| code.starts_with(class))
                    || ["57P01", "57P02", "57P03", "25P03", "25006", "53300"].contains(&code)
            }
            _ => false,
        }
    }

    /// Whether a value was taken that must be unique.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == SqlState::UNIQUE_VIOLATION)
    }

    pub(super) fn into_port(self, doing: &'static str) -> PortError {
        match self {
            Self::Append(AppendError::Store(error)) => error,
            error => PortError::new(doing, error),
        }
    }

    pub(super) fn into_append(self) -> AppendError {
        match self {
            Self::Append(error) => error,
            error => AppendError::Store(error.into_port("appending to the ledger")),
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            // The server ends with these words, and what it was doing may be found done when it starts again.
            Some(answer) if answer.parsed_severity() == Some(Severity::Panic) => {
                Self::Unreachable(words(&error))
            }
            Some(answer) => Self::Refused {
                code: answer.code().clone(),
                message: answer.message().to_owned(),
            },
            None => Self::Unreachable(words(&error)),
        }
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(_) => Self::Late,
            error => Self::Unreachable(error.to_string()),
        }
    }
}

impl OpenError {
    /// What could not be opened because of a failure while `doing` something.
    pub(super) fn postgres(doing: impl Into<String>) -> impl FnOnce(Failure) -> Self {
        let doing = doing.into();
        move |failure| {
            let lacks_rights = matches!(
                &failure,
                Failure::Refused { code, .. } if *code == SqlState::INSUFFICIENT_PRIVILEGE
            );
            let source = PortError::new(doing.clone(), failure);
            if lacks_rights {
                Self::NotMigrated { source }
            } else {
                Self::Postgres { doing, source }
            }
        }
    }
}

/// An error and its causes in one line.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_says_decides_what_is_tried_again() {
        // (SQLSTATE, lost with its transaction, worth trying again, taken)
        for (code, fatal, again, taken) in [
            ("23505", false, false, true),
            ("23502", false, false, false),
            ("42P01", false, false, false),
            ("22021", false, false, false),
            ("40P01", true, true, false),
            ("25P03", true, true, false),
            ("57P01", true, true, false),
            ("53100", true, false, false),
            ("55P03", true, false, false),
            ("XX001", true, false, false),
        ] {
            let failure = Failure::Refused {
                code: SqlState::from_code(code),
                message: String::new(),
            };
            let found = (failure.is_fatal(), failure.may_pass(), failure.is_taken());
            assert_eq!(found, (fatal, again, taken), "{code}");
        }
    }
}
