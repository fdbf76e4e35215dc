//! Reaching the server: its address, TLS, and what holds for each kind of connection.

use std::{fmt, sync::Arc, time::Duration};

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio_postgres::{
    Config, NoTls,
    config::{Host, SslMode, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::failure::{Failure, words};
use crate::OpenError;

/// How long reaching the server may take.
const REACH: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection to become free.
const WAIT: Duration = Duration::from_secs(30);
/// After so long without an answer from its machine a connection counts as dead.
const SILENCE: Duration = Duration::from_secs(10);

/// Where the database is and what is accepted of it.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgres://USER:PASSWORD@HOST/DATABASE?…`, with the role that adds to the ledger. `sslmode` is `disable`
    /// or `require`, which always checks the certificate; without it, TLS is required unless the server is on
    /// this machine. `sslrootcert` names a file of certificates to trust instead of the system's.
    pub url: String,
    /// The same with the role that owns the tables, for migrations; without it the first one does both.
    pub owner_url: Option<String>,
    /// Whether the operator accepts a server that may lose acknowledged entries.
    pub accept_loss: bool,
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSettings")
            .field("url", &"***")
            .field("owner_url", &self.owner_url.as_ref().map(|_| "***"))
            .field("accept_loss", &self.accept_loss)
            .finish()
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// To append: it ends when it idles within a transaction, so that a replica that stands still lets go of the
    /// head. A statement has no time limit, because a commit that waits for a standby must not be cut short: the
    /// server would answer that it is done.
    Append,
    /// To change operational state, blobs and tables.
    Change,
    /// To read: the server refuses whatever writes.
    Read,
    /// To copy everything at once, which takes as long as it takes.
    Copy,
}

impl Use {
    /// Everything that is decided under the lock of the head is read after it was taken: that needs
    /// `read committed`, whatever the server's own default is. A server that asks for no writes, as managed ones do when
    /// their disk is full, gets none, and is read and backed up all the same.
    fn options(self) -> &'static str {
        match self {
            // What appends goes by keys alone: no statement is planned again for its values, nor while a table is
            // small in a way that is wrong once it has grown.
            Self::Append => {
                "-c default_transaction_isolation=read\\ committed \
                 -c lock_timeout=10s -c idle_in_transaction_session_timeout=10s -c statement_timeout=0 \
                 -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off"
            }
            Self::Change => {
                "-c default_transaction_isolation=read\\ committed \
                 -c lock_timeout=10s -c idle_in_transaction_session_timeout=10s -c statement_timeout=0"
            }
            Self::Copy => {
                "-c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off \
                 -c lock_timeout=10s -c statement_timeout=0"
            }
            Self::Read => {
                "-c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off \
                 -c statement_timeout=60s"
            }
        }
    }
}

/// An address that was understood.
#[derive(Clone)]
pub(super) struct Address {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl Address {
    /// Reads a URL. The error says what is wrong with it without repeating it: it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, OpenError> {
        let refused = |problem: &str| OpenError::Address {
            problem: problem.to_owned(),
        };
        if !["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return Err(refused("it does not begin with `postgres://`"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", path)) => roots = Some(path),
                _ => rest.push(pair),
            }
        }
        let mut config: Config = format!("{base}?{}", rest.join("&"))
            .parse()
            .map_err(|error| refused(&words(&error)))?;
        let secure = match mode {
            Some("disable") => false,
            Some("require" | "verify-full") => true,
            Some(_) => return Err(refused("`sslmode` is neither `disable` nor `require`")),
            None => !config.get_hosts().iter().all(is_local),
        };
        config
            .ssl_mode(if secure {
                SslMode::Require
            } else {
                SslMode::Disable
            })
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(REACH)
            .tcp_user_timeout(SILENCE)
            .keepalives_idle(SILENCE)
            .application_name("lumos");
        let tls = secure.then(|| tls(roots)).transpose()?;
        Ok(Self { config, tls })
    }

    /// Connections for one use, up to `max` at once, made when they are needed.
    pub(super) fn pool(&self, purpose: Use, max: usize) -> Result<Pool, OpenError> {
        let mut config = self.config.clone();
        let given = config.get_options().unwrap_or_default().to_owned();
        config.options(format!("{} {given}", purpose.options()));
        let how = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = match &self.tls {
            Some(tls) => Manager::from_config(config, tls.clone(), how),
            None => Manager::from_config(config, NoTls, how),
        };
        let mut builder = Pool::builder(manager);
        if purpose == Use::Read {
            builder = builder.post_create(Hook::async_fn(|client, _| Box::pin(read_only(client))));
        }
        let pool = builder
            .max_size(max)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(REACH * 2))
            .runtime(Runtime::Tokio1)
            .build();
        pool.map_err(|error| OpenError::Address {
            problem: error.to_string(),
        })
    }

    /// One connection of its own.
    pub(super) async fn connect(&self, purpose: Use) -> Result<ClientWrapper, OpenError> {
        let pool = self.pool(purpose, 1)?;
        let object = pool.get().await.map_err(Failure::from);
        let object = object.map_err(OpenError::postgres("connecting to it"))?;
        Ok(Object::take(object))
    }
}

