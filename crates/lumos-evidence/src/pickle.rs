//! What a pickle would do when loaded, found by walking its opcodes and never by loading it.
//!
//! Protocols 0 to 5, as `CPython`'s `pickletools` and `_pickle.c` define them. The walk keeps an abstract stack and
//! memo, so that a name is followed through `PUT`, `GET`, `MEMOIZE` and `DUP` to the `STACK_GLOBAL` that uses it.
//! Payloads are skipped. Not here: what the findings mean for a release; policy says that.

pub mod globals;
mod input;
mod joblib;
mod machine;

use std::{
    collections::BTreeSet,
    io::{self, Read},
};

use lumos_domain::words::Severity;

use self::{
    globals::Trust,
    input::Input,
    machine::{Halt, Machine},
};

/// What one pickle file, with all the pickles in it, would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Each `module`, `name` it imports, sorted.
    pub globals: BTreeSet<(String, String)>,
    /// How often it imports something whose name is computed, not written.
    pub computed_names: u64,
    /// How often it calls something that is not directly an imported name.
    pub computed_calls: u64,
    /// How often it uses an extension code of `copyreg`, which names nothing by itself.
    pub extension_codes: u64,
    /// How many pickles follow each other.
    pub pickles: u64,
    /// How the walk ended.
    pub end: End,
}

/// How the walk over a pickle ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// At the `STOP` of the last pickle, which is the end of the bytes.
    Clean,
    /// At a `STOP` after which other bytes follow that are no pickle.
    Trailing,
    /// At something Python could not go on from either.
    Malformed {
        /// Where, in bytes from the start.
        offset: u64,
        /// What was wrong.
        what: &'static str,
        /// Whether a callable had already run by then.
        after_call: bool,
    },
    /// At a bound of this scanner.
    Bound {
        /// Which bound.
        what: &'static str,
    },
}

impl Report {
    /// What is worth a finding: code, severity and detail.
    #[must_use]
    pub fn findings(&self) -> Vec<(&'static str, Severity, String)> {
        let mut out = Vec::new();
        for (module, name) in &self.globals {
            match globals::trust(module, name) {
                Trust::Allowed => {}
                Trust::Unknown => out.push((
                    "pickle-unknown-global",
                    Severity::Medium,
                    format!("loading imports `{module}.{name}`, which is on no list"),
                )),
                Trust::KnownBad => out.push((
                    "pickle-known-bad-global",
                    Severity::Critical,
                    format!(
                        "loading imports `{module}.{name}`, which can run code or reach outside"
                    ),
                )),
            }
        }
        let counted = [
            (
                self.computed_names,
                "pickle-computed-global",
                Severity::Critical,
                "imports whose name is computed",
            ),
            (
                self.computed_calls,
                "pickle-computed-call",
                Severity::Medium,
                "calls of something that is not an imported name",
            ),
            (
                self.extension_codes,
                "pickle-extension-code",
                Severity::High,
                "imports by extension code",
            ),
        ];
        for (count, code, severity, what) in counted {
            if count > 0 {
                out.push((code, severity, format!("{count} {what}")));
            }
        }
        match &self.end {
            End::Clean | End::Bound { .. } => {}
            End::Trailing => out.push((
                "pickle-trailing-data",
                Severity::Low,
                "bytes that are no pickle follow the last `STOP`".to_owned(),
            )),
            End::Malformed {
                offset,
                what,
                after_call: true,
            } => out.push((
                "pickle-error-after-reduce",
                Severity::Critical,
                format!("{what} at byte {offset}, after a callable has already run"),
            )),
            End::Malformed { offset, what, .. } => {
                out.push((
                    "pickle-malformed",
                    Severity::High,
                    format!("{what} at byte {offset}"),
                ));
            }
        }
        out
    }

    /// Why this pickle counts as not fully scanned, if it does.
    #[must_use]
    pub fn unfinished(&self) -> Option<String> {
        match &self.end {
            End::Clean | End::Trailing => None,
            End::Malformed { offset, what, .. } => Some(format!("pickle: {what} at byte {offset}")),
            End::Bound { what } => Some(format!("pickle: {what}")),
        }
    }
}

/// Walks the pickles in `bytes` to their end.
///
/// # Errors
/// When reading fails. What the bytes say is never an error; see [`Report::end`].
pub fn scan(bytes: &mut dyn Read) -> io::Result<Report> {
    let mut input = Input::new(bytes);
    walk(&mut input)
}

/// Walks bytes that may or may not be a pickle of protocol 0 or 1, which have no magic. `None` when they are none:
/// the walk neither came to a `STOP` after importing or at the very end, nor to a call of something imported.
///
/// # Errors
/// When reading fails.
pub fn scan_if_pickle(bytes: &mut dyn Read) -> io::Result<Option<Report>> {
    let report = scan(bytes)?;
    let called = matches!(
        report.end,
        End::Malformed {
            after_call: true,
            ..
        }
    );
    let named = report
        .globals
        .iter()
        .any(|(module, name)| globals::is_plain(module) && globals::is_plain(name));
    let imports = named || report.computed_names + report.extension_codes > 0;
    let stopped = report.pickles > 0 && (imports || report.end == End::Clean);
    let bound = imports && matches!(report.end, End::Bound { .. });
    Ok((stopped || bound || (called && imports)).then_some(report))
}

fn walk(input: &mut Input<'_>) -> io::Result<Report> {
    let mut report = Report {
        globals: BTreeSet::new(),
        computed_names: 0,
        computed_calls: 0,
        extension_codes: 0,
        pickles: 0,
        end: End::Clean,
    };
    let mut called = false;
    loop {
        // The bytes after a `STOP` are another pickle if they say so, or if they walk like one.
        let declared = report.pickles == 0 || input.peek()? == Some(0x80);
        let start = input.offset();
        let mut machine = Machine::new(&mut report);
        let halt = machine.run(input);
        let imported = machine.imported();
        called |= machine.called();
        match halt {
            Ok(()) => report.pickles += 1,
            Err(Halt::Io(e)) => return Err(e),
            Err(Halt::Bound(what)) => {
                report.end = End::Bound { what };
                return Ok(report);
            }
            Err(Halt::Malformed(what)) => {
                report.end = if declared || imported {
                    End::Malformed {
                        offset: input.offset(),
                        what,
                        after_call: called,
                    }
                } else {
                    End::Trailing
                };
                return Ok(report);
            }
        }
        if input.peek()?.is_none() {
            return Ok(report);
        }
        // Each pickle takes at least one byte, so this loop ends with the input.
        debug_assert!(input.offset() > start, "a pickle takes at least its STOP");
    }
}

#[cfg(test)]
mod tests;
