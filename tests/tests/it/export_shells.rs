//! `export`: what real shells and tools read is byte for byte what the vault has, and
//! whatever goes wrong, stdout stays empty.

use crate::given::{self, env_of};
use keyagent_tests::{Home, Random, Terminal};
use keyagent_wire::{EnvName, Reply, Value, codec, frame};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::Command;

/// How many variables one shell evaluates.
const BATCH: usize = 200;
/// How many bytes they have together, so that the kernel takes them as one environment.
const BATCH_BYTES_MAX: usize = 700 * 1024;

/// Characters that shells give a meaning, alone and in twos.
const TRICKY: &[&[u8]] = &[
    b"'",
    b"\"",
    b"\\",
    b"$",
    b"`",
    b"!",
    b"\n",
    b"\r",
    b"\t",
    b" ",
    b"~",
    b"#",
    b"*",
    b"?",
    b"[",
    b"{",
    b"(",
    b";",
    b"&",
    b"|",
    b"<",
    b"=",
    b"%",
    b"^",
    b"\x1b",
    b"\x7f",
    b"\x01",
    b"\xff",
    b"\xc3",
    b"\xa9",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xf4\x8f\xbf\xbf",
    b"\\'",
    b"'\\''",
    b"$(id)",
    b"\\\n",
    b"\xe2\x80\xae",
    b"\\x41",
    b"\\",
    b"\xef\x98\x81",
];

/// Random values: any bytes, tricky pairs, and one of the largest size.
fn values(random: &mut Random) -> Vec<Vec<u8>> {
    let mut values = vec![(1..=255).collect(), Vec::new(), random.value_bytes(64 * 1024)];
    let mut bytes = 65 * 1024;
    while values.len() < BATCH && bytes < BATCH_BYTES_MAX {
        let value = match random.below(4) {
            0 => [TRICKY[random.below(TRICKY.len())], TRICKY[random.below(TRICKY.len())]].concat(),
            1 => (0..random.below(60))
                .flat_map(|_| TRICKY[random.below(TRICKY.len())].to_vec())
                .collect(),
            2 => {
                let count = random.below(16);
                random.value_bytes(count)
            }
            _ => {
                let count = random.below(12_000);
                random.value_bytes(count)
            }
        };
        bytes += value.len();
        values.push(value);
    }
    values
}

/// A project that has these values as `V0`, `V1`, ….
fn project(values: &[Vec<u8>]) -> (Home, keyagent_tests::Agent) {
    let (home, agent) = Home::with_vault();
    let mut wire = home.wire();
    let mut text = "[env]\n".to_owned();
    for (index, value) in values.iter().enumerate() {
        keyagent_tests::wire::done(wire.stage(&format!("v/{index}"), value));
        text.push_str(&format!("V{index} = \"v/{index}\"\n"));
    }
    wire.commit().expect("they fit");
    given::manifest(&home, home.work(), &text);
    given::allow(&home, home.work());
    (home, agent)
}

fn shell_reads_back(shell: &str, args: &[&str], script: &str) {
    let mut random = Random::new();
    let values = values(&mut random);
    let (home, _agent) = project(&values);
    let output = home.command(shell).args(args).arg(script).run().quietly();
    let env = env_of(&output.stdout);
    for (index, value) in values.iter().enumerate() {
        let read = env.get(format!("V{index}").as_bytes());
        assert_eq!(read, Some(value), "V{index} of {shell}");
    }
}

#[test]
fn needs_bash_reads_every_value_back() {
    shell_reads_back(
        "bash",
        &["--norc", "-c"],
        "eval \"$(keyagent export --format bash)\"; exec env -0",
    );
}

#[test]
fn needs_dash_reads_every_value_back() {
    shell_reads_back("dash", &["-c"], "eval \"$(keyagent export)\"; exec env -0");
}

#[test]
fn needs_zsh_reads_every_value_back() {
    shell_reads_back("zsh", &["-f", "-c"], "eval \"$(keyagent export --format zsh)\"; exec env -0");
}

#[test]
fn needs_fish_reads_every_value_back() {
    shell_reads_back(
        "fish",
        &["--no-config", "-c"],
        "keyagent export --format fish | source; exec env -0",
    );
}

/// Values that are text, of all planes, with what JSON and dotenv give a meaning.
fn texts(random: &mut Random) -> Vec<Vec<u8>> {
    let tricky: Vec<char> =
        "'\"\\$`#= \t\n\r{}/bu;\u{7f}\u{1}\u{1f}é\u{202e}\u{2028}😀\u{feff}".chars().collect();
    let text = |random: &mut Random| -> String {
        (0..random.below(24)).map(|_| tricky[random.below(tricky.len())]).collect()
    };
    (0..BATCH).map(|_| text(random).into_bytes()).collect()
}

