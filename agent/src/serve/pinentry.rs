//! A conversation with a pinentry: it runs in a helper, and all that it says has a limit.
//!
//! What was typed lies in one buffer that is wiped, and in the value that it becomes.

use crate::ask::assuan::{LINE_BYTES_MAX, Line, argument, parse};
use crate::ask::pinentry::{Place, find};
use crate::config::Ask;
use crate::spawner::Spawner;
use keyagent_wire::request::Screen;
use keyagent_wire::{Refusal, Value};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// All that a pinentry may say, in bytes and lines.
const OUTPUT_BYTES_MAX: usize = 16 * 1024;
const OUTPUT_LINES_MAX: usize = 256;
/// The longest that can be typed: it comes in one line.
const TYPED_BYTES_MAX: usize = LINE_BYTES_MAX;
/// How much longer than its own time-out a pinentry is waited for.
const GRACE: Duration = Duration::from_secs(2);

/// What the human said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Yes.
    Yes,
    /// No, or nothing in time.
    No,
    /// Nobody was asked: the pinentry failed.
    Nothing,
}

/// How a conversation failed.
#[derive(Debug)]
enum Broken {
    /// The socket ended, or did not take what was said.
    Io(io::Error),
    /// It said what no pinentry says, or too much of it.
    Garbage,
    /// It refused a command: the code.
    Refused(u32),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How one command ended.
enum Done {
    Ok,
    No,
}

/// A program and a screen by which a human can be asked.
pub struct Way {
    program: std::path::PathBuf,
    place: Place,
    seconds: u64,
}

impl Way {
    /// Finds one. A program that the user has named may know another screen than we do.
    pub fn find(config: &Ask, screen: &Screen) -> Result<Self, Refusal> {
        let program = find(config).ok_or(Refusal::NoPinentry)?;
        let place = Place::of(screen);
        if config.pinentry.is_none() && !place.is_anywhere() {
            return Err(Refusal::NoPinentry);
        }
        Ok(Self { program, place, seconds: config.timeout.as_secs() })
    }

    /// Asks a question that is answered with yes or no.
    pub async fn confirm(&self, spawner: &Spawner, text: &str) -> Said {
        let asking = async {
            let mut pinentry = self.start(spawner).await?;
            pinentry.describe(self.seconds, text).await?;
            pinentry.tell("SETOK Allow").await?;
            pinentry.tell("SETCANCEL Deny").await?;
            pinentry.command("CONFIRM", None).await
        };
        match self.in_time(asking).await {
            Ok(Done::Ok) => Said::Yes,
            Ok(Done::No) => Said::No,
            Err(broken) => failed(&broken),
        }
    }

    /// Asks for a passphrase; none if the human said no, or nothing in time.
    pub async fn passphrase(
        &self,
        spawner: &Spawner,
        text: &str,
    ) -> Result<Option<Value>, Refusal> {
        let mut typed = Zeroizing::new(Vec::with_capacity(TYPED_BYTES_MAX));
        let asking = async {
            let mut pinentry = self.start(spawner).await?;
            pinentry.describe(self.seconds, text).await?;
            pinentry.tell("SETPROMPT Passphrase:").await?;
            pinentry.command("GETPIN", Some(&mut typed)).await
        };
        match self.in_time(asking).await {
            Ok(Done::Ok) => Value::new(&typed).map(Some).map_err(|_| Refusal::WrongPassphrase),
            Ok(Done::No) => Ok(None),
            Err(broken) => {
                failed(&broken);
                Err(Refusal::PinentryFailed)
            }
        }
    }

