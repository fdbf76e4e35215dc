//! The page of an evidence pack: one file that needs nothing beside it, for the screen and for paper. It is made from
//! the pack's own content and from nothing else.

use std::error::Error;

use askama::Template;
use lumos_engine::pack::{
    Asked, Pack,
    content::{Change, Dossier, Review, Who},
};

use crate::pages::filters;

pub mod turns;

/// Characters of a digest that are shown where there is little room.
const SHORT: usize = 12;

#[derive(Template)]
#[template(path = "evidence_pack.html")]
struct PackPage<'a> {
    pack: &'a Pack,
}

/// The page of a pack.
///
/// # Errors
/// When it cannot be written.
pub fn page(pack: &Pack) -> Result<String, Box<dyn Error + Send + Sync>> {
    Ok(PackPage { pack }.render()?)
}

#[cfg(test)]
mod tests;

impl PackPage<'_> {
    fn short(&self, digest: &impl ToString) -> String {
        let digest = digest.to_string();
        let hex = digest.strip_prefix("sha256:").unwrap_or(&digest);
        hex.chars().take(SHORT).collect()
    }

    fn names(&self, people: &[Who]) -> String {
        let names: Vec<&str> = people.iter().map(|who| who.name.as_str()).collect();
        names.join(", ")
    }

    fn time(&self, time: &jiff::Timestamp) -> String {
        time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    }

    fn first_wrong(&self, change: &Change) -> bool {
        !change.is_matched()
    }

    fn is_period(&self) -> bool {
        matches!(self.pack.asked, Asked::Period { .. })
    }

    fn approvals<'d>(&self, dossier: &'d Dossier) -> Vec<&'d Review> {
        let reviews = dossier.reviews.iter();
        reviews.filter(|review| review.approval.is_some()).collect()
    }

    fn anchor(&self, dossier: &Dossier) -> String {
        format!(
            "release-{}-{}",
            dossier.release.model, dossier.release.version
        )
    }
}
