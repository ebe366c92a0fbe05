//! The shell's hook: what a program gets is byte for byte what the vault has, whatever it is;
//! and what no manifest may set is not set.

use crate::given::{self, env_of};
use crate::hook_shells::{FISH, Shell, in_each_shell, lines_of_ours, project, projects, says};
use keyagent_tests::{Agent, Home, Random};
use std::fs;

in_each_shell!(
    every_byte_arrives_as_it_is,
    what_the_user_had_is_back_byte_for_byte,
    a_variable_that_no_manifest_may_set_is_named_with_its_line,
);

/// Values that shells might read as more than bytes.
fn odd_values() -> (Vec<Vec<u8>>, u64) {
    let mut values: Vec<Vec<u8>> = [
        "",
        "'",
        "it's \"quoted\" \\ and \\\\ and \\'",
        "\nlines\n\nof it\n",
        "$(touch trapped) `touch trapped` ${HOME} $HOME $'x' $1 $",
        "!! !1 !$ ^a^b",
        "~ * ? [a] {a,b} # ; & | < > = % ()",
        " \t spaces \t ",
        "-n",
        "--help",
        "a=b,c=d@1",
        "\u{1b}]0;x\u{7} \r \u{7f} \u{85} \u{a0} é \u{202e} \u{f8ff} \u{10fffd}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    values.extend([(1..=255).collect(), b"\xff\xc3\xed\xa0\x80\xf4\x90".to_vec()]);
    let mut random = Random::new();
    values.extend((0..8).map(|_| random.value_bytes(300)));
    values.push(random.value_bytes(64 * 1024));
    values.push(b"x".repeat(64 * 1024));
    (values, random.seed())
}

/// A project `odd` that has these values as `V0`, `V1`, ….
fn with_values(values: &[Vec<u8>]) -> (Home, Agent) {
    let (home, agent) = projects();
    let mut lines = String::new();
    for (at, value) in values.iter().enumerate() {
        home.wire().put(&format!("odd/v{at}"), value);
        lines.push_str(&format!("V{at} = \"odd/v{at}\"\n"));
    }
    project(&home, "odd", &lines);
    (home, agent)
}

fn every_byte_arrives_as_it_is(shell: &Shell) {
    let (values, seed) = odd_values();
    let (home, _agent) = with_values(&values);
    home.may_hold(home.work().join("env"));
    let script = "cd odd; prompt; env -0 >../env; cd ..; prompt; env -0";
    let output = shell.run(&home, script).quietly();
    let env = env_of(&fs::read(home.work().join("env")).expect("the shell wrote it"));
    for (at, value) in values.iter().enumerate() {
        let got = env.get(format!("V{at}").as_bytes());
        assert!(got == Some(value), "seed {seed}: value {at}, {value:.80?}, is {got:.80?}");
    }
    let after = env_of(&output.stdout);
    assert!(after.keys().all(|name| !name.starts_with(b"V")), "nothing is left");
    assert!(!home.work().join("odd/trapped").exists(), "nothing of it was run");
}

fn what_the_user_had_is_back_byte_for_byte(shell: &Shell) {
    let (values, seed) = odd_values();
    let names: Vec<String> = (0..values.len()).map(|at| format!("V{at}")).collect();
    let (home, _agent) = projects();
    let lines: String = names.iter().map(|name| format!("{name} = \"one/A_KEY\"\n")).collect();
    project(&home, "odd", &lines);
    // Both in the same shell, and in one inside it.
    let inner = home.work().join("inner");
    fs::write(&inner, shell.text("", "prompt; cd ..; prompt; env -0 >nested")).expect("ours");
    let options = shell.script[0];
    let script = format!(
        "cd odd; prompt; {} {options} {}; cd ..; prompt; env -0 >env; \
         sh -c 'test ! -e trapped && test ! -e odd/trapped'",
        shell.name,
        inner.display()
    );
    let run = home.command(shell.name).args(shell.script).arg(shell.text("", &script));
    let run = names.iter().zip(&values).fold(run, |run, (name, value)| {
        use std::os::unix::ffi::OsStrExt;
        run.env(name, std::ffi::OsStr::from_bytes(value))
    });
    run.run().code(0);
    for file in ["env", "nested"] {
        let env = env_of(&fs::read(home.work().join(file)).expect("the shell wrote it"));
        for (name, value) in names.iter().zip(&values) {
            let got = env.get(name.as_bytes());
            assert!(got == Some(value), "seed {seed}: {file}: {name}, {value:.80?}, is {got:.80?}");
        }
    }
}

fn a_variable_that_no_manifest_may_set_is_named_with_its_line(shell: &Shell) {
    let (home, _agent) = projects();
    for name in [
        "PATH",
        "LD_PRELOAD",
        "KEYAGENT_LOADED",
        "KEYAGENT_OLD_X",
        "__keyagent_client",
        "PROMPT_COMMAND",
        "fish_trace",
        "argv",
    ] {
        let text = format!("[env]\nB_KEY = \"two/B_KEY\"\n{name} = \"one/A_KEY\"\n");
        given::manifest(&home, home.work().join("bad"), &text);
        let script =
            format!("cd bad; prompt; prompt; show; printenv {name}; cd ../one; prompt; show");
        let output = shell.run(&home, &script);
        says(
            &output,
            1,
            "cannot read keyagent.toml, line 3, column 1: not a variable that it may set",
        );
        assert!(output.stdout_text().starts_with("none none none\n"), "{name}");
        assert!(output.stdout_text().ends_with(&given::fill(&home, "@ none none\n")), "{name}");
        assert_eq!(output.stdout_text().matches(home.canary()).count(), 1, "{name}");
    }
}

/// fish has lists where others have text, and variables that outlive the shell.
#[test]
fn needs_fish_lists_and_universal_variables_are_back() {
    let (home, _agent) = projects();
    let script = "set -gx A_KEY a 'b c'; cd one; prompt; kind A_KEY; cd ..; prompt; count $A_KEY\n\
                  echo $A_KEY[2]\n\
                  set -eg A_KEY; set -Ux A_KEY u; cd one; prompt; kind A_KEY\n\
                  sh -c 'cd ../two; keyagent exec -- printenv A_KEY'\n\
                  cd ..; prompt; kind A_KEY; set -qg A_KEY; or echo global no more";
    // With its files, for without them it has no universal variables.
    let output = home.command("fish").args(["-c", &FISH.text("", script)]).run().code(0);
    // It also tells a terminal what it may paste.
    let text = output.stdout_text().replace("\u{1b}[?2004h", "").replace("\u{1b}[?2004l", "");
    let expected = "exported @\n2\nb c\nexported @\nu\nexported u\nglobal no more\n";
    assert_eq!(text.trim_end_matches('\r'), given::fill(&home, expected), "{}", output.report());
    assert_eq!(lines_of_ours(&output.stderr_text(), "`A_KEY` was set already"), 2);
}
