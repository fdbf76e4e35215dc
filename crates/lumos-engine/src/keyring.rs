//! The keys that sign this ledger, as its own entries name them: at each size those sign that the entries below it say,
//! wherever their private halves are. No key signs that no entry names, but the first before it is adopted
//! (docs/decisions/0015).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use lumos_domain::{
    keys::{AddKey, Key, Keys, LogKey},
    stream::Stream,
    words::KeyPlace,
};
use lumos_ledger::{
    Checkpoint, VerifierKey, checkpoint,
    note::{self, Note},
};
use tokio::sync::{Mutex, watch};

use crate::ports::{Clock, KeyStore, Signer, Store};

pub use error::KeyError;
pub use handover::handover;
pub use history::{History, Word};
pub use reach::Servers;

mod error;
mod handover;
mod history;
mod reach;

/// The tables of the keys.
pub(crate) fn schema() -> Vec<&'static str> {
    [handover::SCHEMA, reach::SCHEMA].concat()
}

/// Where keys are kept, and where a new one is made unless it is said otherwise.
#[derive(Clone)]
pub struct Places {
    /// What the settings can reach.
    pub stores: BTreeMap<KeyPlace, Arc<dyn KeyStore>>,
    /// For new keys, the first one too.
    pub new: KeyPlace,
}

impl Places {
    fn store(&self, place: KeyPlace, id: &str) -> Result<&Arc<dyn KeyStore>, KeyError> {
        self.stores.get(&place).ok_or_else(|| KeyError::NoPlace {
            id: id.to_owned(),
            place,
        })
    }
}

/// A key that can be used: its public half by name, and what signs with it.
type Usable = (VerifierKey, Arc<dyn Signer>);

/// What was read of the entries, and the keys in use.
#[derive(Default)]
struct Held {
    version: u64,
    history: History,
    usable: BTreeMap<String, Usable>,
    /// Keys that handed over, and the key beside which they signed last.
    handed_over: BTreeMap<u32, u32>,
}

/// The keys of one ledger.
pub struct KeyRing {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    places: Places,
    origin: String,
    first: AddKey,
    /// The ids of keys that are lost for good, as it was said at the start.
    lost: BTreeSet<String>,
    /// Where several servers have to have the same keys.
    servers: Option<Servers>,
    held: Mutex<Held>,
    vkeys: watch::Sender<Vec<VerifierKey>>,
}

