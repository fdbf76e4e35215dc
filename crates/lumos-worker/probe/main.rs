//! The child of the worker tests. As `__worker` it is a worker; named `hang`, `die` or `babble` it is a broken one;
//! as `attack TREE` it confines itself and then tries to break out, printing what came of each attempt.
#![expect(clippy::print_stdout, reason = "its output is what the test reads")]
#![expect(clippy::disallowed_methods, reason = "it tries what is forbidden")]

use std::{env, fmt::Debug, fs, net, os::unix::net::UnixStream, path::Path, process, thread};

use lumos_worker::confine::{Resources, confine};

fn main() -> process::ExitCode {
    let arguments: Vec<_> = env::args().collect();
    let name = arguments
        .first()
        .map(|name| name.rsplit('/').next().unwrap_or_default());
    match name {
        Some("hang") => loop {
            thread::park();
        },
        Some("die") => process::abort(),
        Some("babble") => {
            println!("{{\"done\":1}}");
            return process::ExitCode::SUCCESS;
        }
        _ => {}
    }
    if let Some(code) = lumos_worker::main_if_worker() {
        return code;
    }
    if let [_, what, tree, outside, port] = &arguments[..]
        && what == "attack"
    {
        attack(Path::new(tree), outside, port);
    }
    process::ExitCode::SUCCESS
}

fn attack(tree: &Path, outside: &str, port: &str) {
    let layers = confine(tree, Resources::of_scanner(5));
    println!("layers {}", layers.join(","));
    let report = |what: &str, result: Result<(), String>| match result {
        Ok(()) => println!("{what} succeeded"),
        Err(why) => println!("{what} denied: {}", why.replace('\n', " ")),
    };
    report("read-inside", of(fs::read(tree.join("inside.txt"))));
    report("read-outside", of(fs::read(outside)));
    report("list-outside", of(fs::read_dir("/")));
    report("follow-out", of(fs::read(tree.join("link"))));
    report("write-inside", of(fs::write(tree.join("new.txt"), "x")));
    report(
        "write-outside",
        of(fs::write("/tmp/lumos-worker-probe-wrote-this", "x")),
    );
    report(
        "delete-inside",
        of(fs::remove_file(tree.join("inside.txt"))),
    );
    report(
        "connect-tcp",
        of(net::TcpStream::connect(format!("127.0.0.1:{port}"))),
    );
    report("listen-tcp", of(net::TcpListener::bind("127.0.0.1:0")));
    report("send-udp", of(net::UdpSocket::bind("127.0.0.1:0")));
    report("unix-socket", of(UnixStream::pair()));
    report("spawn", of(process::Command::new("/bin/true").status()));
    report("thread", of(thread::Builder::new().spawn(|| ())));
    let mut hoard: Vec<u8> = Vec::new();
    report("hoard-memory", of(hoard.try_reserve_exact(2 << 30)));
}

fn of<T, E: Debug>(result: Result<T, E>) -> Result<(), String> {
    result.map(|_| ()).map_err(|e| format!("{e:?}"))
}
