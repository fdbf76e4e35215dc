//! Models, their tiers and bindings, and the policy bundles in force.

use axum::extract::State;
use lumos_domain::{
    actor::Right,
    event::ModelRegistered,
    facts::{Binding, BundleRef},
    id::{ModelName, PersonId},
    model::RegisterModel,
    proposal::Governed,
};
use lumos_engine::views;
use lumos_policy::Bundle;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer,
    act::{Act, ActBytes},
    name, seal_one, sealer,
};
use crate::{
    app::{App, Json, Path, text},
    auth::SignedIn,
    problem::Problem,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, register))
        .routes(routes!(set_tier))
        .routes(routes!(bind))
        .routes(routes!(bundles, publish))
}

/// A model.
#[derive(Serialize, ToSchema)]
struct ModelView {
    model: String,
    owner: String,
    data_owner: Option<String>,
    purpose: Option<String>,
    unit: Option<String>,
    tier: String,
    frameworks: Vec<String>,
    policies: Vec<String>,
    #[schema(value_type = Vec<Object>)]
    bindings: Vec<Binding>,
}

async fn view(app: &App, model: &ModelName) -> Result<ModelView, Problem> {
    let state = app
        .door
        .ask(|world| Ok(world.model(model)?.clone()))
        .await?;
    let owner = state
        .owner
        .as_ref()
        .ok_or_else(|| Problem::not_found("such model"))?;
    let purpose = match &state.purpose {
        Some(sealed) => Some(app.unseal(sealed).await?),
        None => None,
    };
    Ok(ModelView {
        model: model.to_string(),
        owner: owner.to_string(),
        data_owner: state.data_owner.as_ref().map(ToString::to_string),
        purpose,
        tier: state.effective_tier().to_string(),
        unit: state.unit,
        frameworks: state.frameworks.into_iter().collect(),
        policies: state.policies.iter().map(ToString::to_string).collect(),
        bindings: state.bindings,
    })
}

/// Every model.
#[utoipa::path(get, path = "/api/v1/models", tag = "models",
    responses((status = 200, body = [ModelView]), (status = "4XX", body = Problem)))]
async fn list(State(app): State<App>, who: SignedIn) -> Result<Json<Vec<ModelView>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let mut all = Vec::new();
    for model in views::models::models(&*app.door.ports().store).await? {
        all.push(view(&app, &model).await?);
    }
    Ok(Json(all))
}

/// One model.
#[utoipa::path(get, path = "/api/v1/models/{model}", tag = "models", params(("model" = String, Path)),
    responses((status = 200, body = ModelView), (status = "4XX", body = Problem)))]
async fn show(
    State(app): State<App>,
    who: SignedIn,
    Path(model): Path<String>,
) -> Result<Json<ModelView>, Problem> {
    let model = name(&model)?;
    who.must(&app, Right::Read, Some(&model)).await?;
    Ok(Json(view(&app, &model).await?))
}

/// A model to register or describe anew. People are named by login.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewModel {
    owner: String,
    #[serde(default)]
    data_owner: Option<String>,
    purpose: String,
    #[serde(default)]
    unit: Option<String>,
    #[serde(default)]
    frameworks: Vec<String>,
    policies: Vec<String>,
    tier: String,
    rationale: String,
}

/// The person with this login.
pub(super) async fn person(app: &App, login: &str) -> Result<PersonId, Problem> {
    let ports = app.door.ports();
    let row = views::people::by_login(&*ports.store, &ports.key, login).await?;
    let row =
        row.ok_or_else(|| Problem::bad("unknown-thing", format!("nobody signs in as `{login}`")))?;
    Ok(row.person)
}

/// Register a model.
#[utoipa::path(put, path = "/api/v1/models/{model}", tag = "models", request_body = NewModel,
    params(("model" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn register(Path(model): Path<String>, Act(by, body): Act<NewModel>) -> Answer {
    let mut sealer = sealer(&by.app);
    let data_owner = match &body.data_owner {
        Some(login) => Some(person(&by.app, login).await?),
        None => None,
    };
    let facts = ModelRegistered {
        owner: person(&by.app, &body.owner).await?,
        data_owner,
        purpose: sealer.seal(text("purpose", &body.purpose)?),
        unit: body.unit,
        frameworks: body.frameworks.into_iter().collect(),
        policies: body
            .policies
            .iter()
            .map(|policy| name(policy))
            .collect::<Result<_, _>>()?,
    };
    let rationale = sealer.seal(text("rationale", &body.rationale)?);
    let (model, tier) = (name(&model)?, body.tier.parse()?);
    let command = Governed::RegisterModel(RegisterModel {
        model,
        facts,
        tier,
        rationale,
    });
    by.submit(command, sealer.into_values()).await
}

/// A tier with its rationale.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTier {
    tier: String,
    rationale: String,
}

/// Set the materiality of a model.
#[utoipa::path(put, path = "/api/v1/models/{model}/tier", tag = "models", request_body = NewTier,
    params(("model" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn set_tier(Path(model): Path<String>, Act(by, body): Act<NewTier>) -> Answer {
    let (rationale, sealed) = seal_one(&by.app, text("rationale", &body.rationale)?);
    let command = Governed::SetModelTier {
        model: name(&model)?,
        tier: body.tier.parse()?,
        rationale,
    };
    by.submit(command, sealed).await
}

/// Bind a model to a name in a registry.
#[utoipa::path(post, path = "/api/v1/models/{model}/bindings", tag = "models", request_body = Object,
    params(("model" = String, Path)),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn bind(Path(model): Path<String>, Act(by, binding): Act<Binding>) -> Answer {
    let command = Governed::BindModel {
        model: name(&model)?,
        binding,
    };
    by.submit(command, Vec::new()).await
}

/// A published bundle.
#[derive(Serialize, ToSchema)]
struct BundleView {
    name: String,
    version: String,
    digest: String,
}

/// The bundles in force.
#[utoipa::path(get, path = "/api/v1/policies", tag = "models",
    responses((status = 200, body = [BundleView]), (status = "4XX", body = Problem)))]
async fn bundles(State(app): State<App>, who: SignedIn) -> Result<Json<Vec<BundleView>>, Problem> {
    who.must(&app, Right::Read, None).await?;
    let view = |bundle: BundleRef| BundleView {
        name: bundle.name.to_string(),
        version: bundle.version,
        digest: bundle.digest.to_string(),
    };
    let all = views::models::bundles(&*app.door.ports().store).await?;
    Ok(Json(all.into_iter().map(view).collect()))
}

/// Publish a bundle version; the body is its YAML. A published version is frozen.
#[utoipa::path(post, path = "/api/v1/policies", tag = "models",
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = super::Done), (status = "4XX", body = Problem)))]
async fn publish(ActBytes(by, yaml): ActBytes) -> Answer {
    by.who.must(&by.app, Right::PublishPolicy, None).await?;
    let bundle = Bundle::parse(&yaml).map_err(|e| Problem::bad(e.code(), e.to_string()))?;
    let digest = by.app.door.ports().blobs.put(yaml.to_vec()).await?;
    let (name, version) = (bundle.name().clone(), bundle.version().to_owned());
    let command = Governed::PublishBundle(BundleRef {
        name,
        version,
        digest,
    });
    by.submit(command, Vec::new()).await
}
