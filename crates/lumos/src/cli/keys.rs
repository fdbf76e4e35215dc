//! The options of `lumos key`.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    #[command(flatten)]
    Ledger(LedgerKey),
    /// Write the key files of --data into one encrypted file; a passphrase comes from standard input
    Backup {
        /// The file to write; it must not be there
        into: PathBuf,
        /// Whom it is for instead of a passphrase, an age recipient (age1…); may be repeated
        #[arg(long, value_name = "AGE1…")]
        recipient: Vec<String>,
    },
    /// Write back the key files that are missing in --data; no server may run on it
    Restore {
        from: PathBuf,
        /// The identity it was written for, a file of age-keygen; else the passphrase comes from standard input
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
    },
}

/// What the ledger records.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerKey {
    /// Every key of the ledger and what it does
    List,
    /// Make a key, or take one that is there already; it signs nothing yet
    Create {
        /// file, pkcs11 or kms [default: the settings' own]
        #[arg(long)]
        place: Option<String>,
        /// How it is or shall be called there: a file, a label, a key id or alias
        #[arg(long)]
        name: Option<String>,
    },
    /// Have a key sign in place of the present one; a second person confirms
    Rotate {
        /// Its id, as `key list` shows it
        key: String,
        /// How many days the present one signs beside it
        #[arg(long, default_value_t = 30)]
        overlap_days: u16,
        #[arg(long)]
        reason: String,
    },
    /// Take a key out of use at once, as when it was stolen; one person is enough
    Revoke {
        key: String,
        /// Up to how many entries its checkpoints still count [default: what is published now]
        #[arg(long, value_name = "ENTRIES")]
        good_until: Option<u64>,
        #[arg(long)]
        reason: String,
    },
}
