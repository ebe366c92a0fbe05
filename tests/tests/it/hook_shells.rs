//! The three shells with our hook in them: how each is started, and words that mean the same
//! in all of them, so that a property is written once.

use crate::given;
use keyagent_tests::{Agent, Home, Output, Terminal};
use std::fs;
use std::path::PathBuf;

/// A shell.
pub struct Shell {
    /// Its program.
    pub name: &'static str,
    /// What has it run a script and read no file of its user.
    pub script: &'static [&'static str],
    /// The line that installs the hook.
    pub hook: &'static str,
    /// What stands before each script. The same words for each shell: `prompt` does what the
    /// hook does before a prompt, `show` prints what a program sees, `kind` how the shell has
    /// a variable; `mine` exports one, `plain` only sets it, and `forget` unsets it.
    words: &'static str,
    /// What makes its prompt a word that can be waited for, and nothing else of its screen.
    ready: &'static str,
}

/// bash.
pub const BASH: Shell = Shell {
    name: "bash",
    script: &["--norc", "-c"],
    hook: "eval \"$(keyagent hook bash)\"\n",
    words: r#"
prompt() { __keyagent_prompt; }
show() { sh -c 'echo "${A_KEY-none} ${B_KEY-none} ${O_KEY-none}"'; }
kind() {
  if printenv "$1" >/dev/null; then echo "exported ${!1}"
  elif [ "${!1+set}" ]; then echo "plain ${!1}"; else echo unset; fi
}
mine() { export "$1=$2"; }
plain() { printf -v "$1" %s "$2"; }
forget() { unset -v "$1"; }
"#,
    ready: "PS1='ready> '\n",
};

/// zsh.
pub const ZSH: Shell = Shell {
    name: "zsh",
    script: &["-f", "-c"],
    hook: "eval \"$(keyagent hook zsh)\"\n",
    words: r#"
prompt() { __keyagent_prompt }
show() { sh -c 'echo "${A_KEY-none} ${B_KEY-none} ${O_KEY-none}"' }
kind() {
  if printenv "$1" >/dev/null; then print -r -- "exported ${(P)1}"
  elif [[ -v $1 ]]; then print -r -- "plain ${(P)1}"; else print unset; fi
}
mine() { export "$1=$2" }
plain() { typeset -g "$1=$2" }
forget() { unset "$1" }
"#,
    ready: "PROMPT='ready> '; unsetopt prompt_sp\n",
};

/// fish.
pub const FISH: Shell = Shell {
    name: "fish",
    script: &["--no-config", "-c"],
    hook: "keyagent hook fish | source\n",
    words: r#"
function prompt; emit fish_prompt; end
function show; sh -c 'echo "${A_KEY-none} ${B_KEY-none} ${O_KEY-none}"'; end
function kind
  if printenv $argv[1] >/dev/null; echo "exported $$argv[1]"
  else if set -q $argv[1]; echo "plain $$argv[1]"; else; echo unset; end
end
function mine; set -gx $argv[1] $argv[2]; end
function plain; set -g $argv[1] $argv[2]; end
function forget; set -eg $argv[1]; end
"#,
    ready: "function fish_prompt; echo -n 'ready> '; end; set -g fish_greeting\n",
};

/// Makes a test for each shell of each property: a function that takes the shell.
macro_rules! in_each_shell {
    ($($property:ident),+ $(,)?) => {
        mod bash {
            $(#[test] fn $property() { super::$property(&$crate::hook_shells::BASH); })+
        }
        mod needs_zsh_zsh {
            $(#[test] fn $property() { super::$property(&$crate::hook_shells::ZSH); })+
        }
        mod needs_fish_fish {
            $(#[test] fn $property() { super::$property(&$crate::hook_shells::FISH); })+
        }
    };
}
pub(crate) use in_each_shell;

/// Two projects: `work/one` has `A_KEY`, the canary, and as profile `prod` another value;
/// `work/two` has `B_KEY`. The vault has a value for the user's own manifest, too.
pub fn projects() -> (Home, Agent) {
    let (home, agent) = Home::with_vault();
    home.wire().put("one/A_KEY", home.canary().as_bytes());
    home.wire().put("two/B_KEY", b"b");
    home.wire().put("own/O_KEY", b"o");
    project(&home, "one", "A_KEY = \"one/A_KEY\"\n[profile.prod.env]\nA_KEY = \"two/B_KEY\"");
    project(&home, "two", "B_KEY = \"two/B_KEY\"");
    (home, agent)
}

/// Makes a project below the working directory, and allows it.
pub fn project(home: &Home, name: &str, lines: &str) -> PathBuf {
    let directory = home.work().join(name);
    given::manifest(home, &directory, &format!("[env]\n{lines}\n"));
    given::allow(home, &directory);
    directory
}

/// Writes and allows the user's own manifest, which has `O_KEY`.
pub fn own_manifest(home: &Home) {
    given::manifest(home, home.config(), "[env]\nO_KEY = \"own/O_KEY\"\n");
    given::allow(home, home.config());
}

impl Shell {
    /// Runs a script with the hook installed; it must end well.
    pub fn run(&self, home: &Home, script: &str) -> Output {
        self.run_after(home, "", script)
    }

    /// The same, with the hook installed behind what `before` says.
    pub fn run_after(&self, home: &Home, before: &str, script: &str) -> Output {
        self.try_run(home, before, script).code(0)
    }

    /// The same, however it ends.
    pub fn try_run(&self, home: &Home, before: &str, script: &str) -> Output {
        home.command(self.name).args(self.script).arg(self.text(before, script)).run()
    }

    /// The same, with these variables in its environment.
    pub fn run_with(&self, home: &Home, env: &[(&str, &str)], script: &str) -> Output {
        let run = home.command(self.name).args(self.script).arg(self.text("", script));
        env.iter().fold(run, |run, (name, value)| run.env(name, value)).run()
    }

    /// The text of a script: the words, `before`, the hook, and the script itself.
    pub fn text(&self, before: &str, script: &str) -> String {
        format!("{}{before}\n{}{script}\n", self.words, self.hook)
    }

    /// What the script prints; `@` stands for the canary.
    pub fn shows(&self, home: &Home, script: &str, expected: &str) -> Output {
        self.run(home, script).prints(given::fill(home, expected))
    }

    /// Starts it at a terminal, with a file of its user that installs the hook between
    /// `before` and `after`, and waits for its prompt.
    pub fn start<'a>(&self, home: &'a Home, before: &str, after: &str) -> Human<'a> {
        let arguments = self.interactive(home, before, after);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Human::at(home, self.name, &arguments)
    }

    /// Writes the file of its user, and what has the shell read it. zsh needs `ZDOTDIR`, too.
    pub fn interactive(&self, home: &Home, before: &str, after: &str) -> Vec<String> {
        let directory = home.make_directory("rc");
        let text = format!("{}{before}\n{}{after}\n{}", self.words, self.hook, self.ready);
        let file = directory.join(if self.name == "zsh" { ".zshrc" } else { "rc" });
        fs::write(&file, text).expect("a file of ours");
        let file = file.display().to_string();
        match self.name {
            "bash" => vec!["--rcfile".into(), file, "-i".into()],
            "zsh" => vec!["-i".into()],
            _ => vec!["--no-config".into(), "-C".into(), format!("source {file}")],
        }
    }
}

/// A human at a shell.
pub struct Human<'a> {
    /// The terminal.
    pub terminal: Terminal<'a>,
    lines: usize,
}

