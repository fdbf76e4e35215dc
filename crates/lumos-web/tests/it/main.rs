//! The site over a real store: what a person meets from the sign-in page to the proof of their signature.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by stopping there"
)]

mod api;
mod ask;
mod deliveries;
mod events;
mod forms;
mod guard;
mod log_review;
mod packs;
mod pages;
mod site;