fn tool_reads_json_back(read: &str) {
    let mut random = Random::new();
    let values = texts(&mut random);
    let (home, _agent) = project(&values);
    let script = format!("keyagent export --format json | {read}");
    let output = home.command("bash").args(["-o", "pipefail", "-c", &script]).run().quietly();
    let expected: Vec<u8> = values.iter().flat_map(|v| [&v[..], b"\0"].concat()).collect();
    assert_eq!(output.stdout, expected);
}

#[test]
fn needs_python3_reads_json_back() {
    tool_reads_json_back(
        "python3 -c 'import json, sys\nfor v in json.load(sys.stdin).values(): \
         sys.stdout.buffer.write(v.encode() + bytes(1))'",
    );
}

#[test]
fn needs_jq_reads_json_back() {
    tool_reads_json_back("jq -j '.[] + \"\\u0000\"'");
}

/// The values that `export --format dotenv` takes, alone; the others are refused by name.
fn dotenv_values(random: &mut Random) -> (Home, keyagent_tests::Agent, Vec<Vec<u8>>) {
    let one_line =
        |text: &str| !text.contains(|c: char| (c.is_control() && c != '\t') || c == '\u{2028}');
    let quotable = |text: &str| !text.contains('\'') || !text.contains(['"', '\\', '$', '`']);
    let plain = |value: &Vec<u8>| {
        let text = std::str::from_utf8(value).expect("they are text");
        let ambiguous = text.contains("\\\\") || text.contains("${") || text.ends_with('\\');
        one_line(text) && quotable(text) && !ambiguous
    };
    // One of seven is plain, more or less: there are always some in so many.
    let values: Vec<_> = (0..4).flat_map(|_| texts(random)).filter(plain).take(BATCH).collect();
    assert!(values.len() > 20, "the generator makes some that dotenv can hold");
    let (home, agent) = project(&values);
    (home, agent, values)
}

fn tool_reads_dotenv_back(read: &str) {
    let mut random = Random::new();
    let (home, _agent, values) = dotenv_values(&mut random);
    let path = home.write("out.env", "");
    let script = format!("keyagent export --format dotenv >out.env && {read}");
    let output = home.command("bash").args(["-c", &script]).run().quietly();
    let env = env_of(&output.stdout);
    for (index, value) in values.iter().enumerate() {
        let read = env.get(format!("V{index}").as_bytes());
        assert_eq!(read, Some(value), "V{index} of {}", fs::read_to_string(&path).expect("ours"));
    }
}

#[test]
fn needs_node_reads_dotenv_back() {
    tool_reads_dotenv_back(
        "node --env-file=out.env -e 'for (const [k, v] of Object.entries(process.env)) \
         process.stdout.write(k + \"=\" + v + \"\\0\")'",
    );
}

#[test]
fn needs_python_dotenv_reads_dotenv_back() {
    tool_reads_dotenv_back(
        "python3 -c 'import dotenv, sys\nfor k, v in dotenv.dotenv_values(\"out.env\").items(): \
         sys.stdout.buffer.write((k + \"=\" + v).encode() + bytes(1))'",
    );
}

const FORMATS: &[&str] = &["bash", "zsh", "fish", "sh", "direnv", "json", "dotenv"];

/// Runs it in every format: nothing on stdout, one reason on stderr, that exit code.
fn nothing_is_exported(home: &Home, code: i32, why: &str) {
    for format in FORMATS {
        let output = home.keyagent(["export", "--format", format]).run();
        let output = output.fails(code).complains(why);
        let lines = output.stderr.iter().filter(|byte| **byte == b'\n').count();
        assert!(*format != "direnv" || lines == 1, "direnv shows each line at every prompt");
    }
}

#[test]
fn t71_what_no_variable_may_be_called_is_never_exported() {
    let (home, _agent) = given::project();
    for name in [
        "PATH",
        "LD_PRELOAD",
        "BASH_ENV",
        "ENV",
        "IFS",
        "PS4",
        "PROMPT_COMMAND",
        "SHELLOPTS",
        "GIT_SSH_COMMAND",
        "NODE_OPTIONS",
        "PYTHONPATH",
        "PERL5OPT",
        "XDG_CONFIG_HOME",
        "HOME",
        "DIRENV_DIFF",
        "KEYAGENT_SOCK",
        "http_proxy",
        "HTTPS_PROXY",
        "AWS_ENDPOINT_URL",
        "A=(",
        "A;id",
        "A$(id)",
        "A B",
        "1A",
        "",
        "-n",
        "A[0]",
        "é",
        "A\\u0000",
        "A\\n",
        "a-b",
    ] {
        given::manifest(&home, home.work(), &format!("[env]\n\"{name}\" = \"app/A_KEY\"\n"));
        home.keyagent(["allow", "--yes"]).run().fails(1).complains("line 2, column ");
        nothing_is_exported(&home, 1, "line 2, column ");
    }
}

