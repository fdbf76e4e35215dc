//! Who may do what, and which entry gave it.

use std::collections::{BTreeMap, BTreeSet};

use lumos_domain::{
    actor::{Grant, Right, Scope},
    event::Event,
    id::{PersonId, RoleName, TokenId},
    stream::Stream,
};

use super::{Cell, Period, Table};
use crate::record::LedgerEntry;

pub(super) const KINDS: &[&str] = &[
    "lumos.role.defined.v1",
    "lumos.person.added.v1",
    "lumos.person.suspended.v1",
    "lumos.role.granted.v1",
    "lumos.role.revoked.v1",
    "lumos.token.issued.v1",
    "lumos.token.revoked.v1",
];

const COLUMNS: &[&str] = &[
    "who",
    "kind",
    "through",
    "where",
    "may",
    "since entry",
    "by",
    "until",
];

pub(super) fn answer(entries: &[LedgerEntry], period: &Period) -> Table {
    let mut known = Known::default();
    for entry in entries {
        known.follow(entry);
    }
    let people = known.people.iter();
    let rows = people.flat_map(|(person, account)| known.rows(person, account, period));
    Table {
        columns: COLUMNS,
        rows: rows.collect(),
    }
}

#[derive(Default)]
struct Known<'a> {
    roles: BTreeMap<&'a RoleName, &'a BTreeSet<Right>>,
    people: BTreeMap<PersonId, Account<'a>>,
}

#[derive(Default)]
struct Account<'a> {
    service: bool,
    suspended: bool,
    grants: BTreeMap<&'a Grant, &'a LedgerEntry>,
    tokens: BTreeMap<&'a TokenId, &'a LedgerEntry>,
}

impl<'a> Known<'a> {
    fn follow(&mut self, entry: &'a LedgerEntry) {
        if let Event::RoleDefined(e) = &entry.event {
            self.roles.insert(&e.role, &e.rights);
        }
        let Stream::Person(person) = &entry.stream else {
            return;
        };
        let account = self.people.entry(person.clone()).or_default();
        match &entry.event {
            Event::PersonAdded(e) => account.service = e.service,
            Event::PersonSuspended(_) => account.suspended = true,
            Event::RoleGranted(e) => {
                account.grants.insert(&e.grant, entry);
            }
            Event::RoleRevoked(e) => {
                account.grants.remove(&e.grant);
            }
            Event::TokenIssued(e) => {
                account.tokens.insert(&e.token, entry);
            }
            Event::TokenRevoked(e) => {
                account.tokens.remove(&e.token);
            }
            _ => {}
        }
    }

    fn rows(&self, person: &PersonId, account: &Account<'a>, period: &Period) -> Vec<Vec<Cell>> {
        let kind = match (account.suspended, account.service) {
            (true, _) => "suspended",
            (false, true) => "service",
            (false, false) => "person",
        };
        let row = |through: String, place: String, may: String, entry: &LedgerEntry, until| {
            vec![
                Cell::People(vec![person.clone()]),
                Cell::text(kind),
                Cell::Text(through),
                Cell::Text(place),
                Cell::Text(may),
                Cell::Entry(entry.index),
                Cell::Actor(entry.actor.clone()),
                until,
            ]
        };
        let grants = account.grants.iter().map(|(grant, entry)| {
            let rights = self.roles.get(&grant.role).copied();
            let may = rights.map(words).unwrap_or_default();
            let through = format!("role {}", grant.role);
            row(through, place(&grant.scope), may, entry, Cell::Nothing)
        });
        let tokens = account.tokens.iter().filter_map(|(token, entry)| {
            let Event::TokenIssued(e) = &entry.event else {
                return None;
            };
            let live = e.expires > period.to;
            let until = Cell::Time(e.expires);
            live.then(|| {
                row(
                    format!("token {token}"),
                    String::new(),
                    words(&e.rights),
                    entry,
                    until,
                )
            })
        });
        grants.chain(tokens).collect()
    }
}

fn words(rights: &BTreeSet<Right>) -> String {
    let words: Vec<_> = rights.iter().map(|right| right.as_str()).collect();
    words.join(", ")
}

fn place(scope: &Scope) -> String {
    match scope {
        Scope::Organisation => "everywhere".to_owned(),
        Scope::Unit(unit) => format!("unit {unit}"),
        Scope::Model(model) => format!("model {model}"),
    }
}
