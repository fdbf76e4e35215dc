//! People and what they may do: accounts, roles, tokens.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Sign in and keep the credential for this server; the password comes from standard input
    Login { login: String },
    /// Sign out and forget the credential
    Logout,
    /// Who am I?
    Whoami,
    /// Everybody
    List,
    /// Add a person or a service; a first password is printed once
    Add {
        login: String,
        #[arg(long)]
        name: String,
        #[arg(long)]
        service: bool,
    },
    /// Give somebody a first password, printed once: they have none yet, or lost theirs
    Invite { login: String },
    /// Change your password: present and new, a line each on standard input
    Password,
    /// Take an account out of use
    Suspend {
        login: String,
        #[arg(long)]
        reason: String,
    },
    /// Leave the sandbox: name the second founder. Every approval given in it ends
    LeaveSandbox { founder: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The roles and their rights
    List,
    /// Define a role, or change its rights
    Define {
        role: String,
        /// Its rights; none for a role that only sits in reviews
        rights: Vec<String>,
    },
    /// Grant a role to a login
    Grant {
        login: String,
        role: String,
        #[arg(long)]
        model: Option<String>,
        #[arg(long)]
        unit: Option<String>,
    },
    /// Take a role back
    Revoke {
        login: String,
        role: String,
        #[arg(long)]
        model: Option<String>,
        #[arg(long)]
        unit: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Issue a token for yourself, or for a service
    Issue {
        #[arg(long)]
        purpose: String,
        /// A right it is limited to; may be repeated
        #[arg(long, required = true)]
        right: Vec<String>,
        #[arg(long, default_value_t = 90)]
        days: u32,
        /// The service it is for
        #[arg(long)]
        service: Option<String>,
    },
    /// Your tokens, or a service's
    List {
        #[arg(long)]
        service: Option<String>,
    },
    /// Revoke one
    Revoke {
        token: String,
        #[arg(long)]
        service: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OutsideAgent {
    /// The outside agents, and what they alone record
    List,
    /// Say which service is an outside agent; a second person confirms
    Define {
        /// Its name, as policy and entries speak of it
        agent: String,
        /// The login of the service that it acts as
        #[arg(long, value_name = "LOGIN")]
        account: String,
        /// A kind of evidence that it alone records; may be repeated
        #[arg(long, value_name = "KIND")]
        evidence: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// The login or the id of somebody who is suspended; without a reason, what keeps their name is shown
    pub person: String,
    /// Why; a second person confirms, and it waits for every period and hold
    #[arg(long)]
    pub reason: Option<String>,
    /// Take a waiting erasure back
    #[arg(long, requires = "reason")]
    pub withdraw: bool,
    /// Look through every readable text for the name and the login; an erasure leaves what others wrote
    #[arg(long, conflicts_with = "reason")]
    pub texts: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Hold {
    /// The legal holds that are set
    List,
    /// Set a hold: nothing that it covers is erased
    Set {
        /// person/LOGIN, model/M or release/M/V
        scope: String,
        #[arg(long)]
        reason: String,
    },
    /// Lift a hold; a second person confirms
    Lift {
        hold: String,
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Retention {
    /// How many days records stay readable after they were last in effect, class by class
    Show,
    /// Set the days of a class; a second person confirms a shorter time
    Set {
        class: String,
        days: u32,
        #[arg(long)]
        reason: String,
    },
}
