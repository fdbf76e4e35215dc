use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn codes(bytes: &[u8]) -> Vec<&'static str> {
    let report = scan(&mut &*bytes).unwrap();
    report
        .findings()
        .into_iter()
        .map(|(code, ..)| code)
        .collect()
}

fn check(bytes: &[u8], expected: &[&str]) {
    assert_eq!(codes(bytes), expected, "{}", bytes.escape_ascii());
}

/// `SHORT_BINUNICODE` of `text`.
fn text(text: &str) -> Vec<u8> {
    [&[0x8c, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// A pickle of protocol 4 with these opcodes.
fn four(parts: &[&[u8]]) -> Vec<u8> {
    [b"\x80\x04".to_vec(), parts.concat()].concat()
}

const BAD: &str = "pickle-known-bad-global";
const UNKNOWN: &str = "pickle-unknown-global";
const COMPUTED: &str = "pickle-computed-global";
const AFTER: &str = "pickle-error-after-reduce";

#[test]
fn every_way_to_import_is_seen() {
    let (os, system, id) = (text("os"), text("system"), text("id"));
    check(b"cos\nsystem\n(S'id'\ntR.", &[BAD]);
    check(b"(S'id'\nios\nsystem\n.", &[BAD]);
    check(b"(cos\nsystem\nS'id'\no.", &[BAD]);
    check(&four(&[&os, &system, b"\x93", &id, b"\x85R."]), &[BAD]);
    check(&four(&[&os, &system, b"\x93", &id, b"\x85\x81."]), &[BAD]);
    check(&four(&[&os, &system, b"\x93)}\x92."]), &[BAD]);
    // The names come out of the memo, in the other order, by every kind of index.
    check(
        &four(&[&system, b"\x940", &os, b"\x940h\x01h\x00\x93."]),
        &[BAD],
    );
    check(
        &four(&[
            &system,
            b"q\x070",
            &os,
            b"r\x00\x01\x00\x000j\x00\x01\x00\x00h\x07\x93.",
        ]),
        &[BAD],
    );
    check(
        b"\x80\x04\x8c\x02osp3\n0\x8c\x06systemp9\n0g3\ng9\n\x93.",
        &[BAD],
    );
    // A sparse memo index of four thousand million costs no memory.
    check(
        &four(&[
            &os,
            b"r\xff\xff\xff\xff0j\xff\xff\xff\xff",
            &system,
            b"\x93.",
        ]),
        &[BAD],
    );
    // DUP, POP, POP_MARK and marks in between do not hide the names.
    check(
        &four(&[&os, b"N0(NN1", &system, b"2\x9400h\x00\x93."]),
        &[BAD],
    );
    check(
        &four(&[b"X\x02\0\0\0os", b"\x8d\x06\0\0\0\0\0\0\0system", b"\x93."]),
        &[BAD],
    );
    check(b"\x80\x04S'os'\nV", &["pickle-malformed"]);
    check(b"\x80\x04S'os'\nVsystem\n\x93.", &[BAD]);
    check(b"\x80\x04U\x02osT\x06\0\0\0system\x93.", &[BAD]);
    check(b"\x80\x02\x82\x01.", &["pickle-extension-code"]);
    check(b"\x80\x02\x83\x01\x00.", &["pickle-extension-code"]);
    check(b"\x80\x02\x84\x01\x00\x00\x00.", &["pickle-extension-code"]);
}

#[test]
fn computed_names_are_critical() {
    check(&four(&[b"N", &text("system"), b"\x93."]), &[COMPUTED]);
    check(&four(&[b"K\x01K\x02\x93."]), &[COMPUTED]);
    check(b"\x80\x04V\\u006fs\nVsystem\n\x93.", &[COMPUTED]);
    check(b"\x80\x04S'\\x6fs'\nVsystem\n\x93.", &[COMPUTED]);
    check(
        &four(&[&text(&"a".repeat(200)), &text("x y"), b"\x93."]),
        &[COMPUTED],
    );
    check(
        &four(&[&text("collections"), &text("OrderedDict"), b"\x93)R)R."]),
        &["pickle-computed-call"],
    );
}

#[test]
fn names_are_judged_by_the_lists() {
    let import = |module: &str, name: &str| four(&[&text(module), &text(name), b"\x93."]);
    check(&import("collections", "OrderedDict"), &[]);
    check(&import("acme.scoring", "Model"), &[UNKNOWN]);
    check(&import("sklearn.utils", "os.system"), &[BAD]);
    check(&import("builtins", "getattr"), &[BAD]);
    check(&import("subprocess", "Popen"), &[BAD]);
    check(b"c__builtin__\neval\n.", &[BAD]);
    check(b"cos \nsystem\n.", &[UNKNOWN]);
    check(b"c\x1b[31mos\nsystem\n.", &[UNKNOWN]);
}

#[test]
fn errors_after_a_call_are_critical() {
    check(b"cos\nsystem\n(S'id'\ntR\xff", &[BAD, AFTER]);
    check(b"cos\nsystem\n(S'id'\ntR", &[BAD, AFTER]);
    check(b"\x80\x04N}b\xff", &[AFTER]);
    check(b"\x80\x04\xff", &["pickle-malformed"]);
    check(b"\x80\x04", &["pickle-malformed"]);
    check(b"\x80\x04.", &["pickle-malformed"]);
    check(b"\x80\x09.", &["pickle-malformed"]);
    check(b"\x80\x04h\x05.", &["pickle-malformed"]);
    check(b"\x80\x04Nt.", &["pickle-malformed"]);
    check(b"\x80\x04N(\x85.", &["pickle-malformed"]);
    check(b"\x80\x04T\xff\xff\xff\xff.", &["pickle-malformed"]);
    // A payload that claims more than there is costs no memory.
    check(
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        &["pickle-malformed"],
    );
    check(
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        &["pickle-malformed"],
    );
}

#[test]
fn pickles_after_pickles_are_seen() {
    check(b"\x80\x04N.\x80\x04N.", &[]);
    check(b"\x80\x04N.cos\nsystem\n(S'id'\ntR.", &[BAD]);
    check(b"\x80\x04N.\0\0\0\0", &["pickle-trailing-data"]);
    check(b"\x80\x04N.\x80\x04cos\nsystem\n)R\xff", &[BAD, AFTER]);
    assert_eq!(scan(&mut &b"\x80\x04N.\x80\x04N."[..]).unwrap().pickles, 2);
}

#[test]
fn undeclared_bytes_are_pickles_only_when_they_walk_like_one() {
    let is = |bytes: &[u8]| scan_if_pickle(&mut &*bytes).unwrap().is_some();
    assert!(is(b"cos\nsystem\n(S'id'\ntR."));
    assert!(is(b"cos\nsystem\n(S'id'\ntR and more"));
    assert!(is(b"(lp0\nI1\nap1\nI2\na."));
    let long = [&b"(lp0\nS'"[..], &[b'a'; 100_000], b"'\nacos\nsystem\n)R."].concat();
    assert!(is(&long));
    assert!(!is(b""));
    assert!(!is(b"# A model card\n"));
    assert!(!is(b"(c) 2026 Acme\nall rights reserved\n"));
    assert!(!is(b"(i.e. this\nis text)\n"));
    assert!(!is(b"Name: acme\nVersion: 1\n"));
    assert!(!is(b"{\"a\": 1}"));
    assert!(!is(&[0; 4096]));
}

/// A `NumpyArrayWrapper` of joblib as its protocol-4 dumps look: `shape`, `dtype`, then the array beside the pickle.
fn joblib(dtype: &str, aligned: bool, after: &[u8]) -> Vec<u8> {
    let alignment = [text("numpy_array_alignment_bytes"), b"K\x10".to_vec()].concat();
    four(&[
        &text("joblib.numpy_pickle"),
        &text("NumpyArrayWrapper"),
        b"\x93)\x81}(",
        &text("shape"),
        b"K\x02K\x03\x86",
        &text("dtype"),
        &text("numpy"),
        &text("dtype"),
        b"\x93",
        &text(dtype),
        b"\x89\x88\x87R",
        if aligned { &alignment } else { b"" },
        b"ub",
        after,
    ])
}

#[test]
fn arrays_of_joblib_are_stepped_over() {
    let array = [&b"\x03\xff\xff\xff"[..], &[0; 48], b"."].concat();
    check(&joblib("f8", true, &array), &[]);
    let hidden = [&b"\x03\xff\xff\xff"[..], &[0; 48], b"0cos\nsystem\n)R."].concat();
    check(&joblib("f8", true, &hidden), &[BAD]);
    for (dtype, aligned, after) in [
        ("O8", true, &array[..]),
        ("f8", false, &array[..]),
        ("zz", true, &array[..]),
        // A padding length that `pickle.load` would take for an opcode.
        (
            "f8",
            true,
            b"N..........................................................",
        ),
    ] {
        let report = scan(&mut &*joblib(dtype, aligned, after)).unwrap();
        assert!(report.unfinished().is_some(), "{dtype} {aligned}");
    }
    // A second dictionary with another shape, built between the state and its use, does not pass for the state.
    let mut decoy = joblib("f8", true, b"");
    decoy.truncate(decoy.len() - 1);
    let shape = text("shape");
    decoy.extend([b"}(", &shape[..], b"K\x09\x85u0b", &array].concat());
    assert!(scan(&mut &*decoy).unwrap().unfinished().is_some());
    let indirect = four(&[
        &text("copyreg"),
        &text("_reconstructor"),
        b"\x93",
        &text("joblib.numpy_pickle"),
        &text("NumpyArrayWrapper"),
        b"\x93NN\x87R.",
    ]);
    assert!(scan(&mut &*indirect).unwrap().unfinished().is_some());
}

/// Each callable of the reference corpus, in protocol 0 and 4, is held: known bad, or at least on no list.
#[test]
fn the_corpus_is_held() {
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("nt", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "compile"),
        ("builtins", "getattr"),
        ("builtins", "__import__"),
        ("builtins", "open"),
        ("runpy", "run_path"),
        ("sys", "exit"),
        ("socket", "create_connection"),
        ("shutil", "rmtree"),
        ("importlib", "import_module"),
        ("pty", "spawn"),
        ("webbrowser", "open"),
        ("ctypes", "CDLL"),
        ("http.client", "HTTPSConnection"),
        ("smtplib", "SMTP"),
        ("pip", "main"),
        ("cProfile", "run"),
        ("timeit", "timeit"),
        ("code", "interact"),
        ("cgitb", "lookup"),
        ("lib2to3.pgen2.pgen", "ParserGenerator"),
        ("logging.config", "listen"),
        ("multiprocessing.util", "spawnv_passfds"),
        ("trace", "Trace.run"),
        ("pandas.core.computation.eval", "eval"),
        ("torch", "load"),
        ("torch.serialization", "load"),
        ("numpy.testing._private.utils", "runstring"),
        ("operator", "attrgetter"),
        ("operator", "methodcaller"),
        ("functools", "partial"),
        ("types", "FunctionType"),
        ("asyncio", "run"),
        ("urllib.request", "urlopen"),
        ("ssl", "get_server_certificate"),
        ("venv", "create"),
        ("idlelib.pyshell", "ModifiedInterpreter.runcode"),
        ("doctest", "debug_script"),
        ("pydoc", "pipepager"),
        ("profile", "run"),
        ("ensurepip", "bootstrap"),
    ] {
        check(&four(&[&text(module), &text(name), b"\x93)R."]), &[BAD]);
        check(format!("c{module}\n{name}\n(tR.").as_bytes(), &[BAD]);
    }
}

/// Pickles that Python itself writes, in every protocol, walk to their end without a grave finding.
#[test]
fn agrees_with_python() {
    const SCRIPT: &str = r"
import pickle, sys, collections, datetime, decimal, struct
values = [None, 1, -5, 2**70, 1.5, 'text', b'bytes', bytearray(b'x'), [1, [2]], (1, 2, 3, 4), {'a': {1, 2}},
    frozenset([1]), collections.OrderedDict(a=1), datetime.date(2026, 1, 2), decimal.Decimal('1.5'), range(3),
    'é\n\'', ['same', 'same'], {i: str(i) for i in range(3000)}, 'l' * 70000, True, list(range(300))]
for value in values:
    for protocol in range(6):
        data = pickle.dumps(value, protocol)
        sys.stdout.buffer.write(struct.pack('<I', len(data)) + data)
";
    #[expect(clippy::disallowed_methods, reason = "Python is the oracle")]
    let child = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(output) = child else {
        println!("python3 is absent: its pickles are not compared");
        return;
    };
    if !output.status.success() {
        println!("python3 does not run: its pickles are not compared");
        return;
    }
    let mut rest = &output.stdout[..];
    let mut count = 0;
    while let Some((length, bytes)) = rest.split_first_chunk::<4>() {
        let (pickle, after) = bytes.split_at(usize::try_from(u32::from_le_bytes(*length)).unwrap());
        let report = scan(&mut &*pickle).unwrap();
        assert_eq!(report.end, End::Clean, "{}", pickle.escape_ascii());
        let findings = report.findings();
        assert!(
            findings
                .iter()
                .all(|(_, severity, _)| *severity < Severity::High),
            "{findings:?}"
        );
        count += 1;
        rest = after;
    }
    assert_eq!(count, 22 * 6);
}

fn opcode() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"(",
        b"N",
        b"0",
        b"1",
        b"2",
        b"t",
        b"\x85",
        b"\x86",
        b"\x87",
        b"R",
        b"b",
        b"o",
        b"\x81",
        b"\x92",
        b"\x93",
        b"\x94",
        b"h\x00",
        b"q\x01",
        b"}",
        b")",
        b"]",
        b"a",
        b"e",
        b"s",
        b"u",
        b"K\x01",
        b"\x8c\x02os",
        b"\x8c\x06system",
        b"cos\nsystem\n",
        b"ios\nsystem\n",
        b".",
        b"\x80\x04",
        b"\x95\0\0\0\0\0\0\0\0",
        b"B\x01\0\0\0x",
    ];
    proptest::sample::select(pieces).prop_map(<[u8]>::to_vec)
}

/// The bounds hold: far more marks or values than are kept end the walk, not the memory.
#[test]
fn bounds_end_the_walk() {
    for piece in [b'(', b'N'] {
        let report = scan(&mut io::repeat(piece)).unwrap();
        assert!(matches!(report.end, End::Bound { .. }), "{piece}");
    }
}

proptest! {
    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        scan(&mut &*bytes).unwrap();
        scan_if_pickle(&mut &*bytes).unwrap();
    }

    #[test]
    fn any_opcodes_end_and_imports_show(opcodes in proptest::collection::vec(opcode(), 0..60)) {
        let bytes = opcodes.concat();
        let report = scan(&mut &*bytes).unwrap();
        // The same bytes in single-byte reads give the same report: buffering changes nothing.
        let mut slow = Slow(&bytes);
        prop_assert_eq!(scan(&mut slow).unwrap(), report);
    }
}

/// Gives one byte at a time.
struct Slow<'b>(&'b [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = buffer.len().min(1);
        self.0.read(&mut buffer[..n])
    }
}
