//! Signing in and out.

use askama::Template;
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    frame::{Form, Frame, Query, Visit},
    oops::{Oops, paint},
};
use crate::{
    app::App,
    auth::{self, COOKIE, KNOWN, Origin},
    problem::Problem,
};

/// Seconds a cookie lives at most; the session behind it ends sooner when nobody uses it.
const COOKIE_SECONDS: u32 = 12 * 3_600;

/// Seconds for which a browser that signed in is known: half a year.
const KNOWN_SECONDS: u32 = 180 * 86_400;

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignInPage {
    pub(super) frame: Frame,
    pub(super) next: String,
    pub(super) login: String,
    pub(super) problem: Option<Problem>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: String,
}

pub(super) async fn show(Query(wanted): Query<Wanted>) -> Response {
    paint(&SignInPage {
        frame: Frame::bare("Sign in"),
        next: local(&wanted.next),
        login: String::new(),
        problem: None,
    })
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    login: String,
    password: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn enter(
    axum::extract::State(app): axum::extract::State<App>,
    origin: Origin,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Result<Response, Oops> {
    if is_foreign(&headers) {
        let detail = "this form was sent by another site; open the sign-in page itself";
        return Err(Problem::new(StatusCode::FORBIDDEN, "wrong-form", detail).into());
    }
    let next = local(&given.next);
    let place = origin.place(&app.door.ports().key, &given.login);
    match app
        .gatekeeper
        .sign_in(&app.door, &given.login, &given.password, &place)
        .await
    {
        Ok(session) => {
            let place = if session.person.must_change {
                "/password"
            } else {
                &next
            };
            let https = is_https(&headers);
            let session = cookie(COOKIE, "/", &session.credential, COOKIE_SECONDS, https);
            let known = auth::known(&app.door.ports().key, &given.login);
            let known = cookie(KNOWN, "/sign-in", &known, KNOWN_SECONDS, https);
            Ok(with_cookies(place, &[session, known]))
        }
        Err(problem) => {
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::UNAUTHORIZED);
            let page = SignInPage {
                frame: Frame::bare("Sign in"),
                next,
                login: given.login,
                problem: Some(problem),
            };
            Ok((status, paint(&page)).into_response())
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Leaving {
    #[serde(default)]
    csrf: String,
}

pub(super) async fn leave(
    visit: Visit,
    headers: HeaderMap,
    Form(form): Form<Leaving>,
) -> Result<Response, Oops> {
    visit.who.check_csrf(&form.csrf)?;
    auth::end_session(&visit.app, &visit.who.credential).await?;
    let ended = cookie(COOKIE, "/", "", 0, is_https(&headers));
    Ok(with_cookies("/sign-in", &[ended]))
}

fn with_cookies(place: &str, cookies: &[String]) -> Response {
    let mut response = Redirect::to(place).into_response();
    for value in cookies
        .iter()
        .filter_map(|cookie| HeaderValue::from_str(cookie).ok())
    {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

fn cookie(name: &str, path: &str, value: &str, seconds: u32, https: bool) -> String {
    let secure = if https { "; Secure" } else { "" };
    format!("{name}={value}; HttpOnly; SameSite=Strict; Path={path}; Max-Age={seconds}{secure}")
}

/// Whether the browser reached us over TLS, ended by the proxy in front.
fn is_https(headers: &HeaderMap) -> bool {
    let forwarded = headers
        .get("x-forwarded-proto")
        .and_then(|value| value.to_str().ok());
    forwarded.is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
}

/// Whether a browser says that another site sent this. The sign-in form has no session to be bound to.
fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers
        .get("sec-fetch-site")
        .and_then(|value| value.to_str().ok());
    site.is_some_and(|site| !matches!(site, "same-origin" | "none"))
}

/// A place on this site, or the inbox: a link cannot lead elsewhere after signing in.
fn local(place: &str) -> String {
    let inside = place.starts_with('/')
        && !place.starts_with("//")
        && !place.chars().any(|c| c == '\\' || c.is_control())
        && place.len() <= 1_024;
    if inside { place } else { "/" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_never_leads_elsewhere() {
        for (given, expected) in [
            ("/releases?before=3", "/releases?before=3"),
            ("", "/"),
            ("//evil.example", "/"),
            ("https://evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
        ] {
            assert_eq!(local(given), expected, "{given:?}");
        }
    }

    #[test]
    fn the_cookie_is_secure_behind_https_only() {
        assert!(cookie(COOKIE, "/", "c", 1, true).ends_with("; Secure"));
        let plain = cookie(COOKIE, "/", "c", 1, false);
        assert_eq!(
            plain,
            "lumos_session=c; HttpOnly; SameSite=Strict; Path=/; Max-Age=1"
        );
    }

    #[test]
    fn a_form_from_another_site_is_refused() {
        for (site, foreign) in [
            (None, false),
            (Some("same-origin"), false),
            (Some("none"), false),
            (Some("same-site"), true),
            (Some("cross-site"), true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            assert_eq!(is_foreign(&headers), foreign, "{site:?}");
        }
    }
}
