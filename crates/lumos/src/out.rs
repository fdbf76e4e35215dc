//! Standard output, as a command answers on it.

use std::{
    fmt,
    io::{self, ErrorKind, Write as _},
    process,
};

/// Writes text, as `print!` does. Whoever reads it may have heard enough and gone away, as `head` does: that is no failure.
macro_rules! out {
    ($($text:tt)*) => { $crate::out::write(format_args!($($text)*), "") };
}

/// Writes a line, as `println!` does; see [`out!`].
macro_rules! outln {
    () => { $crate::out::write(format_args!(""), "\n") };
    ($($text:tt)*) => { $crate::out::write(format_args!($($text)*), "\n") };
}

/// Ends the program when the text cannot be written though somebody wants it, as to a file on a full disk: half an answer
/// must not look like a whole one.
pub(crate) fn write(text: fmt::Arguments<'_>, end: &str) {
    match write!(io::stdout().lock(), "{text}{end}") {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => {
            eprintln!("lumos: writing the answer: {error}");
            process::exit(1);
        }
    }
}
