//! What LUMOS could not see, computed from what it knows: where denials were only observed, who never asked, what was
//! not scanned or not read back, what was erased or left out of the pack, and who vouches for the ledger.

use std::collections::BTreeSet;

use lumos_domain::{
    event::Event, id::AssignmentId, log_review::LogReview, stream::Stream, words::Mode,
};

use super::{
    Asked, Head, Parts,
    content::{Dossier, Period, Unseen},
};
use crate::{LedgerEntry, ask};

/// Every gap that is known, in a fixed order.
pub(super) fn of(
    parts: &Parts,
    head: &Head,
    asked: &Asked,
    period: Option<&Period>,
    releases: &[Dossier],
) -> Vec<Unseen> {
    let mut all = Vec::new();
    all.push(vouched(head));
    all.extend(observed(parts, asked));
    all.extend(silent(parts, asked));
    for dossier in releases {
        all.extend(about(parts, dossier));
    }
    all.extend(period.into_iter().flat_map(of_period));
    all.extend(unread(parts, asked));
    all.extend(stepped(parts, asked));
    all.extend(unexamined(parts, asked));
    all.extend(erased(parts));
    all.push(gap(
        "what runs",
        "LUMOS knows what it was asked and what it assigned. What runs where it is not asked, and whether what is \
         assigned really answers, it does not know: this version records no deployment."
            .to_owned(),
        Vec::new(),
    ));
    all
}

fn gap(gap: &str, what: String, entries: Vec<u64>) -> Unseen {
    Unseen {
        gap: gap.to_owned(),
        what,
        entries,
    }
}

/// Whether anybody but the log signed the checkpoint.
fn vouched(head: &Head) -> Unseen {
    let what = format!(
        "Only the ledger's own signature under the checkpoint over {} entries was checked: whoever holds that key could \
         have written another history. Other names on the checkpoint prove nothing here; verify them with their keys \
         (`lumos ledger verify --policy`), or hold a checkpoint kept from before against the ledger.",
        head.checkpoint.size()
    );
    gap("not witnessed", what, Vec::new())
}

/// Where denials were recorded and not applied.
fn observed(parts: &Parts, asked: &Asked) -> Vec<Unseen> {
    let observed = parts.entries().filter_map(|entry| {
        let Event::ModeSet(e) = &entry.event else {
            return None;
        };
        let until = e.until?;
        let overlaps = match asked {
            Asked::Period { from, to, .. } => entry.time < *to && until > *from,
            Asked::Release { .. } => true,
        };
        (e.mode == Mode::Observe && overlaps).then(|| {
            let scope = String::from(e.scope.clone());
            let scope = if scope == "*" { "every system".to_owned() } else { format!("system {scope}") };
            let what = format!(
                "For {scope} in {}, denials were recorded and not applied from {} until {until} at the latest: what was \
                 denied there could run.",
                e.environment, entry.time
            );
            gap("observe", what, vec![entry.index])
        })
    });
    observed.collect()
}

/// Agents that may use something and for which nobody ever asked.
fn silent(parts: &Parts, asked: &Asked) -> Vec<Unseen> {
    let mut agents: BTreeSet<&AssignmentId> = BTreeSet::new();
    let within = |entry: &LedgerEntry| match asked {
        Asked::Period { to, .. } => entry.time < *to,
        Asked::Release { .. } => true,
    };
    for entry in parts.entries().filter(|entry| within(entry)) {
        if let (Stream::Assignment(id), Event::ReleasesAssigned(_)) = (&entry.stream, &entry.event)
        {
            agents.insert(id);
        }
    }
    let asks = |id: &AssignmentId| {
        parts.asks().iter().any(|asks| {
            (&asks.agent.system, &asks.agent.agent, &asks.environment)
                == (&id.system, &id.agent, &id.environment)
        })
    };
    let silent = agents.into_iter().filter(|id| !asks(id));
    silent
        .map(|id| {
            let what = format!(
                "No decision was counted for {id}: no place where it is applied asks for this agent, or the counts are \
                 older than they are kept. What it runs is not checked against what it may run."
            );
            gap("never asked", what, Vec::new())
        })
        .collect()
}

/// What is missing about one release.
fn about(parts: &Parts, dossier: &Dossier) -> Vec<Unseen> {
    let mut all = Vec::new();
    let release = &dossier.release;
    let mut scans = dossier
        .evidence
        .iter()
        .filter(|e| e.kind == "artifact_scan")
        .peekable();
    if scans.peek().is_none() {
        let what = format!(
            "{release} has no scan of its files: what they would do when loaded was not looked at."
        );
        all.push(gap("not scanned", what, Vec::new()));
    }
    for scan in scans {
        let unread = scan
            .says
            .iter()
            .find(|(name, _)| name == "not fully scanned");
        if let Some((_, unread)) = unread.filter(|(_, unread)| unread != "none") {
            let what = format!("Of {release}, some files could not be fully scanned: {unread}.");
            all.push(gap("not fully scanned", what, vec![scan.entry]));
        }
    }
    let authors = dossier.request.iter().flat_map(|request| &request.authors);
    let open: Vec<String> = authors
        .filter(|author| author.person.is_none())
        .map(|author| author.claim.to_string())
        .collect();
    if !open.is_empty() {
        let what = format!(
            "Of {release}, nobody took the author claims number {}: who wrote it is what a registry says.",
            open.join(", ")
        );
        all.push(gap("author unknown", what, Vec::new()));
    }
    let cited = dossier.manifest.iter();
    let cited = cited.chain(dossier.evidence.iter().map(|evidence| &evidence.claim));
    let cited = cited.chain(dossier.reports.iter().map(|report| &report.report));
    let absent: BTreeSet<String> = cited
        .filter(|cited| cited.file.is_none())
        .map(|cited| cited.digest.to_string())
        .collect();
    if !absent.is_empty() {
        let absent: Vec<String> = absent.into_iter().collect();
        let what = format!(
            "Of {release}, these are not in the pack, because they are larger than 4 MiB or gone: {}.",
            absent.join(", ")
        );
        all.push(gap("left out", what, Vec::new()));
    }
    all.extend(not_read_back(parts, dossier));
    all
}

