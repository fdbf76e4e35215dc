//! The models, and one of them: owner, tier, where its versions appear, what binds it.

use std::collections::BTreeMap;

use askama::Template;
use axum::response::Response;
use lumos_domain::{
    actor::Right,
    id::{BundleName, ModelName, PersonId},
    model::Model,
    stream::Stream,
    world::Halt,
};
use lumos_engine::{
    LedgerEntry,
    views::{models, releases},
};
use serde::Deserialize;

use super::{
    ROWS, filters,
    frame::{Frame, Path, Query, Visit, may},
    ledger,
    oops::{Oops, paint},
    say,
    show::{Names, cut, person_of},
};
use crate::problem::Problem;

/// Rows of one page, as a length.
const PAGE: usize = ROWS as usize;
/// Versions listed on a model's page.
const VERSIONS_MAX: usize = 200;

#[derive(Template)]
#[template(path = "models.html")]
pub(super) struct ModelsPage {
    pub(super) frame: Frame,
    pub(super) rows: Vec<Row>,
    pub(super) next: Option<String>,
    pub(super) further: bool,
}

/// One model in the list.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) model: String,
    pub(super) owner: String,
    pub(super) tier: String,
    pub(super) unit: String,
    pub(super) policies: String,
    pub(super) running: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct After {
    after: Option<ModelName>,
}

pub(super) async fn show(visit: Visit, Query(asked): Query<After>) -> Result<Response, Oops> {
    let names = models::models(&*visit.app.door.ports().store).await?;
    let rest = names
        .into_iter()
        .filter(|name| asked.after.as_ref().is_none_or(|after| name > after));
    let mut page: Vec<ModelName> = rest.take(PAGE + 1).collect();
    let next = if page.len() > PAGE {
        page.pop();
        page.last().map(ToString::to_string)
    } else {
        None
    };
    let caller = &visit.who.caller;
    let found = visit
        .app
        .door
        .ask(|world| {
            let mut readable = Vec::new();
            for name in &page {
                if may(world, caller, Right::Read, Some(name))? {
                    readable.push((name.clone(), world.model(name)?.clone()));
                }
            }
            Ok::<_, Halt>(readable)
        })
        .await?;
    let owners = found.iter().filter_map(|(_, model)| model.owner.clone());
    let people = Names::of(&visit.app, owners).await?;
    Ok(paint(&ModelsPage {
        frame: visit.frame("Models", "/models").await?,
        rows: found
            .iter()
            .map(|(name, model)| row(name, model, &people))
            .collect(),
        next,
        further: asked.after.is_some(),
    }))
}

