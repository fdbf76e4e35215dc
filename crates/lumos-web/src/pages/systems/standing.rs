//! Why a system is stopped, whose turn it is, and what the reader may do.

use jiff::Timestamp;
use lumos_domain::{
    actor::Caller,
    command::Command,
    event::Event,
    id::SystemName,
    refusal::Refusal,
    seal::Sealed,
    stream::Stream,
    world::{Halt, World},
};
use lumos_engine::LedgerEntry;

use crate::app::refusal;
use crate::pages::{
    frame::{Visit, no_text},
    oops::Oops,
    show::{Names, When, person_of, texts},
};

/// A form about a system.
#[derive(Debug, Clone, Copy)]
pub(in crate::pages) struct Act {
    pub(in crate::pages) verb: &'static str,
    pub(in crate::pages) summary: &'static str,
    pub(in crate::pages) button: &'static str,
    pub(in crate::pages) look: &'static str,
    pub(in crate::pages) follows: &'static str,
}

impl Act {
    const STOP: Self = Self {
        verb: "stop",
        summary: "Stop this system",
        button: "Stop it",
        look: "danger",
        follows: "From then on everything its agents ask is denied. One person is enough: this is the safe direction. \
                  Running again needs two.",
    };
    pub(in crate::pages) const RESUME: Self = Self {
        verb: "resume",
        summary: "Ask that it run again",
        button: "Ask for it",
        look: "quiet",
        follows: "It stays stopped until a second person who may operate it confirms.",
    };
    const CONFIRM: Self = Self {
        verb: "resume",
        summary: "Confirm that it runs again",
        button: "Let it run again",
        look: "",
        follows: "You are the second person: it runs again at once, with the releases assigned to it.",
    };

    /// What the reader may do, or why nothing; asked of the same rules that decide.
    pub(super) fn of(
        world: &World,
        caller: &Caller,
        system: &SystemName,
        now: Timestamp,
    ) -> Result<Result<Self, Refusal>, Halt> {
        let state = world.system(system)?;
        let (system, reason) = (system.clone(), no_text());
        let (act, command) = match (state.stopped, &state.resume_asked) {
            (false, _) => (Self::STOP, Command::StopSystem { system, reason }),
            (true, None) => (Self::RESUME, Command::ResumeSystem { system, reason }),
            (true, Some(_)) => (Self::CONFIRM, Command::ResumeSystem { system, reason }),
        };
        Ok(refusal(world, caller, &command, now)?.map_or(Ok(act), Err))
    }
}

/// Why a system is stopped, and what it waits for.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Stop {
    pub(in crate::pages) stopped: Step,
    /// The request that it run again, while a second person is awaited.
    pub(in crate::pages) asked: Option<Step>,
    pub(in crate::pages) whose: &'static str,
    pub(in crate::pages) next: String,
}

/// What somebody did about a system.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Step {
    pub(in crate::pages) by: String,
    pub(in crate::pages) when: When,
    pub(in crate::pages) entry: u64,
    pub(in crate::pages) reason: String,
}

impl Stop {
    /// What the ledger says about the present stop.
    pub(super) async fn of(
        visit: &Visit,
        system: &SystemName,
        act: Result<&Act, &Refusal>,
    ) -> Result<Option<Self>, Oops> {
        let stream = Stream::System(system.clone());
        let history = visit.app.door.history(&stream).await?;
        let last = |reason: fn(&Event) -> Option<Sealed>| {
            let mut newest = history.iter().rev();
            newest.find_map(|entry| Some((entry, reason(&entry.event)?)))
        };
        let stopped = last(|event| match event {
            Event::SystemStopped(e) => Some(e.reason),
            _ => None,
        });
        let Some((stopped, why)) = stopped else {
            return Ok(None);
        };
        let asked = last(|event| match event {
            Event::ResumeRequested(e) => Some(e.reason),
            _ => None,
        });
        let asked = asked.filter(|(asked, _)| asked.index > stopped.index);
        let next = match act {
            Ok(act) => format!("{}: the form below.", act.summary),
            Err(Refusal::NeedsSecondPerson) => {
                "You asked already: tell a colleague who may operate it.".to_owned()
            }
            Err(_) => "Tell somebody who may operate it; you may not.".to_owned(),
        };
        Ok(Some(Self {
            stopped: step(visit, stopped, why).await?,
            whose: match &asked {
                None => "somebody who may operate it, to ask that it run again",
                Some(_) => "a second person who may operate it, to confirm",
            },
            asked: match asked {
                Some((entry, why)) => Some(step(visit, entry, why).await?),
                None => None,
            },
            next,
        }))
    }

    #[cfg(test)]
    pub(in crate::pages) fn sample(hostile: &str) -> Self {
        let step = Step {
            by: hostile.into(),
            when: When::sample(),
            entry: 7,
            reason: hostile.into(),
        };
        Self {
            stopped: step.clone(),
            asked: Some(step),
            whose: "a second person who may operate it, to confirm",
            next: "Confirm.".into(),
        }
    }
}

async fn step(visit: &Visit, entry: &LedgerEntry, why: Sealed) -> Result<Step, Oops> {
    let names = Names::of(&visit.app, person_of(&entry.actor)).await?;
    Ok(Step {
        by: names.actor(&entry.actor),
        when: When::of(entry.time, visit.now),
        entry: entry.index,
        reason: texts(&visit.app, &[why]).await?.concat(),
    })
}
