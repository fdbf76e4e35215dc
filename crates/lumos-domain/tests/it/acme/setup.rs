//! Acme as it is founded: who works there, the rules of review, the one model and the one system.

use std::collections::BTreeSet;

use lumos_domain::{
    Command,
    actor::{Grant, Right, Scope},
    event::{ModelRegistered, SystemDefined},
    facts::{AgentOutage, Binding, OutageChoice},
    model::RegisterModel,
    person::AddPerson,
    proposal::Governed,
    rules::{DepthRule, Gate, ReviewRules, Slot},
    system::DefineSystem,
    words::{ChangeTier, Depth, Grade, ModelTier},
};

use super::{name, names, sealed};

/// Who works at Acme, and the roles they hold. `ada` and `ben` are the founders; `otto` owns the data.
pub(crate) const PEOPLE: [(&str, &[&str]); 8] = [
    ("ada", &["admin", "compliance"]),
    ("ben", &["compliance"]),
    ("cleo", &["risk"]),
    ("dora", &["developer"]),
    ("emil", &["compliance", "risk"]),
    ("finn", &["clinical"]),
    ("otto", &["compliance"]),
    ("sara", &["senior"]),
];

fn slots(seats: &[(&str, Grade)]) -> Vec<Slot> {
    let slot = |(role, grade): &(&str, Grade)| Slot {
        role: name(role),
        count: 1,
        grade: *grade,
    };
    seats.iter().map(slot).collect()
}

pub(crate) fn rules() -> ReviewRules {
    use ChangeTier::{Major, Minor, Moderate};
    use Grade::{Part11, Recorded};
    let cells = [
        (ChangeTier::None, Depth::Auto),
        (Minor, Depth::Auto),
        (Moderate, Depth::Light),
        (Major, Depth::Full),
    ];
    let tiers = [(ModelTier::Medium, cells.into_iter().collect())];
    let matrix = ["staging", "production"].map(|env| (name(env), tiers.clone().into()));
    let seats = [
        (Depth::Auto, slots(&[])),
        (Depth::Light, slots(&[("compliance", Recorded)])),
        (
            Depth::Full,
            slots(&[("compliance", Recorded), ("risk", Recorded)]),
        ),
        (
            Depth::Panel,
            slots(&[
                ("compliance", Recorded),
                ("risk", Part11),
                ("senior", Part11),
            ]),
        ),
    ];
    let depths = seats.map(|(depth, slots)| {
        (
            depth,
            DepthRule {
                slots,
                approval_days: 30,
                overdue_hours: 72,
            },
        )
    });
    ReviewRules {
        matrix: matrix.into(),
        depths: depths.into(),
        wide_over_agents: 2,
        senior_role: name("senior"),
        escalate_critical_after_hours: 4,
    }
}

pub(crate) fn gate(environment: &str, after: Option<&str>) -> Gate {
    Gate {
        environment: name(environment),
        after: after.map(name),
        min_score: None,
        report_max_age_days: 14,
    }
}

pub(crate) fn binding() -> Binding {
    Binding {
        registry: name("mlflow"),
        name: "triage".to_owned(),
        environment: name("production"),
        agents: names(&["ward/intake"]),
        alias: Some("champion".to_owned()),
    }
}

pub(super) fn people() -> Vec<Command> {
    let rights: BTreeSet<Right> = Right::ALL
        .iter()
        .copied()
        .filter(|r| r.for_tokens())
        .collect();
    let mut commands: Vec<Command> = Vec::new();
    for (role, rights) in [
        ("admin", rights),
        ("developer", [Right::Read, Right::Submit].into()),
        ("compliance", [Right::Read, Right::Revoke].into()),
        ("risk", [Right::Read, Right::Operate].into()),
        ("clinical", [Right::Read].into()),
        (
            "senior",
            [Right::Read, Right::Operate, Right::Govern].into(),
        ),
    ] {
        commands.push(
            Governed::DefineRole {
                role: name(role),
                rights,
            }
            .into(),
        );
    }
    let services: [(&str, &[&str]); 1] = [("robot", &["admin"])];
    for (who, roles) in PEOPLE.into_iter().chain(services) {
        commands.push(Command::AddPerson(AddPerson {
            person: name(who),
            name: sealed(who),
            login: sealed(&format!("{who}@acme.example")),
            service: who == "robot",
        }));
        commands.extend(roles.iter().map(|role| {
            Governed::GrantRole {
                person: name(who),
                grant: Grant {
                    role: name(role),
                    scope: Scope::Organisation,
                },
            }
            .into()
        }));
    }
    commands
}

pub(crate) fn ward() -> DefineSystem {
    let outage = AgentOutage {
        environment: name("production"),
        choice: OutageChoice::DegradeToHuman,
    };
    let facts = SystemDefined {
        owner: name("ada"),
        agents: names(&["intake", "summary", "billing"]),
        outage: vec![outage],
    };
    DefineSystem {
        system: name("ward"),
        facts,
    }
}

pub(crate) fn triage() -> RegisterModel {
    RegisterModel {
        model: name("triage"),
        facts: ModelRegistered {
            owner: name("ada"),
            data_owner: Some(name("otto")),
            purpose: sealed("sorts incoming letters"),
            unit: Some("ward".to_owned()),
            frameworks: BTreeSet::new(),
            policies: names(&["starter"]),
        },
        tier: ModelTier::Medium,
        rationale: sealed("little harm"),
    }
}