    async fn start(&self, spawner: &Spawner) -> Result<Pinentry, Broken> {
        let stream = spawner.start(&self.place.job(self.program.clone()))?;
        // std would do this by ioctl, which the sandbox does not let be called.
        fcntl(&stream, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(io::Error::from)?;
        let mut pinentry = Pinentry {
            stream: UnixStream::from_std(stream)?,
            buffer: Zeroizing::new([0; LINE_BYTES_MAX + 1]),
            filled: 0,
            bytes: 0,
            lines: 0,
        };
        match pinentry.answer(None).await? {
            Done::Ok => {}
            Done::No => return Err(Broken::Garbage),
        }
        for option in self.place.options() {
            pinentry.tell(&option).await?;
        }
        Ok(pinentry)
    }

    /// A pinentry that hangs has said no.
    async fn in_time(
        &self,
        asking: impl Future<Output = Result<Done, Broken>>,
    ) -> Result<Done, Broken> {
        let limit = Duration::from_secs(self.seconds) + GRACE;
        timeout(limit, asking).await.unwrap_or(Ok(Done::No))
    }
}

fn failed(broken: &Broken) -> Said {
    match broken {
        Broken::Io(error) => tracing::warn!(%error, "the pinentry failed"),
        Broken::Garbage => tracing::warn!("the pinentry said what no pinentry says"),
        Broken::Refused(code) => tracing::warn!(code, "the pinentry could not ask"),
    }
    Said::Nothing
}

/// One that runs. Dropping it ends it.
struct Pinentry {
    stream: UnixStream,
    buffer: Zeroizing<[u8; LINE_BYTES_MAX + 1]>,
    filled: usize,
    bytes: usize,
    lines: usize,
}

impl Pinentry {
    async fn describe(&mut self, seconds: u64, text: &str) -> Result<(), Broken> {
        self.tell("SETTITLE keyagent").await?;
        self.tell(&format!("SETTIMEOUT {seconds}")).await?;
        match self.command(&format!("SETDESC {}", argument(text)), None).await? {
            Done::Ok => Ok(()),
            // What is not shown must not be confirmed.
            Done::No => Err(Broken::Garbage),
        }
    }

    /// Tells it what it may not know: not every pinentry has every option.
    async fn tell(&mut self, command: &str) -> Result<(), Broken> {
        match self.command(command, None).await {
            Ok(_) | Err(Broken::Refused(_)) => Ok(()),
            Err(broken) => Err(broken),
        }
    }

    async fn command(&mut self, command: &str, data: Option<&mut Vec<u8>>) -> Result<Done, Broken> {
        if command.len() > LINE_BYTES_MAX {
            return Err(Broken::Garbage);
        }
        self.stream.write_all(format!("{command}\n").as_bytes()).await?;
        self.answer(data).await
    }

    /// Reads to the end of its answer. What was typed goes to `data`, within its capacity.
    async fn answer(&mut self, mut data: Option<&mut Vec<u8>>) -> Result<Done, Broken> {
        loop {
            let end = self.line_end().await?;
            let outcome = match parse(&mut self.buffer[..end]) {
                Line::Ok => Some(Ok(Done::Ok)),
                Line::No => Some(Ok(Done::No)),
                Line::Error(code) => Some(Err(Broken::Refused(code))),
                Line::Data(bytes) => match &mut data {
                    Some(data) if data.len() + bytes.len() <= data.capacity() => {
                        data.extend_from_slice(bytes);
                        None
                    }
                    _ => Some(Err(Broken::Garbage)),
                },
                Line::Idle => None,
                Line::Garbage => Some(Err(Broken::Garbage)),
            };
            self.buffer.copy_within(end + 1..self.filled, 0);
            self.filled -= end + 1;
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
    }

    /// Where the first line of the buffer ends.
    async fn line_end(&mut self) -> Result<usize, Broken> {
        loop {
            let end = self.buffer[..self.filled].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                self.lines += 1;
                return if self.lines > OUTPUT_LINES_MAX { Err(Broken::Garbage) } else { Ok(end) };
            }
            if self.filled == self.buffer.len() || self.bytes > OUTPUT_BYTES_MAX {
                return Err(Broken::Garbage);
            }
            match self.stream.read(&mut self.buffer[self.filled..]).await? {
                0 => return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into())),
                count => {
                    self.filled += count;
                    self.bytes += count;
                }
            }
        }
    }
}
