//! Which names a pickle may import: the allow lists of the frameworks, and the names known to do harm.
//!
//! An import on neither list is `Unknown` and held for a person. Allowing a package allows its classes, told by a
//! capital first letter, never its functions: those stand here one by one, because calling a function is what an
//! attack does. A dotted name walks attributes (`pathlib` re-exports `os`), so it is allowed only in full.
//! Not here: how names come out of a pickle.

mod allowed;
mod bad;

use self::{
    allowed::{ALLOWED, CLASSES_OF, FOREIGN_CLASSES, NO_CLASSES_OF},
    bad::{BAD_BUILTINS, BAD_DUNDERS, BAD_MODULES, BAD_NAMES, BAD_PACKAGES},
};

/// How far a name is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// On the allow list of a framework.
    Allowed,
    /// On no list.
    Unknown,
    /// Known to run code, reach the network or the file system, or fetch attributes by name.
    KnownBad,
}

/// How far `module.name` is trusted.
#[must_use]
pub fn trust(module: &str, name: &str) -> Trust {
    if is_known_bad(module, name) {
        return Trust::KnownBad;
    }
    let exact = ALLOWED
        .iter()
        .any(|(m, names)| *m == module && names.contains(&name));
    let within = |root: &str| {
        module
            .strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let class = is_class_name(name)
        && !FOREIGN_CLASSES.contains(&name)
        && CLASSES_OF.iter().any(|root| within(root))
        && !NO_CLASSES_OF.iter().any(|root| within(root));
    if exact || class {
        Trust::Allowed
    } else {
        Trust::Unknown
    }
}

fn is_class_name(name: &str) -> bool {
    let mut chars = name.trim_start_matches('_').chars();
    chars.next().is_some_and(|c| c.is_ascii_uppercase())
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_known_bad(module: &str, name: &str) -> bool {
    // A dotted name reaches through modules: any component may be the harmful one.
    let full = || module.split('.').chain(name.split('.'));
    let root = module.split('.').next().unwrap_or_default();
    if BAD_PACKAGES.contains(&root) {
        return true;
    }
    if name.contains('.')
        && name
            .split('.')
            .any(|part| BAD_PACKAGES.contains(&part) || BAD_BUILTINS.contains(&part))
    {
        return true;
    }
    if name.split('.').any(|part| BAD_DUNDERS.contains(&part)) {
        return true;
    }
    if matches!(root, "builtins" | "__builtin__" | "__builtins__") {
        return full().any(|part| BAD_BUILTINS.contains(&part));
    }
    BAD_MODULES
        .iter()
        .any(|bad| module == *bad || module.strip_prefix(bad).is_some_and(|r| r.starts_with('.')))
        || BAD_NAMES
            .iter()
            .any(|(m, names)| *m == module && names.contains(&name))
}

/// A name as it may stand in evidence: control and non-ASCII characters escaped, at most 256 characters.
pub(super) fn printable(name: &str) -> String {
    if is_plain(name) && name.len() <= 256 {
        return name.to_owned();
    }
    name.chars()
        .flat_map(char::escape_default)
        .take(256)
        .collect()
}

/// Whether this is a dotted Python identifier in ASCII.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_on_both_lists() {
        for (module, names) in ALLOWED {
            for name in *names {
                assert_eq!(trust(module, name), Trust::Allowed, "{module}.{name}");
            }
        }
    }

    #[test]
    fn judges_names() {
        use Trust::{Allowed, KnownBad, Unknown};
        for (module, name, expected) in [
            (
                "sklearn.linear_model._logistic",
                "LogisticRegression",
                Allowed,
            ),
            ("sklearn.utils", "shuffle", Unknown),
            ("sklearn", "utils.os.system", KnownBad),
            ("sklearn.pipeline", "Memory", Unknown),
            ("sklearn.datasets._openml", "GzipFile", Unknown),
            ("sklearn.base", "Base.mixin", Unknown),
            ("sklearnx", "Thing", Unknown),
            ("os", "system", KnownBad),
            ("os.path", "join", KnownBad),
            ("builtins", "eval", KnownBad),
            ("builtins", "getattr", KnownBad),
            ("builtins", "int", Allowed),
            ("builtins", "int.__subclasses__", KnownBad),
            ("builtins", "sorted", Unknown),
            ("collections", "OrderedDict", Allowed),
            ("acme.model", "Scorer", Unknown),
            ("numpy.testing._private.utils", "runstring", KnownBad),
            ("pandas.core.computation.eval", "eval", KnownBad),
            ("torch", "load", KnownBad),
            ("torch.nn.modules.linear", "Linear", Allowed),
            ("operator", "attrgetter", KnownBad),
            ("cloudpickle.cloudpickle", "_make_function", KnownBad),
        ] {
            assert_eq!(trust(module, name), expected, "{module}.{name}");
        }
    }
}
