//! Pinentries that draw windows ask on the display that the client names.

use crate::stub;
use keyagent_tests::wire::{done, put};
use keyagent_tests::{Home, eventually};
use keyagent_wire::{Confirm, Request};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

/// A screen that nobody sees.
struct Screen {
    server: Child,
    display: String,
}

impl Screen {
    fn start(home: &Home) -> Self {
        let told = home.root().join("display");
        let server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"])
            .stdout(File::create(&told).expect("it is ours"))
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb runs");
        let number = eventually("Xvfb names its display", || {
            let text = fs::read_to_string(&told).ok()?;
            text.strip_suffix('\n').map(str::to_owned)
        });
        Self { server, display: format!(":{number}") }
    }

    /// Waits for a window, presses keys where it has the focus, and waits for its end.
    fn press(&self, keys: &[&str]) {
        let window = ["search", "--sync", "--onlyvisible", "--class", "pinentry"];
        self.does(&[&window[..], &["windowfocus", "--sync"]].concat());
        // Not to the window by name: the last key may end it.
        self.does(&[&["key"][..], keys].concat());
        let search = ["search", "--onlyvisible", "--class", "pinentry"];
        eventually("the window is gone", || (!self.xdotool(&search)).then_some(()));
    }

    fn does(&self, args: &[&str]) {
        assert!(self.xdotool(args), "xdotool {args:?}");
    }

    /// What it waits for may never come, and it has no patience of its own that ends.
    fn xdotool(&self, args: &[&str]) -> bool {
        let mut command = Command::new("timeout");
        command.args(["180", "xdotool"]).args(args).env("DISPLAY", &self.display);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.expect("there is a timeout").success()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // By a signal that it can catch: it takes its lock and its socket away.
        let _ = kill(Pid::from_raw(self.server.id() as i32), Signal::SIGTERM);
        let _ = self.server.wait();
    }
}

/// Deny has the focus when the window comes up, and Allow is one step away.
fn asks_on_the_display(program: &str) {
    let home = Home::new();
    let screen = Screen::start(&home);
    stub::configure(&home, Path::new(program), "60s");
    let _agent = home.agent();
    let mut wire = home.wire();
    wire.init(None);
    let mut secret = put("app/KEY", home.canary().as_bytes());
    secret.confirm = Some(Confirm::Always);
    done(wire.ask(&Request::Put(secret)));
    wire.commit().expect("it is written");
    let get = || {
        let get = home.command("setsid").args(["--wait", "keyagent", "get", "app/KEY"]);
        get.env("DISPLAY", &screen.display).env_remove("WAYLAND_DISPLAY").run()
    };
    for (keys, allowed) in [(&["Escape"][..], false), (&["Tab", "Return"], true)] {
        let got = thread::scope(|scope| {
            let got = scope.spawn(get);
            screen.press(keys);
            got.join().expect("it ends")
        });
        if allowed {
            got.quietly().prints(home.canary());
        } else {
            got.complains("denied");
        }
    }
}

#[test]
fn needs_xvfb_needs_xdotool_needs_pinentry_gtk_2_it_asks_on_the_display() {
    asks_on_the_display("/usr/bin/pinentry-gtk-2");
}

#[test]
fn needs_xvfb_needs_xdotool_needs_pinentry_qt_it_asks_on_the_display() {
    asks_on_the_display("/usr/bin/pinentry-qt");
}
