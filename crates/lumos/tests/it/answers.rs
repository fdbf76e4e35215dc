//! Where an answer goes that nobody takes: to a reader that went away, and to a full disk.

use std::process::Stdio;

use crate::world::World;

/// Asks for all rules of a bundle, with this standard output; what is said on standard error, and the exit status.
async fn explain_on(out: Stdio) -> (String, Option<i32>) {
    let world = World::empty();
    let bundle = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/acme/policy/starter.yaml"
    );
    let mut command = world.lumos(&format!("policy explain {bundle}"));
    let child = command.stdout(out).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (said, output.status.code())
}

#[tokio::test]
async fn a_reader_may_go_away() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(explain_on(writer.into()).await, (String::new(), Some(0)));
}

#[tokio::test]
async fn half_an_answer_is_a_failure() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let (said, status) = explain_on(full.into()).await;
    assert!(said.starts_with("lumos: writing the answer: "), "{said}");
    assert_eq!(status, Some(1));
}
