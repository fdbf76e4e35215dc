//! Which hosts may be reached, and which addresses their names may stand for. Sends nothing.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::Deserialize;
use url::{Host, Url};

use crate::HttpError;

/// What may be reached and how. Hosts that are not named here cannot be reached at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// Base addresses, such as `https://mlflow.acme.example`; scheme, host and port count, the path does not.
    pub hosts: Vec<String>,
    /// A PEM file with certificates to trust besides those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// How long to wait and how much to read.
    pub limits: Limits,
}

/// How long to wait and how much to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Until a connection stands, TLS included.
    pub connect_ms: u64,
    /// Of silence while an answer is read.
    pub idle_ms: u64,
    /// For a whole exchange other than a transfer of files or lines.
    pub exchange_ms: u64,
    /// For the transfer of one file.
    pub transfer_ms: u64,
    /// Of an answer that is kept in memory.
    pub answer_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_ms: 5_000,
            idle_ms: 30_000,
            exchange_ms: 60_000,
            transfer_ms: 4 * 3_600_000,
            answer_bytes: 16 << 20,
        }
    }
}

impl Limits {
    pub(crate) const fn exchange(&self) -> Duration {
        Duration::from_millis(self.exchange_ms)
    }

    pub(crate) const fn transfer(&self) -> Duration {
        Duration::from_millis(self.transfer_ms)
    }
}

/// Reads a base address: `http` or `https`, a host, no credential, no query.
pub(crate) fn base(address: &str) -> Result<Url, HttpError> {
    let wrong = |problem: &str| HttpError::Address {
        // What cannot be read may hold a credential in any place: show nothing of it.
        address: Url::parse(address).map_or_else(|_| "?".to_owned(), |url| origin(&url)),
        problem: problem.to_owned(),
    };
    let url = Url::parse(address).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        Err(wrong("it must begin with http:// or https://"))
    } else if !url.username().is_empty() || url.password().is_some() {
        Err(wrong("a credential does not belong into the address"))
    } else if url.query().is_some() || url.fragment().is_some() {
        Err(wrong("a base address has no query and no fragment"))
    } else {
        Ok(url)
    }
}

/// Scheme, host and port, the only part of an address that egress looks at.
pub(crate) fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    let port = url.port_or_known_default().unwrap_or(0);
    format!("{}://{host}:{port}", url.scheme())
}

/// Whether the address itself, and not a name for it, is given as a local one.
pub(crate) fn names_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => is_local(ip.into()),
        Some(Host::Ipv6(ip)) => is_local(ip.into()),
        Some(Host::Domain(name)) => is_localhost(name),
        None => false,
    }
}

fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// A name leads to an address of this machine or its link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "its name leads to {ip}, a loopback, link-local or metadata address; name the address itself"
)]
pub(crate) struct LocalAddress {
    pub(crate) host: String,
    ip: IpAddr,
}

/// Whether an address belongs to this machine, its link or a cloud's metadata service, where an answer
/// from a hostile name server could otherwise lead us (RFC 6890; RFC 4193 addresses are not local here).
fn is_local(ip: IpAddr) -> bool {
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);
    const METADATA_V4: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.octets()[0] == 0
                || ip.octets()[0] >= 240
                || ip == METADATA_V4
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_unicast_link_local()
                || ip == METADATA
        }
    }
}

fn check_resolved(host: &str, ips: impl Iterator<Item = IpAddr>) -> Result<(), LocalAddress> {
    if is_localhost(host) {
        return Ok(());
    }
    for ip in ips {
        if is_local(ip) {
            let host = host.to_owned();
            return Err(LocalAddress { host, ip });
        }
    }
    Ok(())
}

/// The name server of the operating system, its answers checked.
pub(crate) struct GuardedNames;

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str();
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            check_resolved(host, found.iter().map(SocketAddr::ip))?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_address_is_plain() {
        fn check(address: &str, expected: Result<&str, &str>) {
            let read = base(address).map(|url| origin(&url));
            match expected {
                Ok(origin) => assert_eq!(read.as_deref(), Ok(origin), "{address}"),
                Err(problem) => {
                    let error = read.unwrap_err();
                    assert_eq!(error.code(), "http-address");
                    let text = error.to_string();
                    assert!(text.contains(problem), "{text}");
                    assert!(!text.contains("hunter2"), "{text}");
                }
            }
        }
        check(
            "https://Acme.example/mlflow",
            Ok("https://acme.example:443"),
        );
        check("http://127.0.0.1:5000", Ok("http://127.0.0.1:5000"));
        check("http://[::1]:80", Ok("http://[::1]:80"));
        check("ftp://acme.example", Err("must begin with"));
        check("file:///etc/passwd", Err("must begin with"));
        check("https://user:hunter2@acme.example", Err("credential"));
        check("https://acme.example/?token=hunter2", Err("no query"));
        check("hunter2", Err("relative URL"));
    }

    #[test]
    fn a_name_must_not_lead_to_this_machine() {
        fn check(host: &str, ip: &str, allowed: bool) {
            let ip: IpAddr = ip.parse().unwrap();
            let verdict = check_resolved(host, std::iter::once(ip));
            assert_eq!(verdict.is_ok(), allowed, "{host} {ip}");
        }
        check("mlflow.acme.example", "93.184.216.34", true);
        check("mlflow.acme.example", "10.1.2.3", true);
        check("mlflow.acme.example", "192.168.0.9", true);
        check("mlflow.acme.example", "fd12::1", true);
        check("mlflow.acme.example", "127.0.0.1", false);
        check("mlflow.acme.example", "127.0.1.1", false);
        check("mlflow.acme.example", "::1", false);
        check("mlflow.acme.example", "::ffff:127.0.0.1", false);
        check("mlflow.acme.example", "169.254.169.254", false);
        check("mlflow.acme.example", "fd00:ec2::254", false);
        check("mlflow.acme.example", "100.100.100.200", false);
        check("mlflow.acme.example", "fe80::1", false);
        check("mlflow.acme.example", "0.0.0.0", false);
        check("mlflow.acme.example", "255.255.255.255", false);
        check("mlflow.acme.example", "224.0.0.1", false);
        check("localhost", "127.0.0.1", true);
        check("mlflow.localhost", "::1", true);
        check("notlocalhost", "::1", false);
    }
}
