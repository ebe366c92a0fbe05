"""Plays a scenario in real shells and writes what was on the screen as an SVG.

usage: session.py SCENARIO SHELL OUTPUT     (docs/record.sh runs it, in a home of its own)

It waits for events only: for the echo of what it types, for a question, for the next prompt.
How long each picture is shown is decided afterwards, by how much there is to read in it, so a
slow machine makes the same recording as a fast one.

A scenario is lines:
    @ CAPTION             what the title bar says from here on
    $ COMMAND             is typed at the prompt; $ alone is Enter
    2$ COMMAND            the same in another terminal
    ? QUESTION <- ANSWER  the answer is typed, unseen, when the question is there
    = TEXT                the last command printed this, or there is no recording
    show                  what came before was preparation: the screen is cleared, and filmed
    [bash zsh] LINE       a line for these shells only
    # …                   a remark
"""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

import pyte

import svg

COLUMNS = 92
ROWS = 22
ROWS_OTHER = 6
WAIT_SECONDS_MAX = 30
# The picture after each key, before Enter, and after what came of it, for each line of that.
KEY_MILLIS = 30
ENTER_MILLIS = 250
ANSWER_MILLIS = 500
READ_MILLIS = 600
READ_LINE_MILLIS = 220
READ_MILLIS_MAX = 2300
END_MILLIS = 3000
# A shorter beginning of the home's name is taken for something else: a slash that is typed.
PART_BYTES_MIN = 6

# What to run, its start-up file, and what is in that. Each prompt ends by counting itself in
# the title of the window, which nobody sees: so we know that it is there, and all before it.
SHELLS = {
    "bash": (
        ["bash"],
        ".bashrc",
        "unset HISTFILE\n"
        "PS1='\\[\\e[1;34m\\]\\w\\[\\e[0m\\] $ \\[\\e]2;$((++prompts))\\a\\]'\n"
    ),
    "zsh": (
        ["zsh", "-d"],
        ".zshrc",
        "setopt prompt_subst; unset HISTFILE\n"
        "PS1=$'%{\\e[1;34m%}%~%{\\e[0m%} %% %{\\e]2;$((++prompts))\\a%}'\n",
    ),
    "fish": (
        ["fish", "--private"],
        ".config/fish/config.fish",
        "set -g fish_greeting\n"
        "set -g fish_autosuggestion_enabled 0\n"
        # The colours of what is typed come when fish has the time.
        "for part in command param keyword quote operator redirection end error option escape\n"
        "  set -g fish_color_$part normal\n"
        "end\n"
        "set -g prompts 0\n"
        "function fish_title; end\n"
        "function fish_prompt\n"
        "  set prompts (math $prompts + 1)\n"
        "  set -l place (string replace -r \"^$HOME\" '~' $PWD)\n"
        "  printf '\\e[1;34m%s\\e[0m > \\e]2;%s\\a' $place $prompts\n"
        "end\n",
    ),
}


class Terminal:
    """A shell, and the screen that it believes to have."""

    def __init__(self, shell, rows):
        self.screen = pyte.Screen(COLUMNS, rows)
        self.screen.write_process_input = lambda text: self.write(text)
        self.stream = pyte.ByteStream(self.screen)
        self.home = os.environ["HOME"].encode()
        self.unread = b""
        self.printed = ""
        pid, self.file = pty.fork()
        if pid == 0:
            os.chdir(os.environ["HOME"])
            os.execvp(shell[0], shell)
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, COLUMNS, 0, 0))

    def write(self, text):
        os.write(self.file, text.encode())

    def read(self):
        """What came, with `~` for the home, which may come in two parts."""
        self.unread += os.read(self.file, 65536)
        text = self.unread.replace(self.home, b"~")
        parts = range(min(len(self.home) - 1, len(text)), PART_BYTES_MIN - 1, -1)
        kept = next((part for part in parts if self.home.startswith(text[-part:])), 0)
        self.unread = text[len(text) - kept :]
        text = text[: len(text) - kept]
        self.printed += text.decode(errors="replace")
        self.stream.feed(text)

    def wait(self, what, is_so):
        end = time.monotonic() + WAIT_SECONDS_MAX
        while not is_so():
            if not select.select([self.file], [], [], max(0, end - time.monotonic()))[0]:
                sys.exit("waited in vain for %s:\n%s" % (what, "\n".join(self.screen.display)))
            self.read()

    def row(self):
        """The row of the cursor, up to it."""
        cursor = self.screen.cursor
        return self.screen.display[cursor.y][: cursor.x]

    def prompts(self):
        return int(self.screen.title) if self.screen.title.isdigit() else 0

    def picture(self):
        """Each row as runs of one look: (column, text, colour, is_bold)."""
        return [self.runs(row) for row in range(self.screen.lines)]

    def runs(self, row):
        cells, runs = self.screen.buffer[row], []
        for column in range(COLUMNS):
            cell = cells[column]
            look = (cell.fg, cell.bold)
            if runs and runs[-1][2:] == look:
                runs[-1] = (runs[-1][0], runs[-1][1] + cell.data, *look)
            else:
                runs.append((column, cell.data, *look))
        # A blank is not drawn, where it is not between two words.
        return [
            (at + len(text) - len(text.lstrip()), text.strip(), *look)
            for at, text, *look in runs
            if text.strip()
        ]