/// Not a startup option: a server that may be written to is told from a standby by what its sessions begin with.
async fn read_only(client: &ClientWrapper) -> Result<(), HookError> {
    let sql = "SET default_transaction_read_only = on";
    client.batch_execute(sql).await.map_err(HookError::Backend)
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            let address = name.parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

/// TLS that trusts the certificates in `roots`, or else those of the system.
fn tls(roots: Option<&str>) -> Result<MakeRustlsConnect, OpenError> {
    let refused = |problem: String| OpenError::Address { problem };
    let certificates = match roots {
        Some(path) => CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| refused(format!("reading `sslrootcert`: {error}")))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut trusted = RootCertStore::empty();
    let (added, _) = trusted.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(refused("no certificate to trust was found".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(error.to_string()))?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str) -> String {
        match Address::parse(url) {
            Err(error) => error.to_string(),
            Ok(_) => String::new(),
        }
    }

    #[test]
    fn an_address_is_understood_or_says_why_not() {
        for (url, expected) in [
            ("postgres://a:secret@localhost/lumos", ""),
            ("postgresql://a@127.0.0.1:5433/lumos?sslmode=disable", ""),
            ("postgres://a@db.acme.example/lumos?sslmode=disable", ""),
            ("postgres://a@%2Frun%2Fpostgresql/lumos", ""),
            ("mysql://a:secret@localhost/lumos", "does not begin"),
            ("postgres://a@localhost/lumos?sslmode=prefer", "sslmode"),
            ("postgres://a:secret@localhost:port/lumos", "port"),
            ("postgres://a@localhost/lumos?colour=red", "option"),
            (
                "postgres://a@db.acme.example/lumos?sslrootcert=/no/such/file",
                "sslrootcert",
            ),
        ] {
            let found = problem(url);
            assert_eq!(found.is_empty(), expected.is_empty(), "{url}: {found}");
            assert!(found.contains(expected), "{url}: {found}");
            assert!(!found.contains("secret"), "{found}");
        }
    }

    #[test]
    fn other_machines_are_reached_over_tls() {
        let mode = |url: &str| Address::parse(url).map(|a| a.config.get_ssl_mode());
        let far = "postgres://a@db.acme.example/lumos";
        // Without a system certificate, as in a bare image, it is refused instead.
        assert!(matches!(
            mode(far),
            Ok(SslMode::Require) | Err(OpenError::Address { .. })
        ));
        let disabled = mode(&format!("{far}?sslmode=disable")).unwrap();
        assert_eq!(disabled, SslMode::Disable);
        assert_eq!(mode("postgres://a@[::1]/l").unwrap(), SslMode::Disable);
    }

    #[test]
    fn no_password_is_shown() {
        let settings = PostgresSettings {
            url: "postgres://a:secret@localhost/l".to_owned(),
            owner_url: Some("postgres://o:secret@localhost/l".to_owned()),
            accept_loss: false,
        };
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
