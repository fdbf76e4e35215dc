//! Where a request comes from: the address behind the proxies that are trusted, and whether its browser is known.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use lumos_engine::key::ServerKey;
use subtle::ConstantTimeEq as _;

use super::{Place, folded};
use crate::app::App;

/// The cookie of a browser that signed in before.
pub const KNOWN: &str = "lumos_known";

/// Where a request comes from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    address: Option<IpAddr>,
    known: Option<String>,
}

impl FromRequestParts<App> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(peer)| peer.ip());
        Ok(Self {
            address: peer.map(|peer| behind(peer, &parts.headers, &app.proxies)),
            known: cookie(&parts.headers, KNOWN).map(str::to_owned),
        })
    }
}

impl Origin {
    /// What counts as the place of somebody who says to be `login`.
    #[must_use]
    pub fn place(&self, key: &ServerKey, login: &str) -> Place {
        let expected = known(key, login);
        let known = self.known.as_deref().unwrap_or_default();
        if bool::from(known.as_bytes().ct_eq(expected.as_bytes())) {
            return Place::Known(expected);
        }
        self.address.map_or(Place::Unknown, Place::Address)
    }
}

/// What the cookie of a browser says that signed in as `login`: nothing that anybody else can make.
#[must_use]
pub fn known(key: &ServerKey, login: &str) -> String {
    key.of(&["known browser", &folded(login)])
}

/// The nearest address that is no trusted proxy. Each proxy adds whom it speaks for at the end; what stands before
/// the first that is not trusted, anybody may have written.
fn behind(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    let trusted = |address: &IpAddr| address.is_loopback() || proxies.contains(address);
    let lines = headers.get_all("x-forwarded-for").iter();
    let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
    let mut hops = lines.iter().flat_map(|line| line.split(',')).rev();
    let mut nearest = peer;
    while trusted(&nearest) {
        match hops.next().and_then(|hop| hop.trim().parse().ok()) {
            Some(hop) => nearest = hop,
            None => break,
        }
    }
    nearest
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    lines
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_say_whom_they_speak_for() {
        let check = |peer: &str, forwarded: &[&'static str], expected: &str| {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let proxies = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
            let address = behind(peer.parse().unwrap(), &headers, &proxies);
            assert_eq!(address.to_string(), expected, "{peer} {forwarded:?}");
        };
        check("192.0.2.7", &["198.51.100.1"], "192.0.2.7");
        check("127.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("127.0.0.1", &[], "127.0.0.1");
        check("127.0.0.1", &["not an address"], "127.0.0.1");
        check(
            "10.0.0.1",
            &["203.0.113.9, 198.51.100.1, 10.0.0.2"],
            "198.51.100.1",
        );
        check("10.0.0.1", &["203.0.113.9", "198.51.100.1"], "198.51.100.1");
        check("::1", &["2001:db8::5"], "2001:db8::5");
    }

    #[test]
    fn a_browser_is_known_for_the_login_it_signed_in_as() {
        let key = ServerKey::new([3; 32]);
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let of = |known: &str| Origin {
            address: Some(address),
            known: Some(known.to_owned()),
        };
        let ada = known(&key, " Ada ");
        assert_eq!(of(&ada).place(&key, "ada"), Place::Known(ada.clone()));
        for forged in [
            "",
            "ada",
            &known(&ServerKey::new([4; 32]), "ada"),
            &known(&key, "bo"),
        ] {
            assert_eq!(of(forged).place(&key, "ada"), Place::Address(address));
        }
        assert_eq!(Origin::default().place(&key, "ada"), Place::Unknown);
    }
}
