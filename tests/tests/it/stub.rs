//! A pinentry that answers as a test wants it to. It shows nothing, and writes down what it
//! would have shown.

use keyagent_tests::Home;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const STUB: &str = r##"#!/bin/sh
cd "$(dirname "$0")" || exit
echo 'OK at your service'
while read -r line; do
  case $line in
    SETDESC*) echo "$line" >>shown; echo OK ;;
    GETPIN*)
      echo $$ >>asked
      while ! [ -e go ]; do sleep 0.01; done
      if [ -s pin ]; then echo "D $(cat pin)"; echo OK
      else echo 'ERR 83886179 Operation cancelled'; fi ;;
    CONFIRM*)
      echo $$ >>asked
      case $(cat answer) in
        yes) echo OK ;;
        no) echo 'ERR 83886179 Operation cancelled' ;;
        other) echo 'ERR 83918950 Inappropriate ioctl for device' ;;
        hold) while ! [ -e go ]; do sleep 0.01; done; echo OK ;;
        hang) exec sleep 1000 ;;
        crash) kill -SEGV $$ ;;
        end) exit 0 ;;
        garbage) echo 'OKAY yes' ;;
        binary) head -c 900 /dev/urandom; echo; echo OK ;;
        flood) head -c 10000000 /dev/zero; echo; echo OK ;;
        lines) yes '# x' | head -n 100000; echo OK ;;
      esac ;;
    *) echo OK ;;
  esac
done
"##;

/// The directory of such a pinentry.
pub struct Stub(PathBuf);

impl Stub {
    /// One in that home, whose config has still to name it.
    pub fn new(home: &Home) -> Self {
        let stub = Self(home.make_directory("stub"));
        fs::write(stub.program(), STUB).expect("it is ours");
        fs::set_permissions(stub.program(), Permissions::from_mode(0o700)).expect("it is ours");
        stub
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.0.join("pinentry")
    }

    /// What it is told to answer by.
    pub fn answer(&self) -> PathBuf {
        self.0.join("answer")
    }

    /// What it answers from now on.
    pub fn answers(&self, answer: &str) {
        fs::write(self.answer(), answer).expect("it is ours");
    }

    /// The passphrase that it gives when it is told to go on.
    pub fn knows(&self, home: &Home, passphrase: &str) {
        fs::write(self.0.join("pin"), passphrase).expect("it is ours");
        home.may_hold(self.0.join("pin"));
    }

    /// It gives none from now on: the human says no.
    pub fn cancels(&self) {
        fs::write(self.0.join("pin"), "").expect("it is ours");
    }

    /// One that holds its answer gives it.
    pub fn go(&self) {
        fs::write(self.0.join("go"), "").expect("it is ours");
    }

    /// From now on it holds its answer again.
    pub fn hold(&self) {
        let _ = fs::remove_file(self.0.join("go"));
    }

    /// The processes that have shown a dialog.
    pub fn dialogs(&self) -> Vec<u32> {
        let asked = fs::read_to_string(self.0.join("asked")).unwrap_or_default();
        asked.lines().map(|pid| pid.parse().expect("it is a pid")).collect()
    }

    /// The texts that it was given.
    pub fn shown(&self) -> String {
        fs::read_to_string(self.0.join("shown")).unwrap_or_default()
    }
}

/// Has an agent that starts from now on ask by that program, for so long.
pub fn configure(home: &Home, program: &Path, timeout: &str) {
    let config = home.make_directory("config/keyagent").join("config.toml");
    let text = format!("[ask]\npinentry = \"{}\"\ntimeout = \"{timeout}\"\n", program.display());
    fs::write(&config, text).expect("it is ours");
    fs::set_permissions(&config, Permissions::from_mode(0o600)).expect("it is ours");
}
