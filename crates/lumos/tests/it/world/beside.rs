//! Several servers of one ledger: each a home of its own, with the same settings, keys and people.

use super::{Person, World, copy};

impl World {
    /// Another server of this home's ledger, not started. Its models are those of this home.
    pub(crate) fn beside(&self) -> Self {
        let mut world = Self::empty();
        let settings = std::fs::read_to_string(self.path("lumos.yaml")).unwrap();
        let models = format!("root: {}", self.path("models").display());
        world.write("lumos.yaml", settings.replace("root: models", &models));
        std::fs::create_dir(world.path("lumos-data")).unwrap();
        copy(
            &self.path("lumos-data/keys"),
            &world.path("lumos-data/keys"),
        );
        if let Ok(trust) = std::fs::read(self.path("trust")) {
            world.write("trust", trust);
        }
        world.passwords.clone_from(&self.passwords);
        world
    }

    /// Somebody who signed in at another server of this ledger, asking this one.
    pub(crate) fn known(&self, person: &Person) -> Person {
        let mut known = self.with(&person.credential);
        known.password.clone_from(&person.password);
        known
    }

    /// Changes the settings of a server that is not running.
    pub(crate) fn change(&self, change: impl FnOnce(String) -> String) {
        let settings = std::fs::read_to_string(self.path("lumos.yaml")).unwrap();
        self.write("lumos.yaml", change(settings));
    }
}
