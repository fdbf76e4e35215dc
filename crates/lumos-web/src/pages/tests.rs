//! Every page, rendered from samples that hold hostile text, must keep the promises of the house: labels,
//! tokens in forms, nothing inline, everything escaped.

use askama::Template;

use super::{
    ask, frame::Frame, inbox, ledger, log_review, models, oops, password, policies, proposals,
    release, releases, runtime, sign_in, systems,
};
use crate::problem::Problem;

/// Every page with its name.
fn pages() -> Vec<(&'static str, String)> {
    let hostile = "<script>alert(1)</script>";
    let html = |page: &dyn askama::DynTemplate| page.dyn_render().unwrap();
    let sign_in = sign_in::SignInPage {
        frame: Frame::bare("Sign in"),
        next: "/\"><script>".into(),
        login: hostile.into(),
        problem: Some(Problem::bad("wrong-credentials", hostile)),
    };
    let password = password::PasswordPage {
        frame: Frame::sample(),
        forced: true,
        chars_min: 12,
    };
    let oops = oops::OopsPage {
        frame: Frame::bare("It did not work"),
        status: 409,
        code: "stale-record".into(),
        detail: hostile.into(),
        next: "Load it again.",
        back: "/releases/triage/1.2".into(),
    };
    vec![
        ("sign in", html(&sign_in)),
        ("password", html(&password)),
        ("oops", html(&oops)),
        ("inbox", html(&inbox::InboxPage::sample())),
        ("empty inbox", html(&inbox::InboxPage::empty())),
        ("releases", html(&releases::ReleasesPage::sample())),
        ("release", html(&release::ReleasePage::sample())),
        ("bare release", html(&release::ReleasePage::bare())),
        ("ledger", html(&ledger::LedgerPage::sample())),
        ("entry", html(&ledger::entry::EntryPage::sample())),
        (
            "log review",
            html(&log_review::LogReviewPage::sample(hostile)),
        ),
        (
            "log review of somebody else",
            html(&log_review::LogReviewPage::refused(hostile)),
        ),
        (
            "log review, nothing left",
            html(&log_review::LogReviewPage::empty()),
        ),
        (
            "entries to examine",
            html(&log_review::EntriesPage::sample()),
        ),
        ("models", html(&models::ModelsPage::sample())),
        ("model", html(&models::ModelPage::sample())),
        ("systems", html(&systems::SystemsPage::sample())),
        ("policies", html(&policies::PoliciesPage::sample())),
        (
            "proposals",
            html(&proposals::ProposalsPage::sample(hostile)),
        ),
        ("ask", html(&ask::AskPage::sample(hostile))),
        ("ask, no answer", html(&ask::AskPage::empty())),
        ("runtime", html(&runtime::RuntimePage::sample())),
    ]
}

/// The start tags of `name` in `html`, with their attributes.
fn tags<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let open = format!("<{name}");
    let starts = html.match_indices(&open).filter_map(|(at, _)| {
        let rest = &html[at + 1..];
        let end = rest.find('>')?;
        let tag = &rest[..end];
        let after = tag[name.len()..].chars().next();
        after
            .is_none_or(|c| c.is_whitespace() || c == '/')
            .then_some(tag)
    });
    starts.collect()
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let at = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    tag[at..].split('"').next()
}

#[test]
fn every_field_has_a_label() {
    for (page, html) in pages() {
        for kind in ["input", "textarea", "select"] {
            for tag in tags(&html, kind) {
                if attribute(tag, "type") == Some("hidden") {
                    continue;
                }
                let id = attribute(tag, "id").unwrap_or_else(|| panic!("{page}: no id: {tag}"));
                assert!(
                    html.contains(&format!("<label for=\"{id}\"")),
                    "{page}: no label: {tag}"
                );
            }
        }
    }
}

#[test]
fn every_form_that_changes_something_brings_its_token() {
    let mut seen = 0;
    for (page, html) in pages() {
        for form in html.split("<form").skip(1) {
            let form = form.split("</form>").next().unwrap_or_default();
            // Questions change nothing, and their addresses can be kept.
            if form.contains("method=\"get\" action=\"/ask/") {
                continue;
            }
            assert!(form.contains("method=\"post\""), "{page}: {form}");
            // Nobody has a session before signing in; that form is bound to the site by the browser.
            if form.contains("action=\"/sign-in\"") {
                continue;
            }
            seen += 1;
            let token = "name=\"csrf\" value=\"csrf-of-this-session\"";
            assert!(form.contains(token), "{page}: no token: {form}");
            let leaves = form.contains("action=\"/sign-out\"");
            assert!(
                leaves || form.contains("name=\"once\""),
                "{page}: acts twice: {form}"
            );
        }
    }
    assert!(seen > 15, "only {seen} forms were looked at");
}

