//! Serving: accept, read, answer, until told to stop. The one place with an async runtime.
//!
//! A peer of another uid is gone before a byte of it is read.

mod answer;
mod asking;
mod checkup;
mod connection;
mod door;
mod frames;
mod inbox;
mod keeper;
mod keyring;
pub mod listen;
mod looking;
mod mounts;
mod pinentry;
mod projects;
mod record;
mod resealing;
mod roster;
mod selfcheck;
mod session;
mod staging;
mod timer;

use crate::config::Config;
use crate::health::Findings;
use crate::peer::Peer;
use crate::places::Places;
use crate::spawner::Spawner;
use crate::vault::watch::Watch;
use keeper::Keeper;
use keyagent_wire::event::Why;
use mounts::{MANIFEST_MILLIS_MAX, THREADS_MAX};
use nix::unistd::geteuid;
use roster::Roster;
use selfcheck::Anchors;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};

/// How long accepting rests when there is no room, or no descriptor. Behind five hundred who
/// say nothing, a client waits for eight such rests.
const REST: Duration = Duration::from_millis(1);
/// How long the vault's directory must be quiet before it is looked at.
const QUIET: Duration = Duration::from_millis(100);

/// How often it is looked at where the system does not tell of changes.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How many threads are kept for the vault's files and for deriving keys.
const VAULT_THREADS_MAX: usize = 4;
/// How long the end waits for threads: those that a hung mount holds are left behind.
const END: Duration = Duration::from_millis(MANIFEST_MILLIS_MAX);

/// Serves until a client or a signal says stop. `ready` is called once requests are taken,
/// `leave` when no more are, before the last connection ends.
pub fn run(
    listener: StdListener,
    places: Places,
    config: Config,
    spawner: Spawner,
    findings: Findings,
    ready: impl FnOnce(),
    leave: impl FnOnce(),
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(VAULT_THREADS_MAX + THREADS_MAX)
        .thread_keep_alive(Duration::from_secs(1))
        .build()?;
    let served = LocalSet::new().block_on(&runtime, async {
        let anchors = Anchors::of(&places);
        let keeper = Rc::new(Keeper::new(places, config, spawner, findings));
        let listener = UnixListener::from_std(listener)?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        spawn_local(lock_on_hangup(keeper.clone(), signal(SignalKind::hangup())?));
        spawn_local(follow_changes(keeper.clone(), anchors));
        spawn_local(timer::lock_in_time(keeper.clone()));
        spawn_local(session::lock_with_session(keeper.clone()));
        spawn_local(record::write_anchors(keeper.clone()));
        spawn_local(record::end_epochs(keeper.clone()));
        spawn_local(looking::look_behind(keeper.clone()));
        ready();
        tokio::select! {
            () = accept(&listener, &keeper) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = keeper.stop.notified() => {}
        }
        keeper.lock(Why::Stopped, None).await;
        keeper.settle().await;
        record::end(&keeper).await;
        leave();
        tracing::info!("stopped");
        Ok(())
    });
    runtime.shutdown_timeout(END);
    served
}

async fn accept(listener: &UnixListener, keeper: &Rc<Keeper>) {
    let roster = Rc::new(Roster::default());
    let sweeper = roster.clone();
    spawn_local(async move { sweeper.sweep().await });
    let ours = geteuid();
    for number in 0.. {
        while !roster.make_room() {
            tokio::time::sleep(REST).await;
        }
        let socket = next(listener).await;
        let Some(peer) = Peer::of(&socket, ours) else {
            if let Some((uid, pid)) = Peer::stranger(&socket) {
                keeper.audit.stranger(uid, pid);
            }
            continue;
        };
        let socket = Rc::new(socket);
        let place = roster.add(number, socket.clone());
        spawn_local(connection::serve(socket, place, peer, keeper.clone()));
    }
}

/// The next connection. Without a descriptor to spare, accepting rests and goes on.
async fn next(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return socket,
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

async fn lock_on_hangup(keeper: Rc<Keeper>, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        keeper.lock(Why::Signal, None).await;
    }
}

/// Looks at the vault file, and whether this is still the agent that clients find, whenever
/// a directory has changed and is quiet again.
async fn follow_changes(keeper: Rc<Keeper>, anchors: Anchors) {
    let changed = Arc::new(Notify::new());
    let heard = changed.clone();
    let watched = [keeper.places().data(), &keeper.places().socket().directory];
    let watch = Watch::start(&watched, move || heard.notify_one());
    while let Ok(()) = anchors.hold() {
        // The log is written all day, and so its directory is not watched: it is in doubt once
        // it cannot be written.
        tokio::select! {
            () = changed.notified(), if watch.is_some() => {}
            () = tokio::time::sleep(LOOK_EVERY), if watch.is_none() => {}
            () = keeper.dues.doubt.notified() => {}
        }
        tokio::time::sleep(QUIET).await;
        keeper.reload().await;
    }
    keeper.lock(Why::Usurped, None).await;
    keeper.stop.notify_one();
}
