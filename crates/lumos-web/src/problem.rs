//! Errors as people and programs see them: RFC 9457 problem+json with a stable code, never plain text.

use axum::{
    extract::rejection::{
        BytesRejection, FormRejection, JsonRejection, PathRejection, QueryRejection,
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use lumos_domain::{id::ParseIdError, refusal::Refusal, words::UnknownWord};
use lumos_engine::{DoorError, ports::PortError};
use serde::Serialize;

/// A problem, RFC 9457.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// `urn:lumos:error:` and the code; the page of the same name is in `docs/errors/`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// What happened and what to do, in a sentence.
    pub detail: String,
    /// After how many seconds it is worth asking again, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem with a status, a code and a sentence.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:lumos:error:{code}"),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: detail.into(),
            retry_after_s: None,
        }
    }

    /// Too much is being done; ask again after so many seconds.
    pub fn busy(retry_after_s: u32, detail: impl Into<String>) -> Self {
        Self {
            retry_after_s: Some(retry_after_s),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
        }
    }

    /// Nobody is signed in.
    pub fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "not-signed-in",
            "sign in first: `lumos user login`, the sign-in page, or a bearer token",
        )
    }

    /// There is no such thing.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown-thing",
            format!("there is no {what}"),
        )
    }

    /// What was sent could not even be read.
    fn rejected(status: StatusCode, detail: String) -> Self {
        let code = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "too-large",
            _ => "bad-request",
        };
        Self::new(status, code, detail)
    }

    /// What was sent cannot be used.
    pub fn bad(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let again = self.retry_after_s.map(|s| [(header::RETRY_AFTER, s)]);
        (status, kind, again, body).into_response()
    }
}

/// The status that tells a program what to do about a refusal.
const fn refusal_status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::NotAllowed { .. }
        | Refusal::NotAPerson
        | Refusal::Suspended
        | Refusal::NoSlot { .. }
        | Refusal::SeparationOfDuties { .. }
        | Refusal::GradeTooLow { .. }
        | Refusal::OwnActs { .. }
        | Refusal::NeedsSecondPerson => StatusCode::FORBIDDEN,
        Refusal::Unknown { .. } => StatusCode::NOT_FOUND,
        Refusal::BadFounders
        | Refusal::BadRules { .. }
        | Refusal::ObserveTooLong
        | Refusal::BadToken { .. }
        | Refusal::Empty { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::CONFLICT,
    }
}

impl From<DoorError> for Problem {
    fn from(error: DoorError) -> Self {
        let code = error.code();
        match &error {
            DoorError::Refused(refusal) => {
                Self::new(refusal_status(refusal), code, refusal.to_string())
            }
            DoorError::Taken | DoorError::LeaseLost => {
                Self::new(StatusCode::CONFLICT, code, error.to_string())
            }
            DoorError::Busy | DoorError::KeyLost => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string())
            }
            DoorError::ReadOnly(_) | DoorError::OtherVersion => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string())
            }
            DoorError::Entry(_) | DoorError::TooWide => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, code, error.to_string())
            }
            DoorError::Read(_) | DoorError::Manifest { .. } | DoorError::Store(_) => {
                tracing::error!(code, problem = %chain(&error), "a request failed");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    code,
                    "the ledger cannot be read or written right now. Ask again later, under the same \
                     `Idempotency-Key`: nothing is done twice. The operator finds the cause in the server's log",
                )
            }
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        DoorError::from(error).into()
    }
}

impl From<ParseIdError> for Problem {
    fn from(error: ParseIdError) -> Self {
        Self::bad(error.code(), error.to_string())
    }
}

impl From<UnknownWord> for Problem {
    fn from(error: UnknownWord) -> Self {
        Self::bad(error.code(), error.to_string())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::rejected(rejection.status(), rejection.body_text())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        Self::rejected(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), "bad-name", rejection.body_text())
    }
}

impl From<FormRejection> for Problem {
    fn from(rejection: FormRejection) -> Self {
        Self::rejected(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::rejected(rejection.status(), rejection.body_text())
    }
}