#[test]
fn nothing_is_inline_and_everything_is_escaped() {
    for (page, html) in pages() {
        for tag in tags(&html, "script") {
            let from = attribute(tag, "src").unwrap_or_else(|| panic!("{page}: inline script"));
            assert!(from.starts_with("/assets/"), "{page}: {from}");
        }
        assert!(tags(&html, "style").is_empty(), "{page}: inline style");
        for forbidden in [
            "alert(1)</script>",
            " style=",
            " onclick=",
            " onload=",
            "href=\"javascript:",
            "accesskey",
        ] {
            assert!(!html.contains(forbidden), "{page}: holds {forbidden}");
        }
    }
}

#[test]
fn every_page_can_be_walked_by_ear_and_keyboard() {
    for (page, html) in pages() {
        for needed in [
            "<html lang=\"en\">",
            "name=\"viewport\"",
            "<a class=\"skip\" href=\"#main\">",
            "<main id=\"main\"",
            "<footer>",
        ] {
            assert!(html.contains(needed), "{page}: lacks {needed}");
        }
        assert_eq!(
            tags(&html, "h1").len(),
            1,
            "{page}: one heading names the page"
        );
        for cell in tags(&html, "th") {
            assert!(attribute(cell, "scope").is_some(), "{page}: {cell}");
        }
        let mut ids: Vec<_> = html
            .split(" id=\"")
            .skip(1)
            .filter_map(|s| s.split('"').next())
            .collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "{page}: an id stands twice");
        for named in html
            .split("aria-labelledby=\"")
            .skip(1)
            .filter_map(|s| s.split('"').next())
        {
            assert!(
                ids.binary_search(&named).is_ok(),
                "{page}: nothing is called {named}"
            );
        }
    }
}

#[test]
fn a_state_is_a_word_and_a_shape() {
    for (page, html) in pages() {
        for state in html.split("<span class=\"state ").skip(1) {
            let end = state
                .find("</span> ")
                .unwrap_or_else(|| panic!("{page}: no shape: {state:.60}"));
            let word = state[end..].trim_start_matches("</span> ");
            assert!(state[..end].contains("aria-hidden=\"true\">"), "{page}");
            assert!(!word.starts_with(['<', ' ']), "{page}: {word:.40}");
        }
    }
}

#[test]
fn banners_stand_on_every_page_of_a_sandbox_that_only_observes() {
    for (page, html) in pages() {
        if ["sign in", "oops"].contains(&page) {
            continue;
        }
        assert!(html.contains("Sandbox."), "{page}");
        assert!(
            html.contains("Observe only.") && html.contains("production"),
            "{page}"
        );
    }
}

#[test]
fn a_reviewer_reads_what_blocks_then_what_changed_then_signs() {
    let html = release::ReleasePage::sample().render().unwrap();
    let places = [
        "id=\"turn\"",
        "id=\"blocks\"",
        "id=\"changed\"",
        "id=\"evidence\"",
        "id=\"sign\"",
    ];
    let found: Vec<_> = places.iter().map(|place| html.find(place)).collect();
    assert!(
        found.iter().all(Option::is_some) && found.is_sorted(),
        "{found:?}"
    );
    // The record that is signed is shown and sent, with the meaning of each verdict.
    let record = lumos_domain::id::Digest::of(b"record").to_string();
    assert!(html.contains(&format!("name=\"record\" value=\"{record}\"")));
    assert_eq!(html.matches("I reviewed this record and").count(), 4);
    assert!(html.contains("Whose turn") && html.contains("Next step"));
}

#[test]
fn the_style_sheet_is_small_and_knows_both_themes() {
    let css = include_str!("../../assets/lumos.css");
    assert!(css.len() < 20_000, "{}", css.len());
    for needed in [
        "prefers-color-scheme: dark",
        "@media print",
        "tabular-nums",
        ":focus-visible",
        "max-width: 40rem",
    ] {
        assert!(css.contains(needed), "{needed}");
    }
    let address = Frame::sample().asset("lumos.css");
    assert!(address.starts_with("/assets/") && address.ends_with("/lumos.css"));
    assert_eq!(address.len(), "/assets//lumos.css".len() + 32);
}
