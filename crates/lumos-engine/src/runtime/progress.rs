//! How far each agent is, and what it gave up.

use lumos_domain::actor::OwnAgent;

use crate::ports::{PortError, Row, Store, Value};

/// How far an agent is, for `lumos runtime list` and the readiness page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The agent.
    pub agent: &'static str,
    /// The next entry it will look at.
    pub next: u64,
    /// Jobs that wait or are being done.
    pub waiting: u64,
    /// Dead letters: entry and problem, at most 100.
    pub dead: Vec<(u64, String)>,
}

/// How far every agent is.
///
/// # Errors
/// When the store fails.
pub async fn progress(store: &dyn Store) -> Result<Vec<Progress>, PortError> {
    let mut all = Vec::new();
    for agent in OwnAgent::ALL.map(OwnAgent::as_str) {
        let by = || vec![Value::from(agent)];
        let number = |rows: Vec<Row>| {
            rows.first()
                .and_then(|row| row.int(0))
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(0)
        };
        let cursor = store
            .query("SELECT next FROM cursors WHERE subscriber = $1", by())
            .await?;
        if cursor.is_empty() {
            // An agent of a later version, or one that has not begun: nobody waits for it.
            continue;
        }
        let dead = store
            .query(
                "SELECT entry, problem FROM jobs WHERE subscriber = $1 AND state = 'dead' ORDER BY entry LIMIT 100",
                by(),
            )
            .await?;
        all.push(Progress {
            agent,
            next: number(cursor),
            waiting: number(
                store
                    .query(
                        "SELECT COUNT(*) FROM jobs WHERE subscriber = $1 AND state <> 'dead'",
                        by(),
                    )
                    .await?,
            ),
            dead: dead
                .iter()
                .filter_map(|row| Some((u64::try_from(row.int(0)?).ok()?, row.text(1).to_owned())))
                .collect(),
        });
    }
    Ok(all)
}
