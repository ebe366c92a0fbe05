//! `--selftest-sandbox PROBE`: tries, from inside, one thing that must not work.
//!
//! One probe a process, since some of them end it. It holds no vault and serves nobody.

use keyagent_sys::harden;
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl::set_dumpable;
use nix::sys::ptrace::traceme;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::kill;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, sendto, socketpair};
use nix::unistd::getppid;
use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The name of a probe, and what it tries.
pub type Probe = (&'static str, fn() -> io::Result<()>);

/// What can be tried, by its name.
pub const PROBES: &[Probe] = &[
    ("open", || File::open("/etc/passwd").map(drop)),
    ("list", || fs::read_dir("/").map(drop)),
    ("write", || fs::write("/tmp/keyagent-selftest", "")),
    ("exec", || Err(Command::new("/bin/true").exec())),
    ("spawn", || Command::new("/bin/true").status().map(drop)),
    ("tcp", || TcpStream::connect("127.0.0.1:9").map(drop)),
    ("listen", || TcpListener::bind("127.0.0.1:0").map(drop)),
    ("udp", || UdpSocket::bind("127.0.0.1:0").map(drop)),
    ("unix", || UnixStream::connect("/run/keyagent-selftest").map(drop)),
    ("datagram", || UnixDatagram::unbound().map(drop)),
    ("pair", datagram_pair),
    ("kill", || Ok(kill(getppid(), None)?)),
    ("ptrace", || Ok(traceme()?)),
    ("code", || harden::map_code()),
    ("limits", || Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)),
    ("dump", || Ok(set_dumpable(true)?)),
];

/// Tries it: true if it was refused. Says so in one line; none if there is no such probe.
pub fn run(probe: &str) -> Option<(bool, String)> {
    let (name, attempt) = PROBES.iter().find(|(name, _)| *name == probe)?;
    Some(match attempt().map_err(|error| error.raw_os_error()) {
        Err(Some(libc::EPERM | libc::EACCES)) => (true, format!("{name}: refused\n")),
        Err(errno) => (false, format!("{name}: failed otherwise: {errno:?}\n")),
        Ok(()) => (false, format!("{name}: done\n")),
    })
}

/// A pair of datagram sockets could speak to any other name.
fn datagram_pair() -> io::Result<()> {
    let kind = SockType::Datagram;
    let (near, _far) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?;
    let elsewhere = UnixAddr::new("/run/keyagent-selftest")?;
    match sendto(near.as_raw_fd(), b"x", &elsewhere, MsgFlags::empty()) {
        Err(Errno::ENOENT | Errno::ECONNREFUSED) | Ok(_) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
