//! Archives: members are found, judged by name, and scanned like files. Nothing is ever unpacked to a disk.
//!
//! Not here: single compressed streams; `stream` unpacks those.

pub(crate) mod tar;
pub(crate) mod zip;

use lumos_domain::words::Severity;

use crate::stream::Context;

/// A finding when the name of a member would leave the directory it is unpacked to. `prefix` names the archive kind.
pub(crate) fn judge_name(context: &mut Context<'_>, path: &str, prefix: &str, name: &str) {
    let backwards = name.replace('\\', "/");
    let leaves = backwards.starts_with('/')
        || backwards.split('/').any(|component| component == "..")
        || matches!(backwards.as_bytes(), [drive, b':', ..] if drive.is_ascii_alphabetic());
    if leaves {
        let detail = format!(
            "member `{}` leaves the directory it is unpacked to",
            shown(name)
        );
        context.found(path, &format!("{prefix}-traversal"), Severity::High, detail);
    } else if name.contains('\0') {
        let detail = format!("member `{}` has a NUL in its name", shown(name));
        context.found(path, &format!("{prefix}-odd-name"), Severity::High, detail);
    }
}

/// A member name as it may stand in evidence: control characters escaped, at most 200 characters.
pub(crate) fn shown(name: &str) -> String {
    let escaped = name.chars().flat_map(|c| {
        let (escape, plain) = if c.is_control() {
            (Some(c.escape_default()), None)
        } else {
            (None, Some(c))
        };
        escape.into_iter().flatten().chain(plain)
    });
    escaped.take(200).collect()
}
