//! Ledger keys on a token behind PKCS#11, such as an HSM: they are made there, marked so that they cannot leave it, and
//! sign there (`CKM_EDDSA` over Ed25519, PKCS#11 v3.0, 2.3.14). Calls block, and are made one at a time on threads that
//! may. After any failure everything is opened anew, so that a token that comes back is found.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error as TokenError, RvError},
    mechanism::{
        Mechanism,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};
use lumos_engine::ports::{KeyStore, PortError, Signer};
use lumos_http::Secret;
use serde::Deserialize;

/// The curve as PKCS#11 names it: the `PrintableString` `edwards25519`, in DER.
const CURVE_NAME: &[u8] = b"\x13\x0cedwards25519";
/// The same as newer tokens name it: the object identifier 1.3.101.112 (RFC 8410), in DER.
const CURVE_OID: &[u8] = b"\x06\x03\x2b\x65\x70";

/// Where a token is and how it is opened.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// The library of its maker.
    pub module: PathBuf,
    /// The label of the token.
    pub token: String,
    /// The PIN of its user.
    pub pin: Secret,
}

/// Why a token did not do what was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the token or its library refuses")]
    Token(#[from] TokenError),
    #[error("no slot holds a token with the label `{0}`")]
    NoToken(String),
    #[error("{0} keys have this label; a label must be of one key")]
    Ambiguous(usize),
    #[error("its public half is not there, or is no Ed25519 key")]
    NoPublic,
    #[error("the call broke off")]
    Broken,
}

/// A token.
pub struct Token {
    settings: TokenSettings,
    open: Mutex<Option<Open>>,
}

/// A token that was opened and logged in to.
struct Open {
    context: Pkcs11,
    session: Session,
    keys: HashMap<String, (ObjectHandle, [u8; 32])>,
}

/// The keys of a token.
pub struct TokenKeys(Arc<Token>);

/// One of them.
struct TokenKey {
    token: Arc<Token>,
    label: String,
    public: [u8; 32],
}

impl TokenKeys {
    /// The keys of the token that the settings name. It is opened when it is first needed.
    #[must_use]
    pub fn new(settings: &TokenSettings) -> Self {
        Self(Arc::new(Token {
            settings: settings.clone(),
            open: Mutex::new(None),
        }))
    }

    fn key(&self, label: &str, public: [u8; 32]) -> Arc<dyn Signer> {
        Arc::new(TokenKey {
            token: Arc::clone(&self.0),
            label: label.to_owned(),
            public,
        })
    }
}

#[async_trait]
impl KeyStore for TokenKeys {
    async fn open(&self, name: &str) -> Result<Option<Arc<dyn Signer>>, PortError> {
        let label = name.to_owned();
        let found = ask(&self.0, format!("looking for key `{name}`"), move |open| {
            Ok(open.find(&label)?.map(|(_, public)| public))
        });
        Ok(found.await?.map(|public| self.key(name, public)))
    }

    async fn create(&self, name: &str) -> Result<Arc<dyn Signer>, PortError> {
        let label = name.to_owned();
        let made = ask(&self.0, format!("making key `{name}`"), move |open| {
            open.generate(&label)
        });
        Ok(self.key(name, made.await?))
    }
}

#[async_trait]
impl Signer for TokenKey {
    fn public(&self) -> &[u8; 32] {
        &self.public
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PortError> {
        let (label, message) = (self.label.clone(), message.to_vec());
        let doing = format!("signing with key `{label}`");
        ask(&self.token, doing, move |open| open.sign(&label, &message)).await
    }
}

/// Does something with a token, on a thread that may block.
async fn ask<T: Send + 'static>(
    token: &Arc<Token>,
    doing: String,
    work: impl FnOnce(&mut Open) -> Result<T, Failure> + Send + 'static,
) -> Result<T, PortError> {
    let doing = format!("{doing} on token `{}`", token.settings.token);
    let token = Arc::clone(token);
    let asked = tokio::task::spawn_blocking(move || token.with(work)).await;
    let answer = asked.unwrap_or(Err(Failure::Broken));
    answer.map_err(|failure| PortError::new(doing, failure))
}

impl Token {
    fn with<T>(&self, work: impl FnOnce(&mut Open) -> Result<T, Failure>) -> Result<T, Failure> {
        // What a call that broke off left behind is thrown away below, not used.
        let mut held = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = match held.take() {
            Some(open) => open,
            None => Open::new(&self.settings)?,
        };
        match work(&mut open) {
            Ok(done) => {
                *held = Some(open);
                Ok(done)
            }
            Err(failure) => {
                open.close();
                Err(failure)
            }
        }
    }
}