class Session:
    def __init__(self, shell, has_other):
        argv, file, text = SHELLS[shell]
        path = os.path.join(os.environ["HOME"], file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as startup:
            startup.write(text)
        rows = [ROWS, ROWS_OTHER] if has_other else [ROWS]
        self.terminals = [Terminal(argv, count) for count in rows]
        for terminal in self.terminals:
            terminal.wait("the first prompt", terminal.prompts)
        self.active = self.terminals[0]
        self.caption = ""
        self.frames = []
        self.is_shown = False

    def snap(self, millis):
        if self.is_shown:
            screens = [
                svg.Screen(each.picture(), each.screen.cursor.y, each.screen.cursor.x)
                for each in self.terminals
            ]
            at = self.terminals.index(self.active)
            self.frames.append(svg.Frame(self.caption, screens, at, millis))

    def type(self, text):
        before = self.active.row()
        for count in range(1, len(text) + 1):
            self.active.write(text[count - 1])
            wanted = (before + text[:count]).rstrip()
            self.active.wait(repr(wanted), lambda: self.active.row().rstrip() == wanted)
            self.snap(KEY_MILLIS)

    def run(self, terminal, command, questions):
        self.active = terminal
        self.type(command)
        self.snap(ENTER_MILLIS)
        terminal.printed = ""
        seen = terminal.prompts()
        terminal.write("\r")
        for question, answer in questions:
            terminal.wait(question, lambda: terminal.row().rstrip().endswith(question))
            self.snap(ANSWER_MILLIS)
            terminal.write(answer + "\r")
        terminal.wait("the next prompt", lambda: terminal.prompts() > seen)
        lines = terminal.printed.count("\n")
        self.snap(min(READ_MILLIS + READ_LINE_MILLIS * lines, READ_MILLIS_MAX))

    def show(self):
        for terminal in self.terminals:
            self.run(terminal, "clear", [])
        self.is_shown = True
        self.active = self.terminals[0]
        self.snap(READ_MILLIS)


def read_scenario(path, shell):
    """The lines for this shell, each with its sign."""
    steps = []
    with open(path, encoding="utf-8") as scenario:
        for line in scenario.read().splitlines():
            only = re.match(r"\[([a-z ]+)\] ", line)
            if only:
                line = line[only.end() :]
            if line and line[0] != "#" and (not only or shell in only[1].split()):
                sign, _, text = line.partition(" ")
                steps.append((sign, text))
    return [(sign, text.replace("{shell}", shell)) for sign, text in steps]


def play(steps, session):
    at = 0
    while at < len(steps):
        sign, text = steps[at]
        at += 1
        if sign == "@":
            session.caption = text
        elif sign == "show":
            session.show()
        elif sign in ("$", "2$"):
            questions = []
            while at < len(steps) and steps[at][0] == "?":
                questions.append(steps[at][1].split(" <- "))
                at += 1
            session.run(session.terminals[sign == "2$"], text, questions)
        elif sign == "=" and text in session.active.printed:
            pass
        else:
            sys.exit("`%s %s`: not so, after:\n%s" % (sign, text, session.active.printed))


def main(scenario, shell, output):
    steps = read_scenario(scenario, shell)
    session = Session(shell, any(sign == "2$" for sign, _ in steps))
    play(steps, session)
    session.frames[-1].millis = END_MILLIS
    seconds = sum(frame.millis for frame in session.frames) / 1000
    with open(output, "w", encoding="utf-8") as file:
        file.write(svg.draw(session.frames, COLUMNS))
    print("%s: %d pictures, %d s" % (shell, len(session.frames), seconds), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