impl KeyRing {
    /// The keys that the entries name; for a ledger that names none yet, the key it is begun with, which is made only
    /// if the ledger is empty: an old ledger without its key is not given another one.
    ///
    /// # Errors
    /// When the first key is missing or cannot be made, or the entries cannot be read.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        places: Places,
        origin: &str,
    ) -> Result<Self, KeyError> {
        let mut held = Held::default();
        held.read(&*store).await?;
        let first = match held.history.now().known.first() {
            Some(first) => as_added(first),
            None => {
                let fresh = store.frontier().await?.size() == 0;
                let (key, signer) = begin(&places, origin, fresh).await?;
                let vkey = verifier(origin, &*signer)?;
                held.usable.insert(vkey.to_string(), (vkey, signer));
                key
            }
        };
        let (vkeys, _) = watch::channel(Vec::new());
        let ring = Self {
            store,
            clock,
            places,
            origin: origin.to_owned(),
            first,
            lost: BTreeSet::new(),
            servers: None,
            held: Mutex::new(held),
            vkeys,
        };
        let held = ring.held.lock().await;
        ring.show(&held.history.now())?;
        drop(held);
        Ok(ring)
    }

    /// The same ring without the keys of these ids, which sign and are lost for good. Nothing is signed while one of
    /// them would have to, so that the only way on is to revoke it.
    ///
    /// # Errors
    /// [`KeyError::NotLost`] when one of them does not sign, or can.
    pub async fn without(mut self, lost: &[String]) -> Result<Self, KeyError> {
        let now = self.held.get_mut().history.now();
        let signing = now.signing(self.clock.now());
        for id in lost {
            let not_lost = |why| KeyError::NotLost {
                id: id.clone(),
                why,
            };
            let key = signing.iter().find(|key| key.key.id() == id);
            let key = key.ok_or_else(|| not_lost("no key of this id signs the ledger"))?;
            if self.opened(&as_added(key)).await.is_ok() {
                return Err(not_lost("it is where its entry says"));
            }
            self.lost.insert(id.clone());
        }
        Ok(self)
    }

    /// The key that the ledger was begun with, for its first entry about keys.
    #[must_use]
    pub const fn first(&self) -> &AddKey {
        &self.first
    }

    /// The keys to verify this ledger with: those that sign it first, the current one before all, then those that
    /// signed it once. What was revoked is not among them.
    #[must_use]
    pub fn vkeys(&self) -> Vec<VerifierKey> {
        self.vkeys.borrow().clone()
    }

    /// Signs a checkpoint with every key that signs at its size. Each signature is checked before it is believed.
    ///
    /// # Errors
    /// [`KeyError`]; then nothing was signed.
    pub async fn sign(&self, checkpoint: &Checkpoint) -> Result<Note, KeyError> {
        let mut held = self.held.lock().await;
        held.read(&*self.store).await?;
        let keys = held.history.at(checkpoint.size());
        self.show(&keys)?;
        let text = checkpoint.to_string();
        let mut lines = Vec::new();
        for key in self.signing(&keys)? {
            let (vkey, signer) = self.usable(&mut held, &key).await?;
            let signature = signer.sign(text.as_bytes()).await?;
            let wrong = |source| KeyError::Wrong {
                id: key.key.id().to_owned(),
                source,
            };
            lines.push(vkey.line(&text, &signature).map_err(wrong)?);
        }
        Ok(Note::new(text, lines).map_err(checkpoint::Error::from)?)
    }

    /// Opens every key that signs at `size`, without signing anything.
    ///
    /// # Errors
    /// When one of them is not there, or another one is in its place.
    pub async fn ready(&self, size: u64) -> Result<(), KeyError> {
        let mut held = self.held.lock().await;
        held.read(&*self.store).await?;
        let keys = held.history.at(size);
        self.show(&keys)?;
        for key in self.signing(&keys)? {
            self.usable(&mut held, &key).await?;
        }
        Ok(())
    }

    /// Says which keys are to be trusted at `size`, where another replica signs.
    ///
    /// # Errors
    /// When the entries cannot be read.
    pub async fn look(&self, size: u64) -> Result<(), KeyError> {
        let mut held = self.held.lock().await;
        held.read(&*self.store).await?;
        self.show(&held.history.at(size))
    }

    /// Those that sign where the entries say `keys`: the first key while they say nothing.
    fn signing(&self, keys: &Keys) -> Result<Vec<AddKey>, KeyError> {
        if keys.known.is_empty() {
            return Ok(vec![self.first.clone()]);
        }
        let signing = keys.signing(self.clock.now());
        if signing.is_empty() {
            return Err(KeyError::NoneSigns);
        }
        if let Some(key) = signing.iter().find(|key| self.lost.contains(key.key.id())) {
            let id = key.key.id().to_owned();
            return Err(KeyError::Lost { id });
        }
        Ok(signing.into_iter().map(as_added).collect())
    }

    /// The key itself, which must be the one that its entry names.
    async fn usable(&self, held: &mut Held, key: &AddKey) -> Result<Usable, KeyError> {
        if let Some(usable) = held.usable.get(key.key.as_str()) {
            return Ok(usable.clone());
        }
        let usable = self.opened(key).await?;
        held.usable
            .insert(key.key.as_str().to_owned(), usable.clone());
        Ok(usable)
    }

    async fn opened(&self, key: &AddKey) -> Result<Usable, KeyError> {
        let (id, place, name) = (key.key.id().to_owned(), key.place, key.name.clone());
        let store = self.places.store(place, &id)?;
        let Some(signer) = store.open(&name).await? else {
            return Err(KeyError::Missing { id, place, name });
        };
        let vkey = verifier(&self.origin, &*signer)?;
        if vkey.to_string() != key.key.as_str() {
            return Err(KeyError::Differs { id, place, name });
        }
        Ok((vkey, signer))
    }

    /// Opens a checkpoint that this ledger signed: by any key its entries name, as long as the checkpoint is not longer
    /// than the ledger was when the key was revoked.
    ///
    /// # Errors
    /// When it is none.
    pub async fn own(&self, bytes: &[u8]) -> Result<Checkpoint, KeyError> {
        let stated = Checkpoint::stated(bytes)?;
        let mut held = self.held.lock().await;
        // Another replica may have changed keys and signed with the new one since.
        held.read(&*self.store).await?;
        let revoked = |key: &LogKey| held.history.revoked_at(key);
        let known = held.history.now().known;
        let keys = known
            .iter()
            .filter(|key| revoked(&key.key).is_none_or(|index| stated.size() <= index))
            .map(|key| &key.key)
            .chain(known.is_empty().then_some(&self.first.key));
        let keys: Vec<VerifierKey> = keys
            .map(|key| key.as_str().parse().map_err(KeyError::Named))
            .collect::<Result<_, _>>()?;
        Ok(Checkpoint::open(bytes, &keys)?.checkpoint)
    }

    /// Makes a key, or takes one that is there already: `name` says how it is called in its place, else it is called
    /// after the ledger and its number. It signs once, to show that it can.
    ///
    /// # Errors
    /// When its place cannot be reached, or does not sign with it.
    pub async fn make(
        &self,
        place: Option<KeyPlace>,
        name: Option<&str>,
    ) -> Result<AddKey, KeyError> {
        let place = place.unwrap_or(self.places.new);
        let number = {
            let mut held = self.held.lock().await;
            held.read(&*self.store).await?;
            held.history.now().known.len() + 1
        };
        let name = name.map_or_else(|| named(place, &self.origin, number), str::to_owned);
        let store = self.places.store(place, &name)?;
        let signer = match store.open(&name).await? {
            Some(signer) => signer,
            None => store.create(&name).await?,
        };
        let key = added(&self.origin, place, &name, &*signer)?;
        self.try_out(&key).await?;
        Ok(key)
    }

    /// Has a key sign something that is no checkpoint.
    ///
    /// # Errors
    /// When it does not.
    pub async fn try_out(&self, key: &AddKey) -> Result<(), KeyError> {
        let text = format!("{} tries this key out\n", self.origin);
        let (vkey, signer) = self.opened(key).await?;
        let signature = signer.sign(text.as_bytes()).await?;
        let id = key.key.id().to_owned();
        let line = vkey.line(&text, &signature);
        line.map(|_| ())
            .map_err(|source| KeyError::Wrong { id, source })
    }

    /// Says which keys are to be trusted where the entries say `keys`.
    fn show(&self, keys: &Keys) -> Result<(), KeyError> {
        let signing = keys.signing(self.clock.now());
        let once = keys.known.iter().filter(|key| {
            key.used && key.good_until.is_none() && !signing.iter().any(|s| s.key == key.key)
        });
        let known = signing.iter().copied().chain(once).map(|key| &key.key);
        let first = keys.known.is_empty().then_some(&self.first.key);
        let vkeys: Vec<VerifierKey> = known
            .chain(first)
            .map(|key| key.as_str().parse().map_err(KeyError::Named))
            .collect::<Result<_, _>>()?;
        self.vkeys.send_if_modified(|shown| {
            let changed = *shown != vkeys;
            *shown = vkeys;
            changed
        });
        Ok(())
    }
}

