//! A crowd of clients that do nothing, or nearly nothing, keeps nobody from being served.

use crate::burden::Burden;
use keyagent_tests::{Home, Wire, eventually};
use keyagent_wire::Request;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

/// How many idle clients there are, and as many that are slow.
const CROWD: usize = 500;
/// How often a slow client sends a byte.
const BYTE_EVERY: Duration = Duration::from_secs(1);
/// How often each of the crowd is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a good client may wait. Only a bound: the benchmarks measure.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Clients that come back whenever they are hung up on.
struct Crowd {
    over: Arc<AtomicBool>,
    present: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    fn start(socket: PathBuf, slow: bool) -> Self {
        let (over, present) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (until, count) = (over.clone(), present.clone());
        let thread = spawn(move || crowd(&socket, slow, &until, &count));
        Self { over, present, thread: Some(thread) }
    }

    fn has_gathered(&self) {
        eventually("the crowd is there", || {
            (self.present.load(Ordering::SeqCst) >= CROWD).then_some(())
        });
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(!matches!(ended, Some(Err(_))) || std::thread::panicking(), "the crowd failed");
    }
}

fn crowd(socket: &Path, slow: bool, over: &AtomicBool, present: &AtomicUsize) {
    let mut members: Vec<_> = (0..CROWD).map(|_| come(socket, present)).collect();
    let mut last = Instant::now();
    while !over.load(Ordering::SeqCst) {
        let byte_is_due = slow && last.elapsed() >= BYTE_EVERY;
        if byte_is_due {
            last = Instant::now();
        }
        for member in &mut members {
            let sent = if byte_is_due { member.write(&[1]).map(drop) } else { Ok(()) };
            let gone = sent.is_err_and(|e| e.kind() != ErrorKind::WouldBlock)
                || !matches!(member.read(&mut [0; 64]), Err(e) if e.kind() == ErrorKind::WouldBlock);
            if gone {
                *member = come(socket, present);
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn come(socket: &Path, present: &AtomicUsize) -> UnixStream {
    let member = UnixStream::connect(socket).expect("the agent listens");
    member.set_nonblocking(true).expect("the socket is open");
    present.fetch_add(1, Ordering::SeqCst);
    member
}

/// Each of the crowd is a descriptor of ours.
fn make_room_for_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit can be read");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("up to the hard limit is ours");
    assert!(hard >= 2 * CROWD as u64 + 100, "this machine allows but {hard} descriptors");
}

#[test]
fn a_good_client_is_answered_in_a_crowd() {
    make_room_for_descriptors();
    let (home, agent) = Home::with_vault();
    home.wire().put("crowd/canary", home.canary().as_bytes());
    let burden = Burden::of(&agent);
    let idle = Crowd::start(home.socket(), false);
    let slow = Crowd::start(home.socket(), true);
    idle.has_gathered();
    slow.has_gathered();
    // Long enough for the slow ones to have sent, been hung up on, and come back.
    let end = Instant::now() + Duration::from_secs(5);
    let mut answered = 0;
    while Instant::now() < end {
        let start = Instant::now();
        let mut wire = Wire::try_connect(&home.socket()).expect("the agent listens");
        assert_eq!(wire.get("crowd/canary"), Ok(home.canary().as_bytes().to_vec()));
        assert!(start.elapsed() < ANSWER_MAX, "request {answered} took {:?}", start.elapsed());
        answered += 1;
        burden.has_not_grown(&agent);
    }
    assert!(answered >= 10, "only {answered} requests were answered");
    drop((idle, slow));
    assert!(matches!(home.wire().ask(&Request::Status), keyagent_wire::Reply::Status(_)));
    burden.is_back(&home, &agent);
}
