//! Events in the words of a story: one line each, with what a reader would ask about.

use lumos_domain::{Event, Stream, erasure::Kept, facts::Cause, rules::Slot, world::Decided};

pub(crate) fn lines(decided: &Decided) -> Vec<String> {
    decided
        .iter()
        .map(|(stream, event)| line(stream, event))
        .collect()
}

fn line(stream: &Stream, event: &Event) -> String {
    let kind = event
        .kind()
        .trim_start_matches("lumos.")
        .trim_end_matches(".v1");
    let said = said(event);
    let gap = if said.is_empty() { "" } else { ": " };
    match stream {
        // Its id is the hash of what was proposed.
        Stream::Proposal(_) => format!("proposal {kind}{gap}{said}"),
        _ => format!("{stream} {kind}{gap}{said}"),
    }
}

fn said(event: &Event) -> String {
    match event {
        Event::Signed(e) => {
            let slot = e
                .slot
                .as_ref()
                .map_or(String::new(), |slot| format!(" as {slot}"));
            format!("{} {}{slot}, {}", e.person, e.verdict, e.grade)
        }
        Event::ReviewOpened(e) => record(&e.record),
        Event::ReviewRecordChanged(e) => record(&e.record),
        Event::ReviewPaused(e) => format!("{}, escalates {}", e.rules.join(" "), e.escalates),
        Event::ReviewEscalated(e) => format!("to {}, {}", e.role, cause(&e.cause)),
        Event::ReleaseApproved(e) => {
            let how = e.auto.as_ref().map_or("by people", |_| "by rule");
            format!("{how} until {}", e.tuple.expires)
        }
        Event::ReviewClosed(e) => cause(&e.cause),
        Event::ApprovalRevoked(e) => cause(&e.cause),
        Event::ReleasesAssigned(e) => {
            let each = e.releases.iter().map(|assigned| match assigned.until {
                Some(until) => format!("{} until {until}", assigned.release.version),
                None => assigned.release.version.to_string(),
            });
            each.collect::<Vec<_>>().join(", ")
        }
        Event::PromotionIntended(e) => format!("{} to {}", e.order.alias, e.order.version),
        Event::ModeSet(e) => match e.until {
            Some(until) => format!("{} until {until}", e.mode),
            None => e.mode.to_string(),
        },
        Event::ProposalMade(e) => format!("by {}, until {}", e.person, e.until),
        Event::ProposalConfirmed(e) => format!("first {}", e.first),
        Event::AuthorClaimed(e) => e.person.to_string(),
        Event::RetentionSet(e) => format!("{} {} days, was {}", e.class, e.days, e.was_days),
        Event::LogReviewSet(e) => match (&e.schedule, e.next) {
            (Some(asked), Some(next)) => format!("by {}, next {next}", asked.role),
            _ => "nobody any more".to_owned(),
        },
        Event::LogReviewDue(e) => format!("since {}, overdue {}", e.since, e.overdue),
        Event::LogReviewOverdue(e) => format!("{} missed, again {}", e.missed, e.again),
        Event::LogReviewed(e) => format!(
            "{} {} to {}, {}, {}, next {}",
            e.person, e.from, e.size, e.finding, e.grade, e.next
        ),
        Event::OutsideAgentDefined(e) => format!("{} as {}", e.agent, e.account),
        Event::HoldSet(e) => e.scope.to_string(),
        Event::ErasureRequested(e) => match &e.kept {
            Some(by) => format!("looked at {}, {}", e.due, kept(by)),
            None => format!("looked at {}", e.due),
        },
        Event::ErasurePostponed(e) => format!("looked at {}, {}", e.due, kept(&e.kept)),
        Event::ErasureCarriedOut(e) => format!("{} values", e.values),
        _ => String::new(),
    }
}

fn record(record: &lumos_domain::facts::ReviewRecord) -> String {
    let slots: Vec<String> = record.slots.iter().map(slot).collect();
    let mut text = format!(
        "{} for {} change [{}]",
        record.depth,
        record.change_tier,
        slots.join(", ")
    );
    for (word, list) in [
        ("blocked by", &record.blocking),
        ("raised:", &record.raised_by),
    ] {
        if !list.is_empty() {
            text.push_str(&format!(" {word} {}", list.join(" and ")));
        }
    }
    text
}

fn slot(slot: &Slot) -> String {
    format!("{} × {} {}", slot.count, slot.role, slot.grade)
}

fn cause(cause: &Cause) -> String {
    cause.as_str().to_owned()
}

fn kept(kept: &Kept) -> String {
    let why = match (&kept.hold, kept.until) {
        (Some(hold), _) => format!("held by {hold}"),
        (None, Some(until)) => format!("kept until {until}"),
        (None, None) => "in effect".to_owned(),
    };
    format!("{} is {why}", kept.record)
}
