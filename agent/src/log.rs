//! The agent's own log: small, ours alone, and bounded. Facts and names, never values.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing_subscriber::fmt::MakeWriter;

/// How large the log may grow before it becomes `agent.log.1` and begins anew.
const LOG_BYTES_MAX: u64 = 256 * 1024;

/// Sends what is logged from now on to that file, and panics there too, without payload:
/// a payload may quote what was being handled.
pub fn start(path: &Path) -> io::Result<()> {
    crate::vault::file::make_directory(path.parent().unwrap_or(path))?;
    let log = BoundedLog(Mutex::new(Current::open(path)?));
    // What cannot be logged is lost. To say so on stderr, which may fail just as well, would
    // panic in the middle of a request, and then wait for the log that it holds itself.
    let log = tracing_subscriber::fmt().with_writer(log).log_internal_errors(false);
    log.with_ansi(false).with_target(false).init();
    std::panic::set_hook(Box::new(|info| match info.location() {
        Some(at) => tracing::error!(file = at.file(), line = at.line(), "panic"),
        None => tracing::error!("panic"),
    }));
    Ok(())
}

struct BoundedLog(Mutex<Current>);

struct Current {
    path: PathBuf,
    file: File,
    bytes: u64,
}

struct Writer<'a>(MutexGuard<'a, Current>);

impl Current {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes })
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        match std::fs::rename(&self.path, old) {
            // Somebody has taken it away already.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        *self = Self::open(&self.path)?;
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for BoundedLog {
    type Writer = Writer<'a>;

    fn make_writer(&'a self) -> Writer<'a> {
        Writer(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Writer<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.bytes + line.len() as u64 > LOG_BYTES_MAX {
            self.0.begin_anew()?;
        }
        let written = self.0.file.write(line)?;
        self.0.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.file.flush()
    }
}
