//! One agent for each user, however many are started at once.

use keyagent_tests::{Home, eventually, process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::thread;

#[test]
fn t09_t10_of_two_started_at_once_one_lives_two_hundred_times() {
    let home = Home::new();
    for round in 0..200 {
        let mut words = thread::scope(|scope| {
            let starters = [0, 1].map(|_| scope.spawn(|| home.detach_word()));
            starters.map(|starter| starter.join().expect("the starter does not panic"))
        });
        words.sort();
        assert_eq!(words, ["ready\n", "running\n"], "round {round}");
        let pid = home.agent_pid().expect("the agent holds its lock");
        assert_eq!(home.wire().status().pid, pid, "round {round}");
        // Every other one leaves a stale socket behind.
        let signal = if round % 2 == 0 { Signal::SIGKILL } else { Signal::SIGTERM };
        kill(Pid::from_raw(pid as i32), signal).expect("it is ours");
        eventually("it is gone", || (!process::is_alive(pid)).then_some(()));
        assert_eq!(home.socket().exists(), round % 2 == 0, "round {round}");
    }
}

#[test]
fn t09_of_two_hundred_started_at_once_one_lives() {
    let home = Home::new();
    let words: Vec<String> = thread::scope(|scope| {
        let starters: Vec<_> = (0..200).map(|_| scope.spawn(|| home.detach_word())).collect();
        starters.into_iter().map(|s| s.join().expect("the starter does not panic")).collect()
    });
    assert_eq!(words.iter().filter(|word| *word == "ready\n").count(), 1);
    assert_eq!(words.iter().filter(|word| *word == "running\n").count(), 199);
    let pid = home.agent_pid().expect("the agent holds its lock");
    assert_eq!(home.wire().status().pid, pid);
}

#[test]
fn of_eight_clients_at_once_none_fails() {
    let home = Home::new();
    for _ in 0..10 {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| home.keyagent(["start"]).run().code(0));
            }
        });
        let pid = home.agent_pid().expect("the agent holds its lock");
        assert_eq!(home.wire().status().pid, pid);
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).expect("it is ours");
        eventually("it is gone", || (!process::is_alive(pid)).then_some(()));
    }
}

#[test]
fn a_second_agent_leaves_the_first_alone() {
    let (home, agent) = Home::with_vault();
    assert_eq!(home.detach_word(), "running\n");
    let second = home.command(home.program("keyagentd")).run().code(1);
    second.complains("cannot start: another agent is running");
    agent.answers(&home);
}

#[test]
fn t05_t10_what_is_no_socket_is_not_removed() {
    let home = Home::new();
    let run = home.make_directory("run/keyagent");
    let socket = home.socket();
    let precious = home.write("precious", "precious");
    fs::write(&socket, "precious").expect("it is ours");
    let word = home.detach_word();
    assert!(word.starts_with("failed: cannot use `"), "{word}");
    assert_eq!(fs::read(&socket).expect("it is there"), b"precious");
    fs::remove_file(&socket).expect("it is ours");
    symlink(&precious, &socket).expect("it is ours");
    let word = home.detach_word();
    assert!(word.starts_with("failed: cannot use `"), "{word}");
    assert_eq!(socket.read_link().expect("it is there"), precious);
    assert_eq!(fs::read(&precious).expect("it is there"), b"precious");
    fs::remove_file(&socket).expect("it is ours");
    fs::create_dir(&socket).expect("it is ours");
    assert!(home.detach_word().starts_with("failed: cannot use `"));
    assert!(socket.is_dir());
    fs::remove_dir(&socket).expect("it is ours");
    // A socket that nobody listens at any more is taken over.
    drop(UnixListener::bind(&socket).expect("it is ours"));
    assert_eq!(home.detach_word(), "ready\n");
    assert!(run.join("agent.sock.lock").exists());
    home.wire().status();
}

#[test]
fn stop_ends_it_and_takes_the_socket_away() {
    let home = Home::new();
    let (word, mut agent) = home.detached();
    assert_eq!(word, "ready\n");
    keyagent_tests::wire::done(home.wire().ask(&keyagent_wire::Request::Stop));
    agent.wait();
    assert!(!home.socket().exists());
}