/// Promotions whose outcome nobody saw.
fn not_read_back(parts: &Parts, dossier: &Dossier) -> Option<Unseen> {
    let own = Stream::Release(dossier.release.clone());
    let mut open: Vec<(&str, u64)> = Vec::new();
    for entry in parts.entries().filter(|entry| entry.stream == own) {
        match &entry.event {
            Event::PromotionIntended(e) => open.push((&e.order.marker, entry.index)),
            Event::PromotionObserved(e) => open.retain(|(marker, _)| *marker != e.marker),
            _ => {}
        }
    }
    let entries: Vec<u64> = open.into_iter().map(|(_, entry)| entry).collect();
    (!entries.is_empty()).then(|| {
        let what = format!(
            "For {}, a registry was told to move an alias and was not seen to have done it.",
            dossier.release
        );
        gap("not read back", what, entries)
    })
}

/// What is particular about the population.
fn of_period(period: &Period) -> Vec<Unseen> {
    let mut all = Vec::new();
    let by_rule: Vec<u64> = period
        .changes
        .iter()
        .filter(|c| c.by_rule)
        .map(|c| c.entry)
        .collect();
    if !by_rule.is_empty() {
        let what = format!(
            "{} of {} changes were approved by their depth alone: that others than the author approved holds for them only \
             because nobody signed.",
            by_rule.len(),
            period.population
        );
        all.push(gap("nobody signed", what, by_rule));
    }
    all
}

/// Versions that appeared and could not be read.
fn unread(parts: &Parts, asked: &Asked) -> Option<Unseen> {
    let within = |entry: &LedgerEntry| match asked {
        Asked::Period { from, to, .. } => ask::Period {
            from: *from,
            to: *to,
        }
        .holds(entry),
        Asked::Release { .. } => true,
    };
    let failed = parts.entries().filter(|entry| within(entry));
    let failed = failed.filter(|entry| matches!(entry.event, Event::AcquisitionFailed(_)));
    let entries: Vec<u64> = failed.map(|entry| entry.index).collect();
    (!entries.is_empty()).then(|| {
        let what = format!(
            "{} times a version was seen in a registry and could not be fetched or hashed.",
            entries.len()
        );
        gap("not fetched", what, entries)
    })
}

/// Times that are less certain than they look: the clock was set, or the machine stood still.
fn stepped(parts: &Parts, asked: &Asked) -> Vec<Unseen> {
    let steps = parts.entries().filter_map(|entry| {
        let Event::ClockStepped(e) = &entry.event else {
            return None;
        };
        let concerns = match asked {
            Asked::Period { from, to, .. } => {
                e.expected.min(e.found) < *to && e.expected.max(e.found) >= *from
            }
            Asked::Release { .. } => true,
        };
        let what = format!(
            "The clock should have shown {} and showed {}: it was set, or the machine stood still. The order of entries is \
             certain, their times around then are not.",
            e.expected, e.found
        );
        concerns.then(|| gap("clock", what, vec![entry.index]))
    });
    steps.collect()
}

/// What of the period nobody has examined by the end of it, and whether anybody was asked to.
fn unexamined(parts: &Parts, asked: &Asked) -> Option<Unseen> {
    let Asked::Period { to, .. } = asked else {
        return None;
    };
    let mut state = LogReview::default();
    let mut entries = Vec::new();
    let about = parts.entries().filter(|entry| entry.time < *to);
    for entry in about.filter(|entry| entry.stream == Stream::LogReview) {
        state.apply(&entry.event);
        if matches!(entry.event, Event::LogReviewOverdue(_)) {
            entries.push(entry.index);
        }
        if matches!(entry.event, Event::LogReviewed(_)) {
            entries.clear();
        }
    }
    let last = state.examined;
    let what = match (&state.schedule, &state.open) {
        (None, _) => {
            "Nobody was asked to examine the log at the end of the period: what stands in it, nobody may have read.".to_owned()
        }
        (Some(_), Some(open)) if open.overdue < *to => format!(
            "The review of the log that was due since {} was not signed by the end of the period: entries from {last} on were \
             examined by nobody.",
            open.since
        ),
        (Some(_), _) => return None,
    };
    Some(gap("log not examined", what, entries))
}

/// Texts that nobody can read any more.
fn erased(parts: &Parts) -> Option<Unseen> {
    let wanted = parts.wanted();
    let gone = wanted
        .iter()
        .filter(|sealed| parts.text(sealed).is_none())
        .count();
    (gone > 0).then(|| {
        let what = format!(
            "{gone} of {} names and texts were erased, as the law asks where no duty keeps them. Their commitments stay in \
             the entries, and every proof holds.",
            wanted.len()
        );
        gap("erased", what, Vec::new())
    })
}
