//! Messages to the webhooks of others, signed as Standard Webhooks says (v1, HMAC-SHA256). Not here: what is brought to
//! whom, and when again.

use std::{fmt, str::FromStr, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use lumos_engine::ports::{Message, PortError, Received, Webhook};
use lumos_http::{Answer, Auth, Client, HttpError, Peer, Secret};
use sha2::Sha256;

/// How long a receiver may take. It notes the message and works later.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
/// Bytes of a secret, as the specification bounds them.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Secrets that sign at the same time while one takes the place of another.
pub const SECRETS_MAX: usize = 4;
/// Characters of a refusal that are kept.
const PROBLEM_CHARS: usize = 300;

/// Why a webhook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// A secret is not one.
    #[error(
        "reading a webhook secret: it is not `whsec_` and the base64 of 24 to 64 bytes; `lumos runtime secret` makes one"
    )]
    Secret,
    /// None or too many.
    #[error("reading webhook secrets: there must be one, or up to {SECRETS_MAX} while they change")]
    Count,
    /// The address cannot be used.
    #[error(transparent)]
    Http(#[from] HttpError),
}

impl WebhookError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Secret | Self::Count => "webhook-secret",
            Self::Http(error) => error.code(),
        }
    }
}

/// A secret that LUMOS and a receiver share: `whsec_` and base64.
#[derive(Clone)]
pub struct SigningSecret(Vec<u8>);

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl FromStr for SigningSecret {
    type Err = WebhookError;

    fn from_str(text: &str) -> Result<Self, WebhookError> {
        let bytes = text
            .strip_prefix("whsec_")
            .and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len()));
        bytes.map(Self).ok_or(WebhookError::Secret)
    }
}

impl SigningSecret {
    /// A secret of these random bytes, as text to give to a receiver.
    #[must_use]
    pub fn text_of(bytes: &[u8; 32]) -> String {
        format!("whsec_{}", STANDARD.encode(bytes))
    }

    /// `v1,` and the signature over `id.timestamp.body`.
    fn sign(&self, id: &str, sent_s: i64, body: &[u8]) -> Result<String, PortError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .map_err(|error| PortError::new("signing a webhook", error))?;
        mac.update(format!("{id}.{sent_s}.").as_bytes());
        mac.update(body);
        Ok(format!(
            "v1,{}",
            STANDARD.encode(mac.finalize().into_bytes())
        ))
    }
}

/// A webhook at an address.
#[derive(Debug)]
pub struct HttpWebhook {
    peer: Peer,
    secrets: Vec<SigningSecret>,
    /// The path of its address: for many receivers whoever knows it may send.
    path: Secret,
}

impl HttpWebhook {
    /// The webhook at `address`, each message to it signed with every one of `secrets`: a receiver who knows one of them
    /// believes it, so that secrets can change without a gap.
    ///
    /// # Errors
    /// When a secret is none, or the client may not reach the address.
    pub fn new(http: &Client, address: &str, secrets: &[Secret]) -> Result<Self, WebhookError> {
        let secrets: Vec<SigningSecret> = secrets
            .iter()
            .map(|secret| secret.expose().parse())
            .collect::<Result<_, _>>()?;
        if secrets.is_empty() || secrets.len() > SECRETS_MAX {
            return Err(WebhookError::Count);
        }
        let peer = http.peer(address, Auth::None)?;
        let path = address.splitn(4, '/').nth(3).unwrap_or_default();
        Ok(Self {
            peer,
            secrets,
            path: Secret::new(path),
        })
    }

    fn signatures(&self, message: &Message) -> Result<String, PortError> {
        let sent = message.sent.as_second();
        let sign = |secret: &SigningSecret| secret.sign(&message.id, sent, &message.body);
        let all: Vec<String> = self.secrets.iter().map(sign).collect::<Result<_, _>>()?;
        Ok(all.join(" "))
    }
}

#[async_trait]
impl Webhook for HttpWebhook {
    async fn deliver(&self, message: &Message) -> Result<Received, PortError> {
        let failed = |error: HttpError| PortError::new("bringing an entry to a webhook", error);
        let sent = self
            .peer
            .post("")
            .hide(&self.path)
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", &message.sent.as_second().to_string())
            .header("webhook-signature", &self.signatures(message)?)
            .bytes("application/cloudevents+json", message.body.clone())
            .send();
        let answer = tokio::time::timeout(ANSWERED_WITHIN, sent).await;
        let answer =
            answer.map_err(|late| PortError::new("bringing an entry to a webhook", late))?;
        Ok(read(&answer.map_err(failed)?, message.sent))
    }
}

fn read(answer: &Answer, now: Timestamp) -> Received {
    match answer.status {
        200..=299 => Received::Taken,
        410 => Received::Gone,
        status => Received::Refused {
            status,
            // Whatever a receiver says is shown to people: no control characters, and not much.
            problem: String::from_utf8_lossy(&answer.body)
                .chars()
                .filter(|c| !c.is_control())
                .take(PROBLEM_CHARS)
                .collect(),
            after_s: retry_after(answer.header("retry-after"), now),
        },
    }
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    u64::try_from(date.duration_since(now).as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_example_of_the_reference_libraries_is_signed_as_there() {
        let secret: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let signed = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signed.unwrap(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_secret_is_neither_short_nor_shown() {
        for text in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_c2hvcnQ=",
            "whsec_not base64",
        ] {
            let read: Result<SigningSecret, _> = text.parse();
            assert_eq!(read.unwrap_err().code(), "webhook-secret");
        }
        let text = SigningSecret::text_of(&[7; 32]);
        let read: SigningSecret = text.parse().unwrap();
        assert_eq!(format!("{read:?}"), "***");
    }

    #[test]
    fn a_receiver_may_say_when() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        for (text, seconds) in [
            ("", None),
            ("120", Some(120)),
            ("-1", None),
            ("soon", None),
            ("Sat, 21 Nov 2026 12:01:00 GMT", Some(60)),
            ("Sat, 21 Nov 2026 11:00:00 GMT", None),
        ] {
            assert_eq!(retry_after(text, now), seconds, "{text}");
        }
    }
}
