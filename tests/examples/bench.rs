//! What the benchmarks say to the agent without a client between: fills a vault, times one
//! request, and prints frames for the load generator. Never used on a vault that matters.

use keyagent_wire::request::{Binding, Channel, Clash, Key, Put, Resolve, Unlock};
use keyagent_wire::{EnvName, Reply, Request, SecretName, Value, codec, frame};
use std::error::Error;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: bench SOCKET fill PREFIX FIRST COUNT BYTES
       bench SOCKET time lock|unlock             prints microseconds
       bench - frame PREFIX COUNT                prints a request for secrets 1 to COUNT";

/// How many puts go into one write of the vault.
const PUTS_PER_COMMIT: u32 = 2_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(answer) => match writeln!(std::io::stdout(), "{answer}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Outcome<String> {
    match words {
        [socket, "fill", prefix, first, count, bytes] => {
            let first: u32 = first.parse()?;
            let last = first + count.parse::<u32>()? - 1;
            fill(&mut UnixStream::connect(socket)?, prefix, first..=last, bytes.parse()?)
        }
        [socket, "time", what] => time(&mut UnixStream::connect(socket)?, what),
        ["-", "frame", prefix, count] => frame_of(&resolve(prefix, count.parse()?)?),
        _ => Err(USAGE.into()),
    }
}

fn ask(agent: &mut UnixStream, request: &Request) -> Outcome<Reply> {
    let body = codec::encode_request(request).map_err(|e| format!("cannot encode: {e:?}"))?;
    frame::write(agent, &body)?;
    let (_, body) = frame::read(agent, frame::REPLY_BYTES_MAX)?;
    match codec::decode_reply(&body).map_err(|e| format!("cannot decode: {e:?}"))? {
        Reply::Refused(refusal) => Err(format!("refused: {refusal:?}").into()),
        reply => Ok(reply),
    }
}

fn fill(
    agent: &mut UnixStream,
    prefix: &str,
    numbers: std::ops::RangeInclusive<u32>,
    bytes: usize,
) -> Outcome<String> {
    let (mut staged, mut total) = (0, 0);
    for number in numbers {
        // Values differ, as keys do, and look like nobody's.
        let value = format!("{number:08}{}", "FAKEfake".repeat(bytes / 8 + 1));
        let put = Put {
            name: secret(prefix, number)?,
            value: Value::new(&value.as_bytes()[..bytes.max(8)])?,
            clash: Clash::NewVersion,
            exec_only: None,
            confirm: None,
            note: None,
        };
        ask(agent, &Request::Put(put))?;
        (staged, total) = (staged + 1, total + 1);
        if staged == PUTS_PER_COMMIT {
            ask(agent, &Request::Commit)?;
            staged = 0;
        }
    }
    if staged > 0 {
        ask(agent, &Request::Commit)?;
    }
    Ok(format!("{total} secrets"))
}

fn time(agent: &mut UnixStream, what: &str) -> Outcome<String> {
    let request = match what {
        "lock" => Request::Lock,
        "unlock" => {
            Request::Unlock(Unlock { key: Key::Stored, accept_rollback: false, seconds: None })
        }
        _ => return Err(USAGE.into()),
    };
    let start = Instant::now();
    ask(agent, &request)?;
    Ok(start.elapsed().as_micros().to_string())
}

/// The user's own bindings, so that the frame needs no descriptors.
fn resolve(prefix: &str, count: u32) -> Outcome<Request> {
    let extra = (1..=count)
        .map(|number| {
            let var = EnvName::new(format!("BENCH_KEY_{number}"))?;
            Ok(Binding { var, secret: secret(prefix, number)? })
        })
        .collect::<Outcome<Vec<_>>>()?;
    Ok(Request::Resolve(Resolve { channel: Channel::Exec, profile: None, only: Vec::new(), extra }))
}

fn frame_of(request: &Request) -> Outcome<String> {
    let body = codec::encode_request(request).map_err(|e| format!("cannot encode: {e:?}"))?;
    Ok(frame::seal(&body).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn secret(prefix: &str, number: u32) -> Outcome<SecretName> {
    Ok(SecretName::new(format!("{prefix}/key-{number}"))?)
}
