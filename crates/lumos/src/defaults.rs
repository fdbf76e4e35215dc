//! What LUMOS runs on when nobody wrote a settings file: a single-person sandbox with the starter policy.

/// A file by name and text.
type File = (String, Vec<u8>);

const SANDBOX: &[u8] = include_bytes!("defaults/sandbox.yaml");
const STARTER: &[u8] = include_bytes!("../../../examples/acme/policy/starter.yaml");

/// The embedded organisation, its policies and its one founder.
#[must_use]
pub(crate) fn sandbox() -> (File, Vec<File>, Vec<String>) {
    let organisation = ("sandbox.yaml".to_owned(), SANDBOX.to_vec());
    (
        organisation,
        vec![("starter.yaml".to_owned(), STARTER.to_vec())],
        vec!["owner".to_owned()],
    )
}

/// The logins of the people in an organisation file.
#[must_use]
pub(crate) fn logins(organisation: &[u8]) -> Vec<String> {
    let people = crate::seed::read(organisation)
        .map(|read| read.people)
        .unwrap_or_default();
    people
        .into_iter()
        .filter(|person| !person.service)
        .map(|person| person.login)
        .collect()
}