impl Open {
    fn new(settings: &TokenSettings) -> Result<Self, Failure> {
        let context = Pkcs11::new(&settings.module)?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error.into()),
        }
        match Self::session(&context, settings) {
            Ok(session) => Ok(Self {
                context,
                session,
                keys: HashMap::new(),
            }),
            Err(failure) => {
                finalize(context);
                Err(failure)
            }
        }
    }

    fn session(context: &Pkcs11, settings: &TokenSettings) -> Result<Session, Failure> {
        for slot in context.get_slots_with_initialized_token()? {
            if context.get_token_info(slot)?.label() != settings.token {
                continue;
            }
            let session = context.open_rw_session(slot)?;
            let pin = AuthPin::new(settings.pin.expose().into());
            match session.login(UserType::User, Some(&pin)) {
                Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                    return Ok(session);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::NoToken(settings.token.clone()))
    }

    fn close(self) {
        drop(self.session);
        finalize(self.context);
    }

    /// The private key with this label and its public half.
    fn find(&mut self, label: &str) -> Result<Option<(ObjectHandle, [u8; 32])>, Failure> {
        if let Some(found) = self.keys.get(label) {
            return Ok(Some(*found));
        }
        let Some(private) = self.only(ObjectClass::PRIVATE_KEY, label)? else {
            return Ok(None);
        };
        let public = self.only(ObjectClass::PUBLIC_KEY, label)?;
        let found = (private, self.public(public.ok_or(Failure::NoPublic)?)?);
        self.keys.insert(label.to_owned(), found);
        Ok(Some(found))
    }

    fn only(&self, class: ObjectClass, label: &str) -> Result<Option<ObjectHandle>, Failure> {
        let wanted = [
            Attribute::Class(class),
            Attribute::KeyType(KeyType::EC_EDWARDS),
            Attribute::Label(label.as_bytes().to_vec()),
        ];
        let found = self.session.find_objects(&wanted)?;
        match found[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(Failure::Ambiguous(found.len())),
        }
    }

    /// The 32 bytes of a public key: the point alone, or as an OCTET STRING in DER.
    fn public(&self, key: ObjectHandle) -> Result<[u8; 32], Failure> {
        let asked = [AttributeType::EcPoint];
        let point = self.session.get_attributes(key, &asked)?;
        let Some(Attribute::EcPoint(point)) = point.into_iter().next() else {
            return Err(Failure::NoPublic);
        };
        let bare = point.strip_prefix(b"\x04\x20").unwrap_or(&point);
        bare.try_into().map_err(|_| Failure::NoPublic)
    }

    fn generate(&mut self, label: &str) -> Result<[u8; 32], Failure> {
        let made = match self.generate_on(label, CURVE_NAME) {
            Err(TokenError::Pkcs11(
                RvError::CurveNotSupported
                | RvError::DomainParamsInvalid
                | RvError::AttributeValueInvalid
                | RvError::TemplateInconsistent,
                _,
            )) => self.generate_on(label, CURVE_OID),
            made => made,
        };
        let (public, private) = made?;
        let public = self.public(public)?;
        self.keys.insert(label.to_owned(), (private, public));
        Ok(public)
    }

    fn generate_on(
        &self,
        label: &str,
        curve: &[u8],
    ) -> Result<(ObjectHandle, ObjectHandle), TokenError> {
        let named = || {
            let label = label.as_bytes().to_vec();
            [Attribute::Id(label.clone()), Attribute::Label(label)]
        };
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(curve.to_vec()),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        let public: Vec<_> = named().into_iter().chain(public).collect();
        let private: Vec<_> = named().into_iter().chain(private).collect();
        let mechanism = Mechanism::EccEdwardsKeyPairGen;
        self.session
            .generate_key_pair(&mechanism, &public, &private)
    }

    fn sign(&mut self, label: &str, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let Some((private, _)) = self.find(label)? else {
            return Err(Failure::NoPublic);
        };
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
        Ok(self.session.sign(&mechanism, private, message)?)
    }
}

/// Lets go of the library: it looks for its tokens anew only then.
fn finalize(context: Pkcs11) {
    if let Err(error) = context.finalize() {
        tracing::warn!(problem = %error, "the library of a token could not be closed");
    }
}
