//! What a stranger tries, as a process of its own, so that it can run as another user.
//! Prints what it got: nothing is good.

use keyagent_tests::Wire;
use keyagent_wire::Request;
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::error::Error;
use std::fs;
use std::io::{IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: probe connect SOCKET COUNT | probe hammer SOCKET | \
                     probe listen SOCKET COUNT | probe inspect PID";
/// What /proc shows of a process that holds secrets.
const FILES: &[&str] = &[
    "mem",
    "environ",
    "maps",
    "smaps",
    "smaps_rollup",
    "numa_maps",
    "pagemap",
    "auxv",
    "io",
    "map_files",
    "fd",
    "fdinfo",
    "stack",
    "syscall",
    "personality",
    "task/1/mem",
];
const LINKS: &[&str] = &["exe", "cwd", "root", "ns/mnt"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let got = match words[..] {
        ["connect", socket, count] => connect(Path::new(socket), count),
        ["hammer", socket] => hammer(Path::new(socket)),
        ["listen", socket, count] => listen(Path::new(socket), count),
        ["inspect", pid] => inspect(pid),
        _ => Err(USAGE.into()),
    };
    let (text, code) = match got {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(error) => (format!("probe: {error}\n"), ExitCode::FAILURE),
    };
    let written = std::io::stdout().write_all(text.as_bytes());
    if written.is_ok() { code } else { ExitCode::FAILURE }
}

/// Connects that often, asks, and tells how often it got in and how many bytes it was given.
fn connect(socket: &Path, count: &str) -> Result<String, Box<dyn Error>> {
    let (mut connected, mut bytes) = (0, 0);
    for _ in 0..count.parse()? {
        let mut wire = Wire::try_connect(socket)?;
        connected += 1;
        // We may be gone before we have asked.
        let _ = wire.send(&Request::Status);
        let _ = wire.socket().shutdown(Shutdown::Write);
        bytes += wire.rest()?.len();
    }
    Ok(format!("{connected} connections, {bytes} bytes\n"))
}

/// Connects whenever that is possible, until stdin ends: how often it got in. Once it has tried,
/// it says so.
fn hammer(socket: &Path) -> Result<String, Box<dyn Error>> {
    let over = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let mut connected = 0;
    for tried in 0_u64.. {
        let _ = fs::set_permissions(socket, fs::Permissions::from_mode(0o777));
        connected += u64::from(UnixStream::connect(socket).is_ok());
        if tried == 0 {
            writeln!(std::io::stdout(), "hammering")?;
        }
        if over.is_finished() {
            break;
        }
    }
    Ok(format!("{connected} connections\n"))
}

/// Listens, and tells how many bytes that many clients have sent.
fn listen(socket: &Path, count: &str) -> Result<String, Box<dyn Error>> {
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o777))?;
    let mut bytes = 0;
    for _ in 0..count.parse()? {
        bytes += listener.accept()?.0.read_to_end(&mut Vec::new())?;
    }
    Ok(format!("{bytes} bytes\n"))
}

/// Tells, a line each, by which ways it could look into a process.
fn inspect(pid: &str) -> Result<String, Box<dyn Error>> {
    let proc = Path::new("/proc").join(pid);
    let mut ways = String::new();
    for name in FILES {
        let path = proc.join(name);
        let listed = fs::read_dir(&path).is_ok();
        let opened = fs::File::open(&path);
        // Whether one may is decided at open(2) for these, and nothing lies at address 0.
        let enough = opened.is_ok() && name.ends_with("mem");
        let read = opened.and_then(|mut file| file.read(&mut [0; 64]));
        if listed || enough || read.is_ok() {
            ways += &format!("{name}\n");
        }
    }
    ways.extend(
        LINKS.iter().filter(|l| proc.join(l).read_link().is_ok()).map(|l| format!("{l}\n")),
    );
    let process = Pid::from_raw(pid.parse()?);
    let mut buffer = [0; 8];
    let remote = RemoteIoVec { base: 0x1000, len: 8 };
    // Without the right to look it is EPERM, before the address is.
    if process_vm_readv(process, &mut [IoSliceMut::new(&mut buffer)], &[remote])
        != Err(Errno::EPERM)
    {
        ways += "process_vm_readv\n";
    }
    if ptrace::seize(process, ptrace::Options::empty()).is_ok() {
        ways += "ptrace\n";
    }
    Ok(ways)
}
