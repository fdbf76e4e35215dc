//! The connectors against recordings, against servers that misbehave, and against the real thing.

mod fake;
mod mlflow_bad;
mod mlflow_real;
mod mlflow_recorded;
mod mlflow_webhook;
mod pages;