#[test]
fn t72_a_failure_exports_nothing() {
    let (home, mut agent) = given::project();
    home.wire().put("app/odd", b"\xff");
    given::manifest(
        &home,
        home.work(),
        &given::MANIFEST.replace("[env]", "[env]\nODD = \"app/odd\""),
    );
    nothing_is_exported(&home, 3, "changed since it was allowed");
    given::allow(&home, home.work());
    for format in ["json", "dotenv"] {
        home.keyagent(["export", "--format", format]).run().fails(1).complains("`ODD`");
    }
    home.keyagent(["rm", "app/odd"]).run().quietly();
    nothing_is_exported(&home, 6, "`app/odd`");
    home.keyagent(["set", "app/odd", "--exec-only"]).stdin("x").run().code(0);
    nothing_is_exported(&home, 3, "`app/odd`");
    home.keyagent(["lock"]).run().quietly();
    nothing_is_exported(&home, 4, "locked");
    home.keyagent(["export", "-P", "none"]).run().fails(4);
    home.keyagent(["export", "-P", "/"]).run().fails(2);
    // The next agent opens a vault that nothing seals by itself, and refuses again.
    agent.kill();
    nothing_is_exported(&home, 3, "`app/odd`");
    home.keyagent(["deny"]).run().code(0).prints("");
    nothing_is_exported(&home, 3, "not allowed");
    fs::remove_file(home.work().join("keyagent.toml")).expect("ours");
    nothing_is_exported(&home, 1, "no keyagent.toml here or above");
    let no_place = home.keyagent(["export", "--format", "direnv"]).dir("/");
    no_place.env("KEYAGENT_SOCK", "/proc/none/agent.sock").run().fails(1);
}

#[test]
fn t72_too_much_for_one_reply_exports_nothing() {
    let mut random = Random::new();
    let values: Vec<_> = (0..17).map(|_| random.value_bytes(64 * 1024)).collect();
    let (home, _agent) = project(&values);
    nothing_is_exported(&home, 1, "more than 1 MiB");
}

#[test]
fn t75_a_terminal_needs_reveal() {
    let (home, _agent) = given::project();
    let screen = Terminal::keyagent(&home, &["export"]).end();
    assert_eq!(screen.code, Some(2), "{}", screen.report());
    assert!(screen.stdout_text().contains("stdout is a terminal"), "{}", screen.report());
    let screen = Terminal::keyagent(&home, &["export", "--reveal"]).end_with_value();
    let expected = format!("export A_KEY='{}'\r\n", home.canary());
    assert_eq!((screen.code, screen.stdout_text()), (Some(0), expected));
}

#[test]
fn t72_a_pipe_that_nobody_reads_is_a_failure() {
    let (home, _agent) = given::project();
    // The reader is gone before the writer starts; a shell keeps it a moment longer.
    let (reader, writer) = std::io::pipe().expect("there is room for a pipe");
    drop(reader);
    let mut export = Command::new(home.program("keyagent"));
    home.surround(&mut export);
    let output = export.arg("export").stdout(writer).output().expect("it can be run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("broken pipe") && !home.has_value(&output.stderr), "{stderr}");
}

/// An agent of our own uid that answers with a good reply, cut short.
#[test]
fn t72_a_reply_that_is_cut_exports_nothing() {
    let (home, _agent) = given::project();
    let var = EnvName::new("A_KEY").expect("a name");
    let value = Value::new(home.canary().as_bytes()).expect("a value");
    let body = codec::encode_reply(&Reply::Env(vec![(var, value)])).expect("small");
    let whole = frame::seal(&body).to_vec();
    let path = home.make_directory("fake").join("agent.sock");
    let listener = UnixListener::bind(&path).expect("ours");
    let run = || home.keyagent(["export"]).env("KEYAGENT_SOCK", &path).run();
    for cut in 0..=whole.len() {
        let answer = |listener: &UnixListener| {
            let (mut client, _) = listener.accept().expect("the client comes");
            let mut header = [0; frame::HEADER_BYTES];
            client.read_exact(&mut header).expect("it asks");
            let length = frame::Header::parse(header, frame::REQUEST_BYTES_MAX).expect("a frame");
            let mut body = vec![0; length.body_bytes];
            client.read_exact(&mut body).expect("all of it");
            client.write_all(&whole[..cut]).expect("it reads");
        };
        let output = std::thread::scope(|scope| {
            scope.spawn(|| answer(&listener));
            run()
        });
        if cut < whole.len() {
            output.fails(1).complains("cannot read the agent's reply");
        } else {
            output.quietly().prints(format!("export A_KEY='{}'\n", home.canary()));
        }
    }
}
