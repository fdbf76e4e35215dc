//! Many projections of one append, some alike and some not: however a store sends them, the tables are as if each had run
//! alone, in order.

use std::collections::BTreeMap;

use lumos_engine::ports::{Statement, Store, Value};

use crate::world::append;

const PUT: &str = "INSERT INTO leases (name, until) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET until = excluded.until + leases.until";
const KEEP: &str = "INSERT INTO leases (name, until) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const DOUBLE: &str = "UPDATE leases SET until = until * 2 % 9000 WHERE name = $1";
const DROP: &str = "DELETE FROM leases WHERE name = $1";
const LOGIN: &str = "INSERT INTO logins (login, entry) VALUES ($1, 1)
    ON CONFLICT (login) DO UPDATE SET entry = logins.entry + 1";
const COUNT: &str = "UPDATE logins SET entry = entry + (SELECT count(*) FROM leases)
    WHERE login = $1";

pub(crate) async fn projections_mean_what_they_mean_one_after_the_other(store: &dyn Store) {
    let (mut leases, mut logins) = (
        BTreeMap::<String, i64>::new(),
        BTreeMap::<String, i64>::new(),
    );
    let mut append = append("c1", &[("person/a", 1)], &[]);
    let mut random = 7_u64;
    for _ in 0..400 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let (what, n) = (random >> 33 & 15, i64::try_from(random >> 40 & 7).unwrap());
        let name = format!("n{}", random >> 50 & 3);
        let put = || vec![name.clone().into(), Value::Int(n)];
        let at = || vec![name.clone().into()];
        let (sql, params) = match what {
            0..=6 => {
                leases
                    .entry(name.clone())
                    .and_modify(|until| *until += n)
                    .or_insert(n);
                (PUT, put())
            }
            7..=8 => {
                leases.entry(name.clone()).or_insert(n);
                (KEEP, put())
            }
            9 => {
                leases
                    .entry(name.clone())
                    .and_modify(|until| *until = *until * 2 % 9_000);
                (DOUBLE, at())
            }
            10 => {
                leases.remove(&name);
                (DROP, at())
            }
            11..=14 => {
                *logins.entry(name.clone()).or_insert(0) += 1;
                (LOGIN, at())
            }
            _ => {
                let count = i64::try_from(leases.len()).unwrap();
                logins
                    .entry(name.clone())
                    .and_modify(|entry| *entry += count);
                (COUNT, at())
            }
        };
        append.entries[0]
            .projections
            .push(Statement { sql, params });
    }
    store.append(append).await.unwrap();
    for (sql, expected) in [
        ("SELECT name, until FROM leases ORDER BY name", leases),
        ("SELECT login, entry FROM logins ORDER BY login", logins),
    ] {
        let rows = store.query(sql, vec![]).await.unwrap();
        let found = rows
            .iter()
            .map(|row| (row.text(0).to_owned(), row.int(1).unwrap()));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected, "{sql}");
    }
}
