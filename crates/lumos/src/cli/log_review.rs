//! The review of the log.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum LogReview {
    /// What is asked for, whether a review is due, and what there is to examine
    Show {
        /// End at the checkpoint over so many entries, if you may sign [default: the last one]
        #[arg(long, value_name = "ENTRIES")]
        size: Option<u64>,
    },
    /// Every entry to examine about one matter, as `show` names them
    Entries {
        matter: String,
        /// Begin at this entry [default: where the last signed range ended]
        #[arg(long, value_name = "ENTRY")]
        from: Option<u64>,
        #[arg(long, value_name = "ENTRIES")]
        size: Option<u64>,
    },
    /// Sign that you examined what `show` has shown you
    Sign(SignRange),
    /// What was signed for so far, the newest 100 first
    List {
        /// Go on before this entry
        #[arg(long, value_name = "ENTRY")]
        before: Option<u64>,
    },
    /// Ask for reviews, or for others; a second person confirms what asks for less, or for other people
    Set {
        /// The role that signs
        #[arg(long)]
        role: String,
        /// Days after the last examined entry until a review is due
        #[arg(long, value_name = "DAYS")]
        every_days: u32,
        /// Days after that until it is overdue
        #[arg(long, value_name = "DAYS")]
        within_days: u32,
        /// The least grade of a signature: recorded or part11
        #[arg(long)]
        grade: Option<String>,
        #[arg(long)]
        reason: String,
    },
    /// Ask for no reviews any more; a second person confirms
    End {
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SignRange {
    /// The first entry, as you were shown
    #[arg(long, value_name = "ENTRY")]
    pub from: u64,
    /// The entries of the checkpoint that the range ends at, as you were shown
    #[arg(long, value_name = "ENTRIES")]
    pub size: u64,
    /// The record that you were shown
    #[arg(long)]
    pub record: String,
    /// nothing-found or found
    #[arg(long)]
    pub finding: String,
    /// What you looked at, and what you found
    #[arg(long)]
    pub reason: String,
    /// Read your password from standard input, for a part 11 signature
    #[arg(long)]
    pub password_stdin: bool,
}
