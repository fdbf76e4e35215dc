//! The governed systems: agents, what each may use, whether denials are applied, and whether it is stopped.

use std::collections::BTreeMap;

use askama::Template;
use axum::response::Response;
use lumos_domain::{
    facts::{Assigned, ModeScope, OutageChoice},
    id::{AssignmentId, Environment, SystemName},
    org::Org,
    system::System,
    words::Mode,
};
use lumos_engine::views::{enforcement, models};

use super::{
    frame::{Frame, Visit},
    oops::{Oops, paint},
    show::{Names, State, When},
};

use self::standing::{Act, Stop};

pub(super) mod actions;
mod standing;

#[derive(Template)]
#[template(path = "systems.html")]
pub(super) struct SystemsPage {
    pub(super) frame: Frame,
    pub(super) systems: Vec<Shown>,
}

/// One system.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) state: State,
    /// Why it is stopped, and what it waits for.
    pub(super) stop: Option<Stop>,
    /// What the reader may do about it.
    pub(super) act: Option<Act>,
    pub(super) agents: Vec<String>,
    pub(super) modes: Vec<ModeRow>,
    pub(super) uses: Vec<Use>,
}

/// Whether denials are applied in an environment.
#[derive(Debug, Clone)]
pub(super) struct ModeRow {
    pub(super) environment: String,
    pub(super) mode: State,
    pub(super) until: Option<When>,
    pub(super) outage: String,
}

/// A release that an agent may use.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) agent: String,
    pub(super) environment: String,
    pub(super) release: String,
    pub(super) share: u8,
    pub(super) until: Option<When>,
}

pub(super) async fn show(visit: Visit) -> Result<Response, Oops> {
    visit.must_read(None).await?;
    let store = &*visit.app.door.ports().store;
    let names = models::systems(store).await?;
    let (caller, now) = (&visit.who.caller, visit.now);
    let (org, systems) = visit
        .app
        .door
        .ask(|world| {
            let mut systems = Vec::new();
            for name in &names {
                let act = Act::of(world, caller, name, now)?;
                systems.push((name.clone(), world.system(name)?.clone(), act));
            }
            Ok((world.org()?.clone(), systems))
        })
        .await?;
    let mut uses: BTreeMap<SystemName, Vec<Use>> = BTreeMap::new();
    for (id, releases) in enforcement::assignments(store).await? {
        let rows = releases
            .iter()
            .filter(|a| a.until.is_none_or(|until| visit.now < until));
        let rows: Vec<_> = rows.map(|assigned| used(&id, assigned, &visit)).collect();
        uses.entry(id.system.clone()).or_default().extend(rows);
    }
    let owners = systems
        .iter()
        .filter_map(|(_, system, _)| system.owner.clone());
    let people = Names::of(&visit.app, owners).await?;
    let mut shown = Vec::new();
    for (name, system, act) in systems {
        shown.push(Shown {
            owner: system
                .owner
                .as_ref()
                .map(|p| people.person(p))
                .unwrap_or_default(),
            state: State::of(if system.stopped { "stopped" } else { "running" }),
            stop: match system.stopped {
                true => Stop::of(&visit, &name, act.as_ref()).await?,
                false => None,
            },
            act: act.ok(),
            agents: system.agents.iter().map(ToString::to_string).collect(),
            modes: modes(&org, &name, &system, &visit),
            uses: uses.remove(&name).unwrap_or_default(),
            name: name.to_string(),
        });
    }
    let systems = shown;
    let frame = visit.frame("Systems", "/systems").await?;
    Ok(paint(&SystemsPage { frame, systems }))
}

fn used(id: &AssignmentId, assigned: &Assigned, visit: &Visit) -> Use {
    Use {
        agent: id.agent.to_string(),
        environment: id.environment.to_string(),
        release: assigned.release.to_string(),
        share: assigned.share,
        until: assigned.until.map(|until| When::of(until, visit.now)),
    }
}

fn modes(org: &Org, name: &SystemName, system: &System, visit: &Visit) -> Vec<ModeRow> {
    let row = |environment: &Environment| {
        let mode = org.mode(name, environment, visit.now);
        let own = (ModeScope::System(name.clone()), environment.clone());
        let every = (ModeScope::Every, environment.clone());
        let set = org.modes.get(&own).or_else(|| org.modes.get(&every));
        let until = set
            .and_then(|set| set.until)
            .filter(|_| mode == Mode::Observe);
        ModeRow {
            environment: environment.to_string(),
            mode: State::of(mode.as_str()),
            until: until.map(|until| When::of(until, visit.now)),
            outage: outage(system.outage.get(environment).copied()),
        }
    };
    org.gates.keys().map(row).collect()
}

/// What the system does when LUMOS cannot be reached.
fn outage(choice: Option<OutageChoice>) -> String {
    match choice {
        None => "no choice recorded, so it stops".to_owned(),
        Some(OutageChoice::Stop) => "stops".to_owned(),
        Some(OutageChoice::DegradeToHuman) => "hands over to a human".to_owned(),
        Some(OutageChoice::ContinueHours(hours)) => {
            format!("goes on with the last approved release for {hours} h")
        }
    }
}

#[cfg(test)]
impl SystemsPage {
    pub(super) fn sample() -> Self {
        let hostile = "<script>alert(1)</script>";
        Self {
            frame: Frame::sample(),
            systems: vec![Shown {
                name: "ward".into(),
                owner: hostile.into(),
                state: State::of("stopped"),
                stop: Some(Stop::sample(hostile)),
                act: Some(Act::RESUME),
                agents: vec!["intake".into()],
                modes: vec![ModeRow {
                    environment: "production".into(),
                    mode: State::of("observe"),
                    until: Some(When::sample()),
                    outage: outage(Some(OutageChoice::ContinueHours(4))),
                }],
                uses: vec![Use {
                    agent: "intake".into(),
                    environment: "production".into(),
                    release: "triage/1.1".into(),
                    share: 100,
                    until: Some(When::sample()),
                }],
            }],
        }
    }
}
