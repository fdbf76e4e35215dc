//! Who can sign in and by which token: lookups by login and token id. Names stay sealed.

use lumos_domain::{event::Event, id::PersonId, id::TokenId, seal::Sealed, stream::Stream};

use super::{Facts, statement};
use crate::{
    key::ServerKey,
    ports::{PortError, Row, Statement, Store, Value},
};

pub(super) const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS people (
        person TEXT PRIMARY KEY, login_key TEXT UNIQUE, name_seal TEXT NOT NULL, login_seal TEXT NOT NULL,
        service BIGINT NOT NULL, suspended BIGINT NOT NULL, credential_seal TEXT, must_change BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tokens (
        token TEXT PRIMARY KEY, person TEXT NOT NULL, hash_seal TEXT NOT NULL, purpose_seal TEXT NOT NULL,
        rights TEXT NOT NULL, expires_us BIGINT NOT NULL)",
];

/// The lookup key of a login: a keyed hash of it in lower case. The login itself stays sealed, and cannot be guessed
/// from a copy of the database.
fn login_key(key: &ServerKey, login: &str) -> String {
    key.of(&["login", &login.trim().to_lowercase()])
}

fn seal(sealed: &Sealed) -> String {
    serde_json::to_string(sealed).unwrap_or_default()
}

fn sealed(text: &str) -> Option<Sealed> {
    serde_json::from_str(text).ok()
}

/// The hash of a token's secret, or of both halves of it. Whoever cannot read the second knows the token not at all.
fn hashes(first: &Sealed, second: Option<&Sealed>) -> String {
    match second {
        None => seal(first),
        Some(second) => serde_json::to_string(&[first, second]).unwrap_or_default(),
    }
}

pub(super) fn project(stream: &Stream, event: &Event, facts: &Facts) -> Vec<Statement> {
    let Stream::Person(id) = stream else {
        return Vec::new();
    };
    let id = id.as_str();
    match event {
        Event::PersonAdded(e) => vec![statement!(
            "INSERT INTO people (person, login_key, name_seal, login_seal, service, suspended, must_change)
             VALUES ($1, $2, $3, $4, $5, 0, 0)",
            id, facts.text(&e.login).map(|login| login_key(&facts.key, login)), seal(&e.name), seal(&e.login), i64::from(e.service),
        )],
        Event::PersonSuspended(_) => {
            vec![statement!("UPDATE people SET suspended = 1 WHERE person = $1", id)]
        }
        Event::CredentialSet(e) => vec![
            statement!(
                "UPDATE people SET credential_seal = $1, must_change = $2 WHERE person = $3",
                seal(&e.hash), i64::from(e.by_other), id,
            ),
            // Whoever knew the old password may have drawn tokens with it.
            statement!("DELETE FROM tokens WHERE person = $1", id),
        ],
        Event::TokenIssued(e) => vec![statement!(
            "INSERT INTO tokens (token, person, hash_seal, purpose_seal, rights, expires_us)
             VALUES ($1, $2, $3, $4, $5, $6)",
            e.token.as_str(), id, hashes(&e.hash, e.second.as_ref()), seal(&e.purpose),
            serde_json::to_string(&e.rights).unwrap_or_default(), e.expires,
        )],
        Event::TokenRevoked(e) => {
            vec![statement!("DELETE FROM tokens WHERE token = $1", e.token.as_str())]
        }
        Event::ErasureCarriedOut(_) => vec![
            // A keyed hash of the login would still tell whoever guesses it, with the key, that they were here.
            statement!(
                "UPDATE people SET login_key = NULL, credential_seal = NULL WHERE person = $1",
                id,
            ),
            statement!("DELETE FROM tokens WHERE person = $1", id),
        ],
        _ => Vec::new(),
    }
}

/// A person as the sign-in and the pages need them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRow {
    /// Their id.
    pub person: PersonId,
    /// Their sealed name.
    pub name: Sealed,
    /// Their sealed login.
    pub login: Sealed,
    /// Whether this is a service.
    pub service: bool,
    /// Whether they may not act.
    pub suspended: bool,
    /// Their sealed password hash.
    pub credential: Option<Sealed>,
    /// Whether they must change their password.
    pub must_change: bool,
}

