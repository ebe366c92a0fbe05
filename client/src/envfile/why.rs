//! The words: why an assignment is left, why a file cannot be read, why a value is a
//! secret. Facts and line numbers only, never a byte of a value.

use std::fmt;

/// Why an assignment is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftWhy {
    /// `$(…)`, backticks, `$VAR`, `${…}`, `<(…)`, `~`.
    NeedsShell,
    /// An unquoted `{`, which `export` expands and a bare assignment does not.
    Brace,
    /// `$"…"`, or a `\u` beyond ASCII: what it is depends on the locale.
    Locale,
    /// `A=(…)` or `A[0]=…`.
    Array,
    /// `A+=…`.
    Append,
    /// A name that no variable of a manifest may have.
    BadName,
    /// A variable that changes how programs run.
    Reserved,
    /// Inside `if`, a loop, a function, `{ }` or a subshell.
    InBlock,
    /// Behind `||`, in a pipeline or in the background: not always run, or not run here.
    Conditional,
    /// `A=1 command`, or a word that a command reads in its own way.
    Command,
    /// `declare -x`: direnv reads the file inside a function, where it stays local.
    Local,
    /// `readonly A`, `declare -i A` and their kind.
    Declared,
    /// Never exported.
    Unexported,
    /// Taken out of the environment again.
    Unset,
    /// Hidden behind a byte order mark.
    ByteOrderMark,
    /// In a comment.
    Commented,
    /// Something on this line might set or read it, between the first key and the last word on it.
    Order(usize),
    /// A line above changes where `use keyagent` would look for the project or the agent.
    Footing(usize),
    /// The script looks at its own line numbers, or at what ran last.
    Position(usize),
    /// Longer than a value may be.
    TooLong,
    /// A NUL, which no environment can hold.
    Nul,
    /// A notation that tools read in different ways.
    ToolsDisagree,
    /// Not UTF-8, which tools change.
    Encoding,
    /// JSON: `null`, an object or a list.
    NotText,
    /// Assigned more than once, and one of them is left.
    Again(usize),
    /// Not readable without guessing.
    Unclear,
    /// No assignment at all, but it looks like a key.
    Stray,
}

impl fmt::Display for LeftWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeedsShell => "its value needs a shell",
            Self::Brace => "a brace outside quotes may expand",
            Self::Locale => "its value depends on the locale",
            Self::Array => "it is an array",
            Self::Append => "it adds to an earlier value",
            Self::BadName => "its name is not one that a manifest may hold",
            Self::Reserved => "that variable changes how programs run",
            Self::InBlock => "it is inside a block, a function or a subshell",
            Self::Conditional => "it does not always run, or not in this shell",
            Self::Command => "it belongs to a command",
            Self::Local => "direnv keeps it local; write `export` instead",
            Self::Declared => "it is declared with attributes elsewhere in the file",
            Self::Unexported => "it is not exported; write `export` before it",
            Self::Unset => "the file takes it out of the environment again",
            Self::ByteOrderMark => "a byte order mark before it hides it from bash",
            Self::Commented => "it is in a comment",
            Self::TooLong => "it is longer than 64 KiB",
            Self::Nul => "it has a NUL byte, which no environment variable can hold",
            Self::ToolsDisagree => "tools read its value in different ways",
            Self::Encoding => "it is not UTF-8",
            Self::NotText => "it is not a text, a number or a truth value",
            Self::Unclear => "its value is not clear",
            Self::Stray => "it looks like a key, and is no assignment that can be taken",
            Self::Order(line) => {
                return write!(f, "line {line} may set or read it; move it above that line");
            }
            Self::Footing(line) => {
                return write!(f, "`use keyagent` would not work below line {line}; move it above");
            }
            Self::Position(line) => {
                return write!(f, "line {line} looks at how other lines run, or changes it");
            }
            Self::Again(line) => return write!(f, "line {line} assigns it again, and is left"),
        })
    }
}

/// What a file has that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A quote or a block that is never closed.
    Unclosed,
    /// Something that cannot be told apart with certainty.
    Unreadable,
    /// Blocks inside blocks without end.
    Deep,
    /// A NUL byte.
    Nul,
    /// Not JSON.
    NotJson,
    /// A script, or something else, that is none of the files that are read.
    Script,
}

/// Why a file cannot be read, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParseError {
    /// The line, from 1.
    pub(crate) line: usize,
    /// What is there.
    pub(crate) fault: Fault,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            Fault::Unclosed => "a quote or a block is never closed",
            Fault::Unreadable => "this syntax cannot be read with certainty",
            Fault::Deep => "blocks are nested too deeply",
            Fault::Nul => "there is a NUL byte (is the file UTF-16?)",
            Fault::NotJson => "it is not one JSON object",
            Fault::Script => "this is no .envrc, no .env and no JSON",
        };
        write!(f, "line {}: {what}", self.line)
    }
}

impl std::error::Error for ParseError {}

/// Why a value counts as a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its name has a word of this kind.
    Name(&'static str),
    /// It begins, or is built, as this kind of key.
    Shape(&'static str),
    /// Nothing but a generator writes this.
    Random,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(word) => write!(f, "its name has {word}"),
            Self::Shape(kind) => write!(f, "it looks like {kind}"),
            Self::Random => f.write_str("it looks random"),
        }
    }
}
