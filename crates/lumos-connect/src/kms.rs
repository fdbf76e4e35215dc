//! Ledger keys in a key management service that speaks as AWS KMS does: made there, never leaving it, and signing there
//! (`ECC_NIST_EDWARDS25519` with `ED25519_SHA_512`, AWS KMS API reference 2014-11-01). No server that could be installed
//! for a test signs with this curve, so the exchange is tested against one that was written down.

use std::sync::Arc;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use lumos_engine::ports::{Clock, KeyStore, PortError, Signer};
use lumos_http::{Answer, Auth, Client, HttpError, Peer, Secret};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What every call carries.
const MEDIA_TYPE: &str = "application/x-amz-json-1.1";
/// An Ed25519 public key in DER begins so (RFC 8410, section 4).
const SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// A service and who asks it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KmsSettings {
    /// Where it is, such as `https://kms.eu-central-1.amazonaws.com`.
    pub url: String,
    /// Its region.
    pub region: String,
    /// Who asks: a principal that may `kms:GetPublicKey` and `kms:Sign`, and to make keys `kms:CreateKey` and
    /// `kms:CreateAlias`.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
}

/// Why the service did not do what was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the service cannot be reached")]
    Http(#[from] HttpError),
    #[error("the service answered {status}: {kind}: {said}")]
    Refused {
        status: u16,
        kind: String,
        said: String,
    },
    #[error("the service's answer has no usable `{0}`")]
    Answer(&'static str),
    #[error("a key that is made here is called `alias/…`")]
    Name,
}

/// The service.
struct Kms {
    peer: Peer,
    host: String,
    settings: KmsSettings,
    clock: Arc<dyn Clock>,
}

/// The keys of a service.
pub struct KmsKeys(Arc<Kms>);

/// One of them.
struct KmsKey {
    kms: Arc<Kms>,
    id: String,
    public: [u8; 32],
}

impl KmsKeys {
    /// The keys of the service that the settings name.
    ///
    /// # Errors
    /// When the client may not reach it.
    pub fn new(
        settings: &KmsSettings,
        http: &Client,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, HttpError> {
        let bare = settings.url.split_once("://").map_or("", |(_, rest)| rest);
        Ok(Self(Arc::new(Kms {
            peer: http.peer(&settings.url, Auth::None)?,
            host: bare.split('/').next().unwrap_or_default().to_owned(),
            settings: settings.clone(),
            clock,
        })))
    }

    async fn found(&self, name: &str) -> Result<Option<KmsKey>, Failure> {
        let asked = self.0.call("GetPublicKey", &json!({ "KeyId": name })).await;
        let answer = match asked {
            Err(Failure::Refused { kind, .. }) if kind == "NotFoundException" => return Ok(None),
            answer => answer?,
        };
        let der = bytes(&answer, "PublicKey")?;
        let public = der.strip_prefix(SPKI).and_then(|key| key.try_into().ok());
        Ok(Some(KmsKey {
            kms: Arc::clone(&self.0),
            // An alias may come to mean another key; this one cannot.
            id: text(&answer["KeyId"], "KeyId")?,
            public: public.ok_or(Failure::Answer("PublicKey"))?,
        }))
    }

    async fn made(&self, name: &str) -> Result<KmsKey, Failure> {
        if !name.starts_with("alias/") {
            return Err(Failure::Name);
        }
        let wanted = json!({
            "KeySpec": "ECC_NIST_EDWARDS25519", "KeyUsage": "SIGN_VERIFY", "Description": name,
        });
        let answer = self.0.call("CreateKey", &wanted).await?;
        let id = text(&answer["KeyMetadata"]["KeyId"], "KeyMetadata.KeyId")?;
        let alias = json!({ "AliasName": name, "TargetKeyId": id });
        self.0.call("CreateAlias", &alias).await?;
        let key = self.found(name).await?;
        key.ok_or(Failure::Answer("KeyId"))
    }
}

#[async_trait]
impl KeyStore for KmsKeys {
    async fn open(&self, name: &str) -> Result<Option<Arc<dyn Signer>>, PortError> {
        let found = self.found(name).await;
        let found = found.map_err(|e| PortError::new(format!("looking for key `{name}`"), e))?;
        Ok(found.map(|key| Arc::new(key) as _))
    }

    async fn create(&self, name: &str) -> Result<Arc<dyn Signer>, PortError> {
        let made = self.made(name).await;
        let made = made.map_err(|e| PortError::new(format!("making key `{name}`"), e))?;
        Ok(Arc::new(made))
    }
}

#[async_trait]
impl Signer for KmsKey {
    fn public(&self) -> &[u8; 32] {
        &self.public
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PortError> {
        let asked = json!({
            "KeyId": self.id, "Message": STANDARD.encode(message), "MessageType": "RAW",
            "SigningAlgorithm": "ED25519_SHA_512",
        });
        let answer = self.kms.call("Sign", &asked).await;
        let signature = answer.and_then(|answer| bytes(&answer, "Signature"));
        signature.map_err(|e| PortError::new(format!("signing with key `{}`", self.id), e))
    }
}

impl Kms {
    async fn call(&self, action: &str, body: &Value) -> Result<Value, Failure> {
        let body = body.to_string().into_bytes();
        let target = format!("TrentService.{action}");
        let time = stamp(self.clock.now());
        let headers = [
            ("content-type", MEDIA_TYPE),
            ("host", self.host.as_str()),
            ("x-amz-date", time.as_str()),
            ("x-amz-target", target.as_str()),
        ];
        let scope = (self.settings.region.as_str(), "kms");
        let authorization = authorization(&self.settings, scope, "POST", &headers, &body);
        let sent = self
            .peer
            .post("")
            .header("x-amz-date", &time)
            .header("x-amz-target", &target)
            .header("authorization", &authorization)
            .bytes(MEDIA_TYPE, body)
            .send();
        read(&sent.await?)
    }
}

fn read(answer: &Answer) -> Result<Value, Failure> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status == 200 {
        return Ok(body);
    }
    // `NotFoundException`, or with a namespace and `#` before it.
    let kind = body["__type"].as_str().unwrap_or("no reason");
    let kind = kind.rsplit('#').next().unwrap_or_default();
    let said = [&body["message"], &body["Message"]];
    let said = said.iter().find_map(|said| said.as_str());
    Err(Failure::Refused {
        status: answer.status,
        kind: kind.chars().take(100).collect(),
        said: said.unwrap_or_default().chars().take(300).collect(),
    })
}

fn text(value: &Value, what: &'static str) -> Result<String, Failure> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or(Failure::Answer(what))
}

fn bytes(answer: &Value, member: &'static str) -> Result<Vec<u8>, Failure> {
    let text = answer[member].as_str().ok_or(Failure::Answer(member))?;
    STANDARD.decode(text).map_err(|_| Failure::Answer(member))
}

/// The time of a call, to the second.
fn stamp(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The `Authorization` header of a call to `/` (AWS Signature Version 4). `headers` are in order, and among them
/// `x-amz-date`.
fn authorization(
    by: &KmsSettings,
    (region, service): (&str, &str),
    method: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let date = headers.iter().find(|(name, _)| *name == "x-amz-date");
    let time = date.map_or("", |(_, time)| time);
    let day = time.get(..8).unwrap_or_default();
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let request = format!("{method}\n/\n\n{lines}\n{names}\n{}", sha256(body));
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let signed = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        sha256(request.as_bytes())
    );
    let secret = format!("AWS4{}", by.secret_access_key.expose());
    let parts = [day, region, service, "aws4_request", &signed];
    let signature = parts
        .iter()
        .fold(secret.into_bytes(), |key, part| mac(&key, part));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        by.access_key_id,
        hex::encode(signature)
    )
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).expect("because HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The requests `get-vanilla` and `post-vanilla` of AWS's own test suite for Signature Version 4.
    #[test]
    fn a_call_is_signed_as_aws_signs_it() {
        let by = KmsSettings {
            url: String::new(),
            region: String::new(),
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        };
        let time = stamp("2015-08-30T12:36:00Z".parse().unwrap());
        let headers = [("host", "example.amazonaws.com"), ("x-amz-date", &*time)];
        for (method, signature) in [
            (
                "GET",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ] {
            assert_eq!(
                authorization(&by, ("us-east-1", "service"), method, &headers, b""),
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature={signature}"
                )
            );
        }
    }
}