fn row(name: &ModelName, model: &Model, people: &Names) -> Row {
    Row {
        model: name.to_string(),
        owner: model
            .owner
            .as_ref()
            .map(|owner| people.person(owner))
            .unwrap_or_default(),
        tier: tier(model),
        unit: model.unit.clone().unwrap_or_default(),
        policies: joined(&model.policies),
        running: model
            .current
            .iter()
            .map(|(environment, current)| format!("{environment}: {}", current.release.version))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn tier(model: &Model) -> String {
    model.tier.map_or_else(
        || "not set, counts as high".to_owned(),
        |tier| tier.to_string(),
    )
}

fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

#[derive(Template)]
#[template(path = "model.html")]
pub(super) struct ModelPage {
    pub(super) frame: Frame,
    pub(super) model: String,
    pub(super) owner: String,
    pub(super) data_owner: String,
    pub(super) tier: String,
    pub(super) unit: String,
    pub(super) purpose: String,
    pub(super) frameworks: String,
    pub(super) policies: Vec<(String, String)>,
    pub(super) bindings: Vec<Bound>,
    pub(super) running: Vec<(String, String)>,
    pub(super) versions: Vec<String>,
    pub(super) history: Vec<ledger::Row>,
}

/// A place in a registry where versions of the model appear.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) registry: String,
    pub(super) name: String,
    pub(super) environment: String,
    pub(super) agents: String,
    pub(super) alias: String,
}

pub(super) async fn one(visit: Visit, Path(name): Path<ModelName>) -> Result<Response, Oops> {
    visit.must_read(Some(&name)).await?;
    let app = &visit.app;
    let (model, bundles) = app
        .door
        .ask(|world| {
            let model = world.model(&name)?.clone();
            let mut bundles = BTreeMap::new();
            for policy in &model.policies {
                let current = world.bundle(policy)?.current.clone();
                bundles.insert(policy.clone(), current.map(|current| current.version));
            }
            Ok((model, bundles))
        })
        .await?;
    let Some(owner) = model.owner.clone() else {
        return Err(
            Oops::from(Problem::not_found("registered model of this name")).back("/models"),
        );
    };
    let mut history = app.door.history(&Stream::Model(name.clone())).await?;
    history.reverse();
    history.truncate(PAGE);
    let people = named(&visit, &history, model.data_owner.iter().chain([&owner])).await?;
    let purpose = match &model.purpose {
        Some(sealed) => app.unseal(sealed).await?,
        None => String::new(),
    };
    let mut versions = releases::versions(&*app.door.ports().store, name.as_str()).await?;
    versions.truncate(VERSIONS_MAX);
    Ok(paint(&ModelPage {
        frame: visit.frame(name.as_str(), "/models").await?,
        model: name.to_string(),
        owner: people.person(&owner),
        data_owner: model
            .data_owner
            .as_ref()
            .map(|p| people.person(p))
            .unwrap_or_default(),
        tier: tier(&model),
        unit: model.unit.clone().unwrap_or_default(),
        purpose,
        frameworks: joined(&model.frameworks),
        policies: bundles.into_iter().map(bundle_line).collect(),
        bindings: model.bindings.iter().map(bound).collect(),
        running: model
            .current
            .iter()
            .map(|(environment, current)| (environment.to_string(), current.release.to_string()))
            .collect(),
        versions,
        history: history
            .iter()
            .map(|entry| ledger::row(entry, &people, &visit))
            .collect(),
    }))
}

/// The people in `entries` and `more`.
async fn named<'a>(
    visit: &Visit,
    entries: &[LedgerEntry],
    more: impl Iterator<Item = &'a PersonId>,
) -> Result<Names, Oops> {
    let mut people: Vec<PersonId> = more.cloned().collect();
    for entry in entries {
        people.extend(say::people(&entry.event));
        people.extend(person_of(&entry.actor));
    }
    Names::of(&visit.app, people).await
}

fn bundle_line((name, version): (BundleName, Option<String>)) -> (String, String) {
    let version = version.unwrap_or_else(|| "not published, so nothing can be judged".to_owned());
    (name.to_string(), version)
}

fn bound(binding: &lumos_domain::facts::Binding) -> Bound {
    Bound {
        registry: binding.registry.to_string(),
        name: cut(&binding.name, 200),
        environment: binding.environment.to_string(),
        agents: joined(&binding.agents),
        alias: binding
            .alias
            .as_deref()
            .map(|alias| cut(alias, 100))
            .unwrap_or_default(),
    }
}

#[cfg(test)]
impl ModelsPage {
    pub(super) fn sample() -> Self {
        Self {
            frame: Frame::sample(),
            rows: vec![Row {
                model: "triage".into(),
                owner: "<script>".into(),
                tier: "high".into(),
                unit: "wards <script>".into(),
                policies: "starter".into(),
                running: "production: 1.1".into(),
            }],
            next: Some("triage".into()),
            further: false,
        }
    }
}

#[cfg(test)]
impl ModelPage {
    pub(super) fn sample() -> Self {
        let hostile = "<script>alert(1)</script>";
        Self {
            frame: Frame::sample(),
            model: "triage".into(),
            owner: hostile.into(),
            data_owner: hostile.into(),
            tier: "high".into(),
            unit: hostile.into(),
            purpose: hostile.into(),
            frameworks: hostile.into(),
            policies: vec![("starter".into(), hostile.into())],
            bindings: vec![Bound {
                registry: "hub".into(),
                name: hostile.into(),
                environment: "staging".into(),
                agents: "ward/intake".into(),
                alias: hostile.into(),
            }],
            running: vec![("production".into(), "triage/1.1".into())],
            versions: vec!["1.1".into()],
            history: vec![ledger::Row::sample()],
        }
    }
}
