//! Models, where their versions appear, bundles and systems: lists for agents and pages.

use lumos_domain::{
    event::Event,
    facts::{Binding, BundleRef},
    id::{BundleName, ModelName, SystemName},
    stream::Stream,
};

use super::statement;
use crate::ports::{PortError, Row, Statement, Store};

pub(super) const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS models (model TEXT PRIMARY KEY, owner TEXT NOT NULL, tier TEXT)",
    "CREATE TABLE IF NOT EXISTS bindings (
        registry TEXT NOT NULL, name TEXT NOT NULL, environment TEXT NOT NULL, model TEXT NOT NULL,
        binding TEXT NOT NULL, PRIMARY KEY (registry, name, environment, model))",
    "CREATE TABLE IF NOT EXISTS bundles (
        name TEXT PRIMARY KEY, version TEXT NOT NULL, digest TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS systems (system TEXT PRIMARY KEY, owner TEXT NOT NULL, stopped BIGINT NOT NULL)",
];

pub(super) fn project(stream: &Stream, event: &Event) -> Vec<Statement> {
    match (stream, event) {
        (Stream::Model(model), Event::ModelRegistered(e)) => vec![statement!(
            "INSERT INTO models (model, owner) VALUES ($1, $2)
             ON CONFLICT (model) DO UPDATE SET owner = excluded.owner",
            model.as_str(), e.owner.as_str(),
        )],
        (Stream::Model(model), Event::ModelTierSet(e)) => vec![statement!(
            "UPDATE models SET tier = $1 WHERE model = $2", e.tier.as_str(), model.as_str(),
        )],
        (Stream::Model(model), Event::ModelBound(e)) => vec![statement!(
            "INSERT INTO bindings (registry, name, environment, model, binding) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (registry, name, environment, model) DO UPDATE SET binding = excluded.binding",
            e.binding.registry.as_str(), e.binding.name.as_str(), e.binding.environment.as_str(),
            model.as_str(), serde_json::to_string(&e.binding).unwrap_or_default(),
        )],
        (Stream::Bundle(name), Event::BundlePublished(e)) => vec![statement!(
            "INSERT INTO bundles (name, version, digest) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET version = excluded.version, digest = excluded.digest",
            name.as_str(), e.bundle.version.as_str(), e.bundle.digest.to_string(),
        )],
        (Stream::System(system), Event::SystemDefined(e)) => vec![statement!(
            "INSERT INTO systems (system, owner, stopped) VALUES ($1, $2, 0)
             ON CONFLICT (system) DO UPDATE SET owner = excluded.owner",
            system.as_str(), e.owner.as_str(),
        )],
        (Stream::System(system), Event::SystemStopped(_)) => {
            vec![statement!("UPDATE systems SET stopped = 1 WHERE system = $1", system.as_str())]
        }
        (Stream::System(system), Event::SystemResumed(_)) => {
            vec![statement!("UPDATE systems SET stopped = 0 WHERE system = $1", system.as_str())]
        }
        _ => Vec::new(),
    }
}

/// Every registered model.
///
/// # Errors
/// When the store fails.
pub async fn models(store: &dyn Store) -> Result<Vec<ModelName>, PortError> {
    let rows = store
        .query("SELECT model FROM models ORDER BY model", Vec::new())
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| row.text(0).parse().ok())
        .collect())
}

/// Every system.
///
/// # Errors
/// When the store fails.
pub async fn systems(store: &dyn Store) -> Result<Vec<SystemName>, PortError> {
    let rows = store
        .query("SELECT system FROM systems ORDER BY system", Vec::new())
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| row.text(0).parse().ok())
        .collect())
}

/// The bundles in force.
///
/// # Errors
/// When the store fails.
pub async fn bundles(store: &dyn Store) -> Result<Vec<BundleRef>, PortError> {
    let rows = store
        .query(
            "SELECT name, version, digest FROM bundles ORDER BY name",
            Vec::new(),
        )
        .await?;
    let bundle = |row: &Row| {
        let name: BundleName = row.text(0).parse().ok()?;
        Some(BundleRef {
            name,
            version: row.text(1).to_owned(),
            digest: row.text(2).parse().ok()?,
        })
    };
    Ok(rows.iter().filter_map(bundle).collect())
}

/// What the models named in `registry` are bound to.
///
/// # Errors
/// When the store fails.
pub async fn bindings(
    store: &dyn Store,
    registry: &str,
) -> Result<Vec<(ModelName, Binding)>, PortError> {
    let rows = store
        .query(
            "SELECT model, binding FROM bindings WHERE registry = $1 ORDER BY name, environment",
            vec![registry.into()],
        )
        .await?;
    let bound = |row: &Row| {
        Some((
            row.text(0).parse().ok()?,
            serde_json::from_str(row.text(1)).ok()?,
        ))
    };
    Ok(rows.iter().filter_map(bound).collect())
}
