//! Which models to govern, and who owns each: proposed from what the registry says, accepted or changed by
//! whoever runs `lumos init`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, Write},
};

use anyhow::{Context as _, Result, bail};
use lumos_engine::ports::FoundModel;

/// The founder, who owns what nobody else does.
pub(super) const FOUNDER: &str = "owner";
/// The longest login that is taken from a registry.
const LOGIN_CHARS_MAX: usize = 64;

/// A model as it will be registered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Governed<'a> {
    /// Its name here.
    pub name: String,
    /// As the registry describes it.
    pub found: &'a FoundModel,
    /// Its owner's login.
    pub owner: String,
}

/// Every model with the owner that the registry names, or the founder where it names nobody.
pub(super) fn propose(models: &[FoundModel]) -> Vec<Governed<'_>> {
    let mut taken = BTreeSet::new();
    let mut governed = Vec::new();
    for found in models {
        let plain = usable(&found.name);
        let numbered = (2..).map(|n| format!("{plain}-{n}"));
        let mut names = std::iter::once(plain.clone()).chain(numbered);
        let free = names.find(|name| taken.insert(name.clone()));
        governed.push(Governed {
            name: free.unwrap_or(plain),
            found,
            owner: login(found.owner.as_deref().unwrap_or_default()),
        });
    }
    governed
}

/// Replaces owners by those given as `MODEL=LOGIN`.
///
/// # Errors
/// When there is no `=`, no such model, or no login.
pub(super) fn replace(models: &mut [Governed<'_>], given: &[String]) -> Result<BTreeSet<String>> {
    let mut answered = BTreeSet::new();
    for pair in given {
        let (model, owner) = pair
            .split_once('=')
            .filter(|(_, owner)| !owner.trim().is_empty())
            .with_context(|| format!("`{pair}` is not MODEL=LOGIN"))?;
        let mut named = models
            .iter_mut()
            .filter(|m| m.name == model || m.found.name == model)
            .peekable();
        if named.peek().is_none() {
            bail!("`--owner {pair}`: the registry shows no model `{model}`");
        }
        for model in named {
            model.owner = login(owner);
            answered.insert(model.name.clone());
        }
    }
    Ok(answered)
}

/// Asks for each model that was not answered before: an empty line accepts the proposal, `-` leaves the model out,
/// anything else names another owner.
///
/// # Errors
/// When the input ends before every question is answered.
pub(super) fn ask(
    models: &mut Vec<Governed<'_>>,
    answered: &BTreeSet<String>,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<()> {
    let open = |model: &Governed<'_>| !answered.contains(&model.name);
    if models.iter().any(open) {
        writeln!(
            output,
            "who owns each model? Enter accepts, - leaves the model out"
        )?;
    }
    let mut kept = Vec::new();
    for mut model in models.drain(..) {
        if open(&model) {
            write!(output, "  `{}` [{}]: ", model.found.name, model.owner)?;
            output.flush()?;
            let mut line = String::new();
            if input
                .read_line(&mut line)
                .context("reading who owns a model")?
                == 0
            {
                bail!(
                    "nobody answered who owns `{}`: accept what is proposed with --yes, or name owners with \
                     --owner MODEL=LOGIN",
                    model.found.name
                );
            }
            match line.trim() {
                "" => {}
                "-" => continue,
                other => model.owner = login(other),
            }
        }
        kept.push(model);
    }
    *models = kept;
    Ok(())
}

/// The owners beside the founder: the login of each, and what the registry calls them.
pub(super) fn people<'a>(models: &'a [Governed<'_>]) -> BTreeMap<&'a str, &'a str> {
    let beside = models.iter().filter(|model| model.owner != FOUNDER);
    let named = |model: &'a Governed<'_>| {
        let stated = model.found.owner.as_deref().map(str::trim);
        let name = stated.filter(|name| login(name) == model.owner);
        (model.owner.as_str(), name.unwrap_or(&model.owner))
    };
    beside.map(named).collect()
}

/// The login that a registry's name of a person becomes.
fn login(stated: &str) -> String {
    let words: Vec<_> = stated.split_whitespace().collect();
    let login: String = words.join(".").to_lowercase();
    let login: String = login
        .chars()
        .filter(|c| !c.is_control())
        .take(LOGIN_CHARS_MAX)
        .collect();
    if login.is_empty() {
        FOUNDER.to_owned()
    } else {
        login
    }
}

/// A model name that LUMOS can use for a registry's own.
fn usable(name: &str) -> String {
    let plain = |c: char| {
        let kept = c.is_ascii_alphanumeric() || "._-".contains(c);
        if kept { c } else { '-' }
    };
    let plain: String = name.chars().map(plain).collect();
    let plain = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let plain: String = plain.chars().take(100).collect();
    if plain.is_empty() {
        "model".to_owned()
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, owner: Option<&str>) -> FoundModel {
        FoundModel {
            name: name.to_owned(),
            description: String::new(),
            owner: owner.map(str::to_owned),
            latest: None,
        }
    }

    fn shown(models: &[Governed<'_>]) -> Vec<String> {
        models
            .iter()
            .map(|m| format!("{} {}", m.name, m.owner))
            .collect()
    }

    #[test]
    fn a_registry_proposes_names_and_owners() {
        let models = [
            found("fraud detector", Some(" Ada Lovelace ")),
            found("fraud-detector", Some("root")),
            found("模型", None),
            found("!", Some("  ")),
        ];
        let proposed = propose(&models);
        let expected = [
            "fraud-detector ada.lovelace",
            "fraud-detector-2 root",
            "model owner",
            "model-2 owner",
        ];
        assert_eq!(shown(&proposed), expected);
        let people: Vec<_> = people(&proposed).into_iter().collect();
        assert_eq!(people, [("ada.lovelace", "Ada Lovelace"), ("root", "root")]);
    }

    #[test]
    fn what_is_proposed_is_accepted_changed_or_left_out() {
        let models = [
            found("a", Some("ada")),
            found("b", Some("ada")),
            found("c", None),
            found("d", None),
        ];
        let mut asked = propose(&models);
        let answered = replace(&mut asked, &["d=Bo".to_owned()]).unwrap();
        let mut said = Vec::new();
        ask(&mut asked, &answered, &mut &b"\ncyd\n-\n"[..], &mut said).unwrap();
        assert_eq!(shown(&asked), ["a ada", "b cyd", "d bo"]);
        let said = String::from_utf8(said).unwrap();
        assert!(
            said.contains("`a` [ada]: ") && !said.contains("`d`"),
            "{said}"
        );

        let mut cut = propose(&models);
        let error = ask(&mut cut, &answered, &mut &b"\n"[..], &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("`b`") && error.to_string().contains("--yes"));
        for (given, expected) in [
            ("e=ada", "no model `e`"),
            ("a", "MODEL=LOGIN"),
            ("a= ", "MODEL=LOGIN"),
        ] {
            let error = replace(&mut propose(&models), &[given.to_owned()]).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