const COLUMNS: usize = 7;

fn person(row: &Row) -> Option<PersonRow> {
    debug_assert_eq!(
        row.0.len(),
        COLUMNS,
        "because every query here names the same columns"
    );
    Some(PersonRow {
        person: row.text(0).parse().ok()?,
        name: sealed(row.text(1))?,
        login: sealed(row.text(2))?,
        service: row.int(3) == Some(1),
        suspended: row.int(4) == Some(1),
        credential: sealed(row.text(5)),
        must_change: row.int(6) == Some(1),
    })
}

/// The longest login, in bytes.
pub const LOGIN_BYTES_MAX: usize = 256;

/// The person with this login; none is longer than [`LOGIN_BYTES_MAX`].
///
/// # Errors
/// When the store fails.
pub async fn by_login(
    store: &dyn Store,
    key: &ServerKey,
    login: &str,
) -> Result<Option<PersonRow>, PortError> {
    if login.len() > LOGIN_BYTES_MAX {
        return Ok(None);
    }
    let rows = store
        .query(
            "SELECT person, name_seal, login_seal, service, suspended, credential_seal, must_change
             FROM people WHERE login_key = $1",
            vec![login_key(key, login).into()],
        )
        .await?;
    Ok(rows.first().and_then(person))
}

/// The person with this id.
///
/// # Errors
/// When the store fails.
pub async fn by_id(store: &dyn Store, id: &PersonId) -> Result<Option<PersonRow>, PortError> {
    let rows = store
        .query(
            "SELECT person, name_seal, login_seal, service, suspended, credential_seal, must_change
             FROM people WHERE person = $1",
            vec![id.as_str().into()],
        )
        .await?;
    Ok(rows.first().and_then(person))
}

/// Everybody.
///
/// # Errors
/// When the store fails.
pub async fn all(store: &dyn Store) -> Result<Vec<PersonRow>, PortError> {
    let rows = store
        .query(
            "SELECT person, name_seal, login_seal, service, suspended, credential_seal, must_change
             FROM people ORDER BY person",
            Vec::new(),
        )
        .await?;
    Ok(rows.iter().filter_map(person).collect())
}

/// A live token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// The token.
    pub token: TokenId,
    /// Who it acts as.
    pub person: PersonId,
    /// SHA-256 of its secret, sealed; of each half of it where two people drew one each.
    pub hashes: Vec<Sealed>,
    /// What it is for.
    pub purpose: Sealed,
    /// When it ends.
    pub expires: jiff::Timestamp,
}

/// The token with this id; `None` once revoked.
///
/// # Errors
/// When the store fails.
pub async fn token(store: &dyn Store, id: &TokenId) -> Result<Option<TokenRow>, PortError> {
    let rows = store
        .query(
            "SELECT token, person, hash_seal, purpose_seal, expires_us FROM tokens WHERE token = $1",
            vec![Value::from(id.as_str())],
        )
        .await?;
    Ok(rows.first().and_then(token_row))
}

/// The tokens of one person.
///
/// # Errors
/// When the store fails.
pub async fn tokens(store: &dyn Store, person: &PersonId) -> Result<Vec<TokenRow>, PortError> {
    let rows = store
        .query(
            "SELECT token, person, hash_seal, purpose_seal, expires_us FROM tokens
             WHERE person = $1 ORDER BY expires_us",
            vec![Value::from(person.as_str())],
        )
        .await?;
    Ok(rows.iter().filter_map(token_row).collect())
}

fn token_row(row: &Row) -> Option<TokenRow> {
    Some(TokenRow {
        token: row.text(0).parse().ok()?,
        person: row.text(1).parse().ok()?,
        hashes: match sealed(row.text(2)) {
            Some(whole) => vec![whole],
            None => serde_json::from_str::<[Sealed; 2]>(row.text(2))
                .ok()?
                .into(),
        },
        purpose: sealed(row.text(3))?,
        expires: row.time(4)?,
    })
}
