//! One client for the process, one `Peer` per base address the settings name. Sends nothing by itself.

use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

use reqwest::{Certificate, Method, redirect};
use url::Url;

use crate::{
    Egress, HttpError, Limits, Request, Secret,
    egress::{GuardedNames, base, names_local, origin},
    error::chain,
};

/// The outgoing client. Cheap to clone; all clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    hosts: Arc<BTreeSet<String>>,
    limits: Limits,
}

/// What is sent along to prove who asks.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Nothing.
    #[default]
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(Secret),
    /// `Authorization: Basic …` (RFC 7617).
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A header of the peer's own, such as `PRIVATE-TOKEN`.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: Secret,
    },
}

impl Client {
    /// A client that reaches the hosts of `egress` and no others.
    ///
    /// # Errors
    /// `http-address` when a host is no base address, `http-setup` when certificates cannot be read.
    pub fn new(egress: &Egress) -> Result<Self, HttpError> {
        let bases: Vec<Url> = egress
            .hosts
            .iter()
            .map(|host| base(host))
            .collect::<Result<_, _>>()?;
        // The process has one provider; when another is installed already, that one serves as well.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let extra = ca_certificates(egress)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("lumos/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .dns_resolver(GuardedNames)
            .connect_timeout(Duration::from_millis(egress.limits.connect_ms))
            .read_timeout(Duration::from_millis(egress.limits.idle_ms));
        // The roots of the operating system take time to read, and a bare image has none: read them only
        // when something is called over TLS.
        builder = if bases.iter().any(|base| base.scheme() == "https") {
            builder.tls_certs_merge(extra)
        } else {
            builder.tls_certs_only(extra)
        };
        let http = builder.build().map_err(|error| HttpError::Setup {
            problem: chain(&error),
        })?;
        Ok(Self {
            http,
            hosts: Arc::new(bases.iter().map(origin).collect()),
            limits: egress.limits,
        })
    }

    /// The peer at a base address, to be asked as `auth` says.
    ///
    /// # Errors
    /// `http-not-allowed` when the settings do not name its scheme, host and port; `http-address`.
    pub fn peer(&self, address: &str, auth: Auth) -> Result<Peer, HttpError> {
        let url = base(address)?;
        self.check_allowed(&url)?;
        if url.scheme() == "http" && !matches!(auth, Auth::None) && !names_local(&url) {
            tracing::warn!(
                host = origin(&url),
                "a credential is sent without encryption"
            );
        }
        Ok(Peer {
            client: self.clone(),
            base: url,
            auth: Arc::new(auth),
        })
    }

    pub(crate) fn check_allowed(&self, url: &Url) -> Result<(), HttpError> {
        let host = origin(url);
        if self.hosts.contains(&host) {
            return Ok(());
        }
        Err(HttpError::NotAllowed {
            host,
            problem: "the settings do not name it".to_owned(),
        })
    }

    pub(crate) const fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }
}

fn ca_certificates(egress: &Egress) -> Result<Vec<Certificate>, HttpError> {
    let Some(path) = &egress.ca_file else {
        return Ok(Vec::new());
    };
    let setup = |problem: String| HttpError::Setup {
        problem: format!("certificates in `{}`: {problem}", path.display()),
    };
    let pem = fs::read(path).map_err(|error| setup(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| setup(chain(&error)))?;
    if found.is_empty() {
        return Err(setup("there are none".to_owned()));
    }
    Ok(found)
}

/// A host that may be called, with the path its interface lies under and the credential for it.
#[derive(Debug, Clone)]
pub struct Peer {
    client: Client,
    base: Url,
    auth: Arc<Auth>,
}

impl Peer {
    /// A call of `path` below the base address. The path is plain text: each segment is escaped here.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(self, method, path)
    }

    /// A GET of `path`.
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// A POST to `path`.
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// A PUT to `path`.
    pub fn put(&self, path: &str) -> Request {
        self.request(Method::PUT, path)
    }

    /// A PATCH of `path`.
    pub fn patch(&self, path: &str) -> Request {
        self.request(Method::PATCH, path)
    }

    /// A DELETE of `path`.
    pub fn delete(&self, path: &str) -> Request {
        self.request(Method::DELETE, path)
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> String {
        origin(&self.base)
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// The address of `path` below the base; a trailing slash is kept, `.` and `..` are refused.
    pub(crate) fn address(&self, path: &str) -> Result<Url, HttpError> {
        let wrong = |problem: &str| HttpError::Address {
            address: self.origin(),
            problem: problem.to_owned(),
        };
        let mut url = self.base.clone();
        {
            let mut segments = url
                .path_segments_mut()
                .map_err(|()| wrong("nothing can lie below it"))?;
            segments.pop_if_empty();
            for segment in path.split('/').filter(|segment| !segment.is_empty()) {
                if matches!(segment, "." | "..") {
                    return Err(wrong("a path below it holds `.` or `..`"));
                }
                segments.push(segment);
            }
            if path.ends_with('/') {
                segments.push("");
            }
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(hosts: &[&str]) -> Client {
        Client::new(&Egress {
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            ..Egress::default()
        })
        .unwrap()
    }

    #[test]
    fn only_named_hosts_have_peers() {
        fn check(address: &str, allowed: bool) {
            let client = client(&["http://127.0.0.1:5000/mlflow", "http://acme.example"]);
            let peer = client.peer(address, Auth::None);
            assert_eq!(peer.is_ok(), allowed, "{address}");
            if let Err(error) = peer {
                assert_eq!(error.code(), "http-not-allowed");
            }
        }
        check("http://127.0.0.1:5000", true);
        check("http://127.0.0.1:5000/other", true);
        check("http://acme.example:80/x", true);
        check("http://ACME.example", true);
        check("http://127.0.0.1:5001", false);
        check("https://acme.example", false);
        check("http://acme.example.evil.example", false);
        check("http://sub.acme.example", false);
        check("http://169.254.169.254", false);
    }

    #[test]
    fn a_path_is_escaped_below_the_base() {
        fn check(base: &str, path: &str, expected: Result<&str, &str>) {
            let peer = client(&["http://acme.example"])
                .peer(base, Auth::None)
                .unwrap();
            let address = peer.address(path);
            match expected {
                Ok(url) => assert_eq!(address.unwrap().as_str(), url),
                Err(code) => assert_eq!(address.unwrap_err().code(), code),
            }
        }
        let root = "http://acme.example";
        check(root, "a/b", Ok("http://acme.example/a/b"));
        check(root, "/a/b/", Ok("http://acme.example/a/b/"));
        check("http://acme.example/m/", "a", Ok("http://acme.example/m/a"));
        check("http://acme.example/m", "", Ok("http://acme.example/m"));
        check(
            root,
            "a b/ü?x=1#y",
            Ok("http://acme.example/a%20b/%C3%BC%3Fx=1%23y"),
        );
        check(root, "a%2e%2e/b", Ok("http://acme.example/a%252e%252e/b"));
        check(root, "a/../b", Err("http-address"));
        check(root, "./b", Err("http-address"));
    }

    #[test]
    fn certificates_must_be_readable() {
        fn check(ca_file: std::path::PathBuf, problem: &str) {
            let egress = Egress {
                ca_file: Some(ca_file),
                ..Egress::default()
            };
            let error = Client::new(&egress).unwrap_err();
            assert_eq!(error.code(), "http-setup");
            assert!(error.to_string().contains(problem), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        check(folder.path().join("absent.pem"), "No such file");
        let empty = folder.path().join("empty.pem");
        fs::write(&empty, "no certificate").unwrap();
        check(empty, "there are none");
    }
}
