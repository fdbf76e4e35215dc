//! `lumos init`: asks little, looks at the registry, and writes settings that start in `observe`.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use lumos_connect::{RegistrySettings, registries::Mlflow};
use lumos_engine::ports::{Entropy as _, FoundModel, Registry};
use lumos_http::{Client, Egress};
use serde_json::{Value, json};

use super::{Said, text};
use crate::{
    cli::Init,
    defaults,
    edge::{OsEntropy, SystemClock},
    remote::Remote,
    serve::{Extras, start},
    settings,
};

use self::owners::Governed;

mod owners;

/// How long init waits for the first report.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the owners of models may do, beside owning them.
const OWNERS_ROLE: &str = "model-owner";

pub(super) async fn run(init: &Init) -> Result<Said> {
    let file = init.into.join("lumos.yaml");
    ensure!(
        !file.exists(),
        "`{}` exists already; init writes only into an empty place",
        file.display()
    );
    let registry = registry(init)?;
    let settings = settings::registry(&registry)?;
    let http = Client::new(&Egress {
        hosts: settings.address().map(str::to_owned).into_iter().collect(),
        ..Egress::default()
    })?;
    let connector = lumos_connect::build(&settings, &http, Arc::new(SystemClock))?;
    let found = look(&*connector).await?;
    let mut models = owners::propose(&found);
    let answered = owners::replace(&mut models, &init.owner)?;
    if !init.yes {
        let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
        owners::ask(&mut models, &answered, &mut input, &mut output)?;
    }
    if let RegistrySettings::Mlflow(mlflow) = &settings {
        webhook(init, &Mlflow::new(mlflow, &http)?).await?;
    }
    write(init, &registry, &models)?;
    outln!(
        "wrote {} and organisation.yaml: read them, change what is wrong, then `lumos serve`",
        file.display()
    );
    let said = first_report(&file, !models.is_empty()).await?;
    for (login, _) in owners::people(&models) {
        outln!(
            "`{login}` owns models and cannot sign in yet: `lumos user invite {login}` makes a first password"
        );
    }
    Ok(said)
}

/// Makes the webhook that was asked for; without one, says how to have it.
async fn webhook(init: &Init, mlflow: &Mlflow) -> Result<()> {
    let Some(url) = &init.webhook_url else {
        outln!(
            "no webhook: versions are found by asking every 15 minutes; --webhook-url makes one, signed with \
             LUMOS_MLFLOW_WEBHOOK_SECRET"
        );
        return Ok(());
    };
    let made = mlflow.ensure_webhook(url).await?;
    outln!("webhook: MLflow tells {} what is new", made.url);
    Ok(())
}

/// The registry as the settings will describe it: secrets stay where they are, in the environment.
fn registry(init: &Init) -> Result<Value> {
    match (&init.mlflow, &init.directory) {
        (Some(address), None) => {
            let mut mlflow = json!({ "kind": "mlflow", "name": "models", "address": address });
            for (key, variable) in [
                ("webhook_secret", "LUMOS_MLFLOW_WEBHOOK_SECRET"),
                ("user", "LUMOS_MLFLOW_USER"),
                ("password", "LUMOS_MLFLOW_PASSWORD"),
            ] {
                if settings::variable(variable).is_some() {
                    mlflow[key] = json!(format!("${{{variable}}}"));
                }
            }
            Ok(mlflow)
        }
        (None, Some(root)) => {
            let root = std::fs::canonicalize(root)
                .with_context(|| format!("finding `{}`", root.display()))?;
            Ok(json!({ "kind": "directory", "name": "models", "root": root }))
        }
        _ => bail!("name one registry: --mlflow URL or --directory DIR"),
    }
}

/// Tests the registry and says what the credential cannot do.
async fn look(registry: &dyn Registry) -> Result<Vec<FoundModel>> {
    let models = registry.models().await.context("looking at the registry")?;
    outln!(
        "registry `{}` answers and shows {} model(s)",
        registry.name(),
        models.len()
    );
    let missing = registry
        .missing_permissions()
        .await
        .context("asking what the credential may do")?;
    for permission in &missing {
        outln!("  missing: {permission}");
    }
    for model in &models {
        let owner = model.owner.as_deref().unwrap_or("nobody named");
        let latest = model.latest.as_deref().unwrap_or("none");
        outln!(
            "  model `{}`: owner {owner}, latest version {latest}",
            model.name
        );
    }
    Ok(models)
}

