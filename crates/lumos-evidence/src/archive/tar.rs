//! Tar archives (POSIX ustar, GNU long names, pax paths), read front to back.
//!
//! Not here: sparse files and other rarities; they end the scan and are reported.

use std::io::{self, Read};

use lumos_domain::words::Severity;

use super::{judge_name, shown};
use crate::stream::{self, Context};

const BLOCK: usize = 512;
const LONG_NAME_MAX: u64 = 64 * 1024;

/// Scans each member.
pub(crate) fn scan(
    context: &mut Context<'_>,
    path: &str,
    bytes: &mut dyn Read,
    depth: u32,
) -> io::Result<()> {
    let mut long_name = None;
    for _ in 0..context.limits.members_max {
        let mut block = [0; BLOCK];
        if let Err(e) = bytes.read_exact(&mut block) {
            if e.kind() == io::ErrorKind::UnexpectedEof {
                return broken(context, path, "the archive ends without its end mark");
            }
            return Err(e);
        }
        if block.iter().all(|b| *b == 0) {
            return Ok(());
        }
        let Some(size) = number(&block[124..136]).filter(|_| checksum_holds(&block)) else {
            return broken(context, path, "a member header does not follow the format");
        };
        let padding = size.wrapping_neg() % BLOCK as u64;
        let mut body = bytes.take(size);
        match block[156] {
            kind @ (b'L' | b'x') if size <= LONG_NAME_MAX => {
                let mut text = Vec::new();
                body.read_to_end(&mut text)?;
                long_name = if kind == b'L' {
                    Some(until_nul(&text))
                } else {
                    pax_path(&text).or(long_name)
                };
            }
            b'0' | 0 | b'7' => {
                let name = long_name.take().unwrap_or_else(|| name_of(&block));
                judge_name(context, path, "tar", &name);
                let inner = format!("{path}!{}", shown(&name));
                stream::member(context, &inner, Some(size), &mut body, depth + 1)?;
            }
            kind @ (b'1' | b'2' | b'5' | b'g') => {
                let name = long_name.take().unwrap_or_else(|| name_of(&block));
                judge_name(context, path, "tar", &name);
                if matches!(kind, b'1' | b'2') {
                    let target = until_nul(&block[157..257]);
                    let detail = format!(
                        "member `{}` is a link to `{}`",
                        shown(&name),
                        shown(&target)
                    );
                    context.found(path, "tar-link", Severity::High, detail);
                }
            }
            _ => {
                return broken(
                    context,
                    path,
                    "a member is of a kind this scanner does not read",
                );
            }
        }
        let left = body.limit();
        let missing = crate::digest::drain(&mut body)? < left;
        if missing || crate::digest::drain(&mut bytes.take(padding))? < padding {
            return broken(context, path, "the archive ends inside a member");
        }
    }
    context.unfinished(path, "the archive has more members than are scanned");
    Ok(())
}

fn broken(context: &mut Context<'_>, path: &str, what: &str) -> io::Result<()> {
    context.found(path, "tar-malformed", Severity::Medium, what);
    context.unfinished(path, what);
    Ok(())
}

/// An octal number, or a base-256 one when the top bit is set.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, rest @ ..] = field {
        return rest
            .iter()
            .try_fold(0_u64, |n, b| n.checked_mul(256)?.checked_add(u64::from(*b)));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() {
        Some(0)
    } else {
        u64::from_str_radix(text, 8).ok()
    }
}

/// The header checksum is the sum of its bytes with the checksum field as spaces.
fn checksum_holds(block: &[u8; BLOCK]) -> bool {
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(i, b)| {
            if (148..156).contains(&i) {
                32
            } else {
                u64::from(*b)
            }
        })
        .sum();
    number(&block[148..156]) == Some(sum)
}

fn name_of(block: &[u8; BLOCK]) -> String {
    let name = until_nul(&block[..100]);
    let prefix = until_nul(&block[345..500]);
    if prefix.is_empty() {
        name
    } else {
        format!("{prefix}/{name}")
    }
}

fn until_nul(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The `path` record of a pax header: lines of `LENGTH KEY=VALUE`.
fn pax_path(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let records = text.split('\n').filter_map(|record| record.split_once(' '));
    records
        .filter_map(|(_, pair)| pair.strip_prefix("path="))
        .next_back()
        .map(str::to_owned)
}
