//! An exported ledger, verified by a program that shares no line with LUMOS: Go's own `sumdb/tlog`.

use std::path::Path;

use crate::{
    commands::flip_one_byte,
    world::{World, program, run},
};

const SOURCE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../xtask/foreign/go/verify.go"
);
/// Where Debian installs `golang-golang-x-mod-dev`.
const GOCODE: &str = "/usr/share/gocode";

#[tokio::test]
async fn real_go_verifies_the_export_and_refuses_a_changed_one() {
    let library = Path::new(GOCODE).join("src/golang.org/x/mod/sumdb/tlog");
    if !Path::new("/usr/bin/go").exists() || !library.exists() {
        println!("skipped: no Go with golang.org/x/mod, run `cargo xtask peers`");
        return;
    }
    let mut world = World::acme().await;
    world.approve("1.0").await;
    let developer = world.person("developer").await;
    developer.until("triage/1.0", crate::world::promoted).await;
    world
        .say_as("developer", "ledger export export")
        .await
        .is(0, "exported");
    let vkey = world.vkey().to_owned();
    assert!(world.stop().await.success());

    let mut build = program("/usr/bin/go");
    build
        .args(["build", "-o", "verify", SOURCE])
        .current_dir(world.path(""))
        .env("GOPATH", GOCODE)
        .env("GO111MODULE", "off")
        .env("GOCACHE", world.path("go-cache"));
    run(&mut build, "").await.is(0, "");
    let verify = async || {
        let mut verify = program(world.path("verify"));
        verify.arg(world.path("export")).arg(&vkey);
        run(&mut verify, "").await
    };
    let said = verify().await.is(0, "");
    assert!(
        said.out.contains("verified") || said.err.contains("verified"),
        "{said:?}"
    );
    flip_one_byte(&world.path("export/tile/entries"));
    verify().await.is(1, "entry");
}
