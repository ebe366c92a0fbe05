//! dotenv's readers under `keyagent exec` find in the rewritten `.env` and in the environment
//! what they found in the `.env` before.

use crate::given::{self, env_of};
use keyagent_tests::{Home, Random};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

type Env = BTreeMap<Vec<u8>, Vec<u8>>;

const PYTHON: &str = "python3 -c 'import dotenv, os, sys\nfor k, v in {**os.environ, \
    **dotenv.dotenv_values(\".env\")}.items(): \
    sys.stdout.buffer.write(os.fsencode(k + \"=\" + (v or \"\")) + bytes(1))'";
const NODE: &str = "node --env-file=.env -e 'for (const [k, v] of Object.entries(process.env)) \
    process.stdout.write(k + \"=\" + v + \"\\0\")'";

/// How one line looks: `V` is a variable, `@` a value.
const LINES: &[&str] = &[
    "V=@\n",
    "V=@\n",
    "V=@\n",
    "V=@\n",
    "export V=@\n",
    "V=@ # a comment\n",
    "V=@\r\n",
    "# V=x\n",
    "\n",
    "V = @\n",
    "  V=@\n",
    "V=@   \n",
    "V=@#x\n",
];
/// How many files are made up; more, if by chance too few keys in them can be sealed.
const FILES: usize = 16;
const SEALED: usize = 8;
const FILES_MAX: usize = 400;

const VARIABLES: &[&str] = &["A_KEY", "B_TOKEN", "C_SECRET", "PLAIN", "URL"];
const VALUES: &[&str] = &[
    "FAKE-1",
    "'FAKE 2'",
    "\"FAKE 3\"",
    "FAKE 4 x",
    "\"FAKE\\n5\"",
    "\"FAKE\n6\"",
    "'FAKE\n7'",
    "",
    "''",
    "\"\"",
    "a#b",
    "$PLAIN",
    "${PLAIN}",
    "'$PLAIN'",
    "\"a$\"",
    "a\\nb",
    "'it\"s'",
    "\"it's\"",
    "a=b",
    "`x`",
    "\u{e9}\u{1f600}",
    "\"\u{e9} # no\"",
    "'# no'",
    "a'b",
    "\\",
    "\"a\\\"b\"",
    "x'y'",
];

fn made_up(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..1 + random.below(6) {
        for c in LINES[random.below(LINES.len())].chars() {
            match c {
                'V' => text.push_str(VARIABLES[random.below(VARIABLES.len())]),
                '@' => text.push_str(VALUES[random.below(VALUES.len())]),
                c => text.push(c),
            }
        }
    }
    text
}

/// What both readers find of our variables, run by this.
fn read(home: &Home, dir: &Path, by: &[&str]) -> [Env; 2] {
    [PYTHON, NODE].map(|how| {
        let line: Vec<_> = by.iter().copied().chain(["bash", "-c", how]).collect();
        let output = home.command(line[0]).args(&line[1..]).dir(dir).run().code(0);
        let mut env = env_of(&output.stdout);
        env.retain(|name, _| VARIABLES.iter().any(|var| var.as_bytes() == name));
        env
    })
}

/// How many variables were sealed; fails if a reader can tell.
fn check(home: &Home, name: &str, text: &str) -> usize {
    let file = home.write(&format!("{name}/.env"), text);
    let dir = file.parent().expect("it has one");
    let before = read(home, dir, &["env"]);
    let run = home.keyagent(["import", "--replace", "--all"]).dir(dir).run();
    let left = fs::read_to_string(&file).expect("ours");
    if left == text {
        return 0;
    }
    let after = read(home, dir, &["keyagent", "exec", "--"]);
    let shown = || format!("{name}: {text:?}\n-> {left:?}\n{}", run.report());
    assert_eq!(after, before, "{}", shown());
    run.stderr_text().matches(" -> ").count()
}

#[test]
fn needs_node_needs_python_dotenv_made_up_files_read_the_same() {
    let (home, _agent) = Home::with_vault();
    let mut random = Random::new();
    let (mut files, mut sealed) = (0, 0);
    while files < FILES || sealed < SEALED {
        assert!(files < FILES_MAX, "only {sealed} keys in {files} files could be sealed");
        sealed += check(&home, &format!("f{files}"), &made_up(&mut random));
        files += 1;
    }
    assert!(given::generation(&home) > 1);
}