impl<'a> Human<'a> {
    /// Starts a program that becomes a shell, and waits for its prompt.
    pub fn at(home: &'a Home, program: &str, arguments: &[&str]) -> Self {
        let rc = home.root().join("rc").display().to_string();
        let env = [("ZDOTDIR", &*rc), ("TERM", "xterm")];
        let mut terminal = Terminal::run(home, program, arguments, &env);
        terminal.expect("ready> ");
        Self { terminal, lines: 0 }
    }

    /// Types a line, and waits for the prompt after it.
    pub fn types(&mut self, line: &str) {
        self.types_and_sees(line, None);
    }

    /// The same, where the line shows that.
    pub fn shows(&mut self, line: &str, then: &str) {
        self.types_and_sees(line, Some(then));
    }

    fn types_and_sees(&mut self, line: &str, then: Option<&str>) {
        self.lines += 1;
        // What is typed is on the screen, too: the mark is another there.
        self.terminal.line(&format!("{line}; echo 'do''ne' {}", self.lines));
        if let Some(then) = then {
            self.terminal.expect(then);
        }
        self.terminal.expect(&format!("done {}", self.lines));
        self.terminal.expect("ready> ");
    }

    /// Has a prompt come, and looks at what programs get then.
    pub fn sees(&mut self, env: &str) {
        self.types("true");
        self.shows("show", &format!("{env}\r\n"));
    }

    /// Types `exit`: all that was on the screen.
    pub fn leaves(mut self) -> String {
        self.terminal.line("exit");
        self.terminal.end_with_value().stdout_text()
    }
}

/// Words for scripts, behind the hook: from then on the client that it runs counts how often
/// it was started, and `starts` says so.
pub fn counting(home: &Home, shell: &Shell) -> String {
    let file = home.root().join("counting");
    let program = format!(
        "#!/bin/sh\necho >>'{0}/count'\nexec '{1}' \"$@\"\n",
        home.root().display(),
        home.program("keyagent").display()
    );
    // By a process of its own: what we had open to write could not be run.
    let make = "cat >\"$0\" && chmod +x \"$0\"";
    home.command("sh").args(["-c", make]).arg(&file).stdin(program).run().quietly();
    let set = if shell.name == "fish" { "set -g __keyagent_client " } else { "__keyagent_client=" };
    let count = home.root().join("count");
    let body = format!("sh -c 'grep -c \"\" \"$0\" || true' '{}'", count.display());
    fs::write(count, "").expect("a file of ours");
    let function = match shell.name {
        "fish" => format!("function starts; {body}; end"),
        _ => format!("starts() {{ {body}; }}"),
    };
    format!("{set}'{}'\n{function}\n", file.display())
}

/// How often a text has a line of ours with that in it.
pub fn lines_of_ours(text: &str, with: &str) -> usize {
    let ours = text.lines().filter(|line| line.contains("keyagent: ") && line.contains(with));
    ours.count()
}

/// Fails unless what was said on stderr is so many lines of ours, each with that in it.
pub fn says(output: &Output, count: usize, with: &str) {
    let text = output.stderr_text();
    assert_eq!(text.lines().count(), count, "only what is expected is said: {}", output.report());
    assert_eq!(lines_of_ours(&text, with), count, "each says `{with}`: {}", output.report());
}