impl Held {
    /// Reads the entries about keys, if there are new ones.
    async fn read(&mut self, store: &dyn Store) -> Result<(), KeyError> {
        let version = store.stream_version(&Stream::Keys).await?;
        if version != self.version {
            self.history = History::of(&store.stream(&Stream::Keys).await?)?;
            self.version = version;
            // Whose successor was revoked since has to hand over again.
            self.handed_over.clear();
        }
        Ok(())
    }
}

/// The key of a ledger whose entries name none.
async fn begin(
    places: &Places,
    origin: &str,
    fresh: bool,
) -> Result<(AddKey, Arc<dyn Signer>), KeyError> {
    let place = places.new;
    let name = named(place, origin, 1);
    let store = places.store(place, &name)?;
    let signer = match store.open(&name).await? {
        Some(signer) => signer,
        None if fresh => store.create(&name).await?,
        None => {
            let id = "of this ledger".to_owned();
            return Err(KeyError::Missing { id, place, name });
        }
    };
    Ok((added(origin, place, &name, &*signer)?, signer))
}

fn verifier(origin: &str, signer: &dyn Signer) -> Result<VerifierKey, KeyError> {
    VerifierKey::ed25519(origin, signer.public()).map_err(KeyError::Named)
}

fn added(
    origin: &str,
    place: KeyPlace,
    name: &str,
    signer: &dyn Signer,
) -> Result<AddKey, KeyError> {
    let vkey = verifier(origin, signer)?.to_string();
    let key = vkey.parse().map_err(|_| {
        let why = "it is too long for an entry";
        KeyError::Named(note::Error::Key { key: vkey, why })
    })?;
    Ok(AddKey {
        key,
        place,
        name: name.to_owned(),
    })
}

fn as_added(key: &Key) -> AddKey {
    AddKey {
        key: key.key.clone(),
        place: key.place,
        name: key.name.clone(),
    }
}

/// How key number `number` of a ledger is called where it is kept.
fn named(place: KeyPlace, origin: &str, number: usize) -> String {
    match place {
        KeyPlace::File if number == 1 => "ledger.ed25519".to_owned(),
        KeyPlace::File => format!("ledger-{number}.ed25519"),
        KeyPlace::Pkcs11 => format!("lumos {origin} {number}"),
        KeyPlace::Kms => {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
            let origin: String = origin.chars().map(plain).collect();
            format!("alias/lumos/{origin}/{number}")
        }
    }
}
