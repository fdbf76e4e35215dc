//! What the tests share: a connector to an address, and the recordings.

use std::{fs, path::PathBuf};

use lumos_connect::registries::{Mlflow, MlflowSettings};
use lumos_http::{Client, Egress, Limits};
use serde_json::{Value, json};

/// Never known, so that everything is found.
pub(crate) fn nothing_known(_: &str) -> bool {
    false
}

/// A connector to `address`, with `more` settings, that waits and reads as `limits` say.
pub(crate) fn mlflow_with(address: &str, more: &Value, limits: Limits) -> Mlflow {
    let mut settings = json!({"name": "acme-mlflow", "address": address});
    for (key, value) in more.as_object().unwrap() {
        settings[key] = value.clone();
    }
    let settings: MlflowSettings = serde_json::from_value(settings).unwrap();
    let egress = Egress {
        hosts: vec![address.to_owned()],
        limits,
        ..Egress::default()
    };
    Mlflow::new(&settings, &Client::new(&egress).unwrap()).unwrap()
}

pub(crate) fn mlflow(address: &str) -> Mlflow {
    mlflow_with(address, &json!({}), Limits::default())
}

/// The text of a recording; `None`, and a line that says so, where the recordings are not at hand.
pub(crate) fn recording(file: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/registries/recorded/mlflow")
        .join(file);
    let text = fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: the recording {file} is not at hand");
    }
    text
}
