//! Changing one's own password; forced when somebody else has set it.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use lumos_domain::proposal::Governed;
use lumos_engine::{ports::PortError, secret::Sealer};
use serde::Deserialize;

use super::{
    frame::{Form, Frame, Visit},
    oops::{Oops, paint},
};
use crate::{
    auth::{self, PASSWORD_CHARS_MIN},
    problem::Problem,
};

#[derive(Template)]
#[template(path = "password.html")]
pub(super) struct PasswordPage {
    pub(super) frame: Frame,
    pub(super) forced: bool,
    pub(super) chars_min: usize,
}

pub(super) async fn show(visit: Visit) -> Result<Response, Oops> {
    Ok(paint(&PasswordPage {
        frame: visit.frame("Change your password", "").await?,
        forced: visit.who.person.must_change,
        chars_min: PASSWORD_CHARS_MIN,
    }))
}

#[derive(Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    csrf: String,
    once: String,
    current: String,
    new: String,
    again: String,
}

pub(super) async fn change(visit: Visit, Form(form): Form<Change>) -> Result<Response, Oops> {
    visit.who.check_csrf(&form.csrf)?;
    set(&visit, form).await.map_err(|e| e.back("/password"))?;
    Ok(Redirect::to("/").into_response())
}

async fn set(visit: &Visit, form: Change) -> Result<(), Oops> {
    if form.new != form.again {
        let detail = "the two new passwords differ; enter the same one twice";
        return Err(Problem::bad("passwords-differ", detail).into());
    }
    let once = visit.once(&form.once, &["password"])?;
    let caller = visit
        .who
        .with_password(&visit.app, Some(&form.current))
        .await?;
    if !caller.reauthenticated {
        return Err(Problem::bad("wrong-credentials", "enter your current password").into());
    }
    let entropy = visit.app.door.ports().entropy.clone();
    let mut salt = [0; 16];
    entropy.fill(&mut salt);
    let hash = tokio::task::spawn_blocking(move || auth::hash_password(&form.new, salt))
        .await
        .map_err(|panicked| PortError::new("hashing a password", panicked))??;
    let mut sealer = Sealer::new(&*entropy);
    let hash = sealer.seal(&hash);
    let person = visit.who.person.person.clone();
    let command = Governed::SetCredential { person, hash }.into();
    visit
        .app
        .submit(caller, once, command, sealer.into_values())
        .await?;
    auth::end_sessions(
        &visit.app,
        &visit.who.person.person,
        Some(&visit.who.credential),
    )
    .await?;
    Ok(())
}
