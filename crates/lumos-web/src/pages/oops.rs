//! An error as a page: its code, its reason, the next step, and the way back.

use askama::Template;
use axum::{
    http::{StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};

use super::{filters, frame::Frame};
use crate::problem::Problem;

/// Why there is no page: a problem to show, or somewhere to go first.
#[derive(Debug)]
pub(super) enum Oops {
    /// Something to tell.
    Problem {
        /// What happened.
        problem: Box<Problem>,
        /// Where to go back to.
        back: Option<String>,
    },
    /// Go there first.
    Elsewhere(String),
}

impl<E> From<E> for Oops
where
    Problem: From<E>,
{
    fn from(error: E) -> Self {
        Self::Problem {
            problem: Box::new(error.into()),
            back: None,
        }
    }
}

impl Oops {
    /// The same, with the way back to `place`.
    pub(super) fn back(self, place: &str) -> Self {
        match self {
            Self::Problem { problem, .. } => Self::Problem {
                problem,
                back: Some(place.to_owned()),
            },
            elsewhere @ Self::Elsewhere(_) => elsewhere,
        }
    }
}

#[derive(Template)]
#[template(path = "oops.html")]
pub(super) struct OopsPage {
    pub(super) frame: Frame,
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) detail: String,
    pub(super) next: &'static str,
    pub(super) back: String,
}

/// What to do, by what kind of answer it is.
const fn next_step(status: u16) -> &'static str {
    match status {
        401 => "Sign in, then open the page again.",
        403 => {
            "Nothing was changed. Ask a person who may do this, or somebody who manages people for the role."
        }
        404 => "Check the address, or go back and look for it in the lists.",
        409 => {
            "Nothing was changed. Go back, load the page again and read what is new before you act."
        }
        400..=499 => "Nothing was changed. Go back, correct what you entered and send it again.",
        _ => {
            "Nothing was changed. Try again shortly; when it stays, tell the operator the code above."
        }
    }
}

impl IntoResponse for Oops {
    fn into_response(self) -> Response {
        let (problem, back) = match self {
            Self::Elsewhere(place) => return Redirect::to(&place).into_response(),
            Self::Problem { problem, back } => (*problem, back),
        };
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let again = problem.retry_after_s.map(|s| [(header::RETRY_AFTER, s)]);
        let page = OopsPage {
            frame: Frame::bare("It did not work"),
            status: problem.status,
            next: next_step(problem.status),
            code: problem.code,
            detail: problem.detail,
            back: back.unwrap_or_else(|| "/".to_owned()),
        };
        (status, again, paint(&page)).into_response()
    }
}

/// A template as the body of an answer.
pub(super) fn paint(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