/// Everything the registry knew, as files that a person can read and change.
fn write(init: &Init, registry: &Value, models: &[Governed<'_>]) -> Result<()> {
    std::fs::create_dir_all(init.into.join("policy"))
        .with_context(|| format!("making `{}`", init.into.display()))?;
    let (_, policies, _) = defaults::sandbox();
    let mut suffix = [0; 4];
    OsEntropy.fill(&mut suffix);
    let settings = json!({
        "listen": "127.0.0.1:8417", "origin": format!("lumos.localhost/{}", hex::encode(suffix)),
        "data": "lumos-data", "founders": [owners::FOUNDER], "organisation": "organisation.yaml",
        "policies": ["policy/starter.yaml"], "poll_s": 900, "registries": [registry],
    });
    std::fs::write(init.into.join("policy/starter.yaml"), &policies[0].1)?;
    std::fs::write(
        init.into.join("organisation.yaml"),
        yaml_serde::to_string(&organisation(models)?)?,
    )?;
    std::fs::write(
        init.into.join("lumos.yaml"),
        yaml_serde::to_string(&settings)?,
    )?;
    Ok(())
}

/// The sandbox's organisation with the models and their owners, watching before it denies anything.
fn organisation(models: &[Governed<'_>]) -> Result<Value> {
    let (sandbox, _, _) = defaults::sandbox();
    let mut organisation: Value =
        yaml_serde::from_slice(&sandbox.1).context("reading the embedded defaults")?;
    let entry = |model: &Governed<'_>| {
        let stated = model.found.description.trim();
        let purpose = if stated.is_empty() {
            format!(
                "Not stated yet; the registry calls it {}.",
                model.found.name
            )
        } else {
            stated.to_owned()
        };
        json!({
            "owner": model.owner, "purpose": purpose, "policies": ["acme-starter"], "tier": "medium",
            "rationale": "Proposed by init; nobody has judged it yet.",
            "bindings": [{ "registry": "models", "name": model.found.name, "environment": "production" }],
        })
    };
    let entries = models
        .iter()
        .map(|model| (model.name.clone(), entry(model)));
    organisation["models"] = Value::Object(entries.collect());
    organisation["roles"][OWNERS_ROLE] = json!(["read", "submit"]);
    if let Some(people) = organisation["people"].as_array_mut() {
        let person =
            |(login, name)| json!({ "login": login, "name": name, "roles": [OWNERS_ROLE] });
        people.extend(owners::people(models).into_iter().map(person));
    }
    organisation["observe"] = json!([{
        "environment": "production", "days": 30, "reason": "Begin by watching; from then on denials are applied.",
    }]);
    Ok(organisation)
}

/// Starts the server once, waits for the first release to be checked, and shows the report.
async fn first_report(file: &Path, expected: bool) -> Result<Said> {
    let mut loaded = settings::load(Some(file), None)?;
    // Only this process asks it, and the port of the settings may be taken by a server that runs already.
    loaded.settings.listen.set_port(0);
    let extras = Extras {
        poll: Some(Duration::from_millis(500)),
        ..Extras::default()
    };
    let running = start(&loaded, extras).await?;
    outln!(
        "\nfounded the ledger {} in `{}`",
        loaded.settings.origin,
        loaded.settings.data.display()
    );
    for (login, password) in &running.first_passwords {
        outln!("sign in as `{login}` with the first password {password} (shown this once)");
    }
    let shown = if expected {
        show_first(&running).await
    } else {
        Ok(())
    };
    running.stop().await?;
    shown?;
    Ok(Said::Yes)
}

async fn show_first(running: &crate::serve::Running) -> Result<()> {
    let (login, password) = running
        .first_passwords
        .iter()
        .next()
        .context("nobody can sign in")?;
    let owner = Remote::at(&format!("http://{}", running.address), None)?
        .sign_in(login, password)
        .await?;
    let look = async {
        loop {
            let releases = owner.get("/api/v1/releases").await?;
            for release in releases.as_array().into_iter().flatten() {
                if matches!(
                    text(release, "state"),
                    "in review" | "approved" | "paused" | "not fetched"
                ) {
                    return Ok::<_, anyhow::Error>(release.clone());
                }
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, look).await {
        Err(_) => {
            outln!("no version was checked within two minutes; `lumos serve` goes on looking");
        }
        Ok(release) => {
            let release = release?;
            let name = format!("{}/{}", text(&release, "model"), text(&release, "version"));
            outln!("\nthe first report:");
            let view = owner.get(&format!("/api/v1/releases/{name}")).await?;
            super::release::show(&view, &super::Out { json: false });
        }
    }
    Ok(())
}
