//! Real Nushell: at its prompt it has the keys of the project that it stands in, and what was
//! there before elsewhere.

use crate::given;
use keyagent_tests::{Agent, Home, Output, Terminal};
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

/// What a shell shows: two variables, and whether a record is there. A program sees the same.
const SHOW: &str = "source hook.nu\n\
    alias prompt = __keyagent prompt\n\
    def show [] { ^sh -c 'echo \"${A_KEY-none} ${B_KEY-none} ${KEYAGENT_LOADED:+loaded}\"' }\n";

/// The end of a prompt at a terminal; the line is painted anew for each key, and this is not.
const READY: &str = "[?2004h";

/// Two projects: `work/one` has `A_KEY`, the canary, and `work/two` has `B_KEY`.
fn projects() -> (Home, Agent) {
    let (home, agent) = Home::with_vault();
    home.wire().put("one/A_KEY", home.canary().as_bytes());
    home.wire().put("two/B_KEY", b"b");
    for (name, line) in [("one", "A_KEY = \"one/A_KEY\""), ("two", "B_KEY = \"two/B_KEY\"")] {
        let directory = home.work().join(name);
        given::manifest(&home, &directory, &format!("[env]\n{line}\n"));
        given::allow(&home, &directory);
    }
    (home, agent)
}

/// The hook as the client prints it, where a script can source it.
fn save_hook(home: &Home) -> PathBuf {
    let hook = home.keyagent(["hook", "nu"]).run().quietly().stdout;
    let path = home.work().join("hook.nu");
    fs::write(&path, hook).expect("ours");
    path
}

/// Runs a script in the working directory, without the user's configuration.
fn run(home: &Home, script: &str) -> Output {
    save_hook(home);
    let path = home.work().join("script.nu");
    fs::write(&path, format!("{SHOW}{script}\n")).expect("ours");
    home.command("nu").arg("--no-config-file").arg(&path).run().code(0)
}

/// What a script shows; `KEY` stands for the canary. A key may be shown, never complained of.
fn shows(home: &Home, script: &str, expected: &str) -> Output {
    run(home, script).prints(expected.replace("KEY", home.canary()))
}

/// The same, and nothing is said.
fn shows_quietly(home: &Home, script: &str, expected: &str) {
    shows(home, script, expected).quietly();
}

fn complaints(output: &Output) -> usize {
    output.stderr_text().lines().filter(|line| line.starts_with("keyagent: error: ")).count()
}

#[test]
fn needs_nu_keys_come_and_go() {
    let (home, _agent) = projects();
    fs::create_dir(home.work().join("one/sub")).expect("ours");
    symlink(home.work().join("one/sub"), home.work().join("link")).expect("ours");
    let script = "show; cd one; prompt; show; cd sub; prompt; show; cd ../../two; prompt; show\n\
                  cd ..; prompt; show; cd link; prompt; show; cd /; prompt; show";
    let expected = "none none \nKEY none loaded\nKEY none loaded\nnone b loaded\nnone none \n\
                    KEY none loaded\nnone none \n";
    shows_quietly(&home, script, expected);
}

#[test]
fn needs_nu_a_directory_may_have_any_name() {
    let (home, _agent) = projects();
    let odd = home.work().join("o [x] *?{}~ $(id) 'q' \"é");
    given::manifest(&home, &odd, "[env]\nB_KEY = \"two/B_KEY\"\n");
    given::allow(&home, &odd);
    fs::create_dir(odd.join("...")).expect("ours");
    let script = "for dir in (ls | where name =~ 'o .x' | get name) { cd $dir; prompt; show }\n\
                  'b2' | keyagent set two/B_KEY e> /dev/null; prompt; show";
    shows_quietly(&home, script, "none b loaded\nnone b2 loaded\n");
}

#[test]
fn needs_nu_the_first_keys_are_there_before_the_first_prompt() {
    let (home, _agent) = projects();
    let hook = save_hook(&home);
    let script = format!("source {}; print $env.A_KEY", hook.display());
    let nu = home.command("nu").args(["-n", "-c", &script]).dir(home.work().join("one"));
    nu.run().quietly().prints(format!("{}\n", home.canary()));
}

#[test]
fn needs_nu_the_next_prompt_has_what_it_should_have() {
    let (home, _agent) = projects();
    let script = "cd one; prompt; 'a2' | keyagent set one/A_KEY; prompt; show\n\
                  'b2' | keyagent set two/B_KEY; prompt; show\n\
                  keyagent lock; prompt; prompt; show; keyagent unlock; prompt; show\n\
                  keyagent deny; prompt; prompt; show; keyagent allow --yes; prompt; show\n\
                  keyagent rm one/A_KEY; prompt; prompt; show";
    let expected = "a2 none loaded\na2 none loaded\nnone none \na2 none loaded\nnone none \n\
                    a2 none loaded\nnone none \n";
    let output = shows(&home, script, expected);
    assert_eq!(complaints(&output), 3, "one line for each time: {}", output.report());
    let text = output.stderr_text();
    assert_eq!(text.matches("error: the vault is locked (`keyagent unlock`").count(), 1, "{text}");
}

#[test]
fn needs_nu_a_manifest_that_changes_appears_or_goes_is_noticed() {
    let (home, _agent) = projects();
    let script = "cd one; prompt; \"[env]\\nB_KEY = 'two/B_KEY'\\n\" | save -f keyagent.toml; prompt; show\n\
                  keyagent allow --yes; prompt; show; mv keyagent.toml away; prompt; show\n\
                  mv away keyagent.toml; prompt; show";
    let output = shows(&home, script, "none none \nnone b loaded\nnone none \nnone b loaded\n");
    assert_eq!(complaints(&output), 1, "{}", output.report());
}

/// What no regular file is would hang whoever opens it, or lead elsewhere.
#[test]
fn needs_nu_a_manifest_that_is_no_regular_file_is_not_opened() {
    let (home, _agent) = projects();
    let script = "cd one; prompt; rm keyagent.toml; ^mkfifo keyagent.toml; prompt; prompt; show\n\
                  rm keyagent.toml; ln -s ../two/keyagent.toml .; prompt; prompt; show\n\
                  rm keyagent.toml; ln -s /no/such keyagent.toml; prompt; prompt; show\n\
                  rm keyagent.toml; mkdir keyagent.toml; prompt; prompt; show";
    let script = script.replace("; ln", "; ^ln");
    let output = shows(&home, &script, &"none none \n".repeat(4));
    assert!(complaints(&output) >= 1, "{}", output.report());
}

#[test]
fn needs_nu_no_more_of_a_manifest_is_read_than_one_may_have() {
    let (home, _agent) = projects();
    let script = "cd one; ^truncate -s 3G keyagent.toml; prompt; prompt; show\n\
                  print ($env.__keyagent.seen.text | bytes length)";
    let output = shows(&home, script, "none none \n65537\n");
    assert_eq!(complaints(&output), 1, "{}", output.report());
}

#[test]
fn needs_nu_odd_values_come_as_they_are() {
    let (home, _agent) = Home::with_vault();
    let long = "x".repeat(64 * 1024);
    let values = [
        "it's \"q\" `b` \\ $(touch pwned) $env.HOME ($nu.pid) {a: 1} # no comment",
        "line\nline\r\n\ttab\n",
        "",
        "é😀\u{202e}\u{2028}\u{feff}",
        "\u{1}\u{1b}[31m\u{7f}",
        "null",
        "1.50",
        "../../...",
        "~",
        &long,
    ];
    let mut text = "[env]\n".to_owned();
    for (index, value) in values.iter().enumerate() {
        home.wire().put(&format!("v/{index}"), value.as_bytes());
        text.push_str(&format!("V{index} = \"v/{index}\"\n"));
    }
    given::manifest(&home, home.work(), &text);
    given::allow(&home, home.work());
    let env = given::env_of(&run(&home, "^env -0").quietly().stdout);
    for (index, value) in values.iter().enumerate() {
        let read = env.get(format!("V{index}").as_bytes()).map(Vec::as_slice);
        assert_eq!(read, Some(value.as_bytes()), "V{index}");
    }
    assert!(!env.contains_key(&b"__keyagent"[..]), "what is ours alone no program gets");
    assert!(!home.work().join("pwned").exists());
}

#[test]
fn needs_nu_what_is_no_text_is_named_and_nothing_is_loaded() {
    let (home, _agent) = projects();
    home.wire().put("two/B_KEY", b"\xff");
    let text = "[env]\nA_KEY = \"one/A_KEY\"\nB_KEY = \"two/B_KEY\"\n";
    given::manifest(&home, home.work().join("one"), text);
    given::allow(&home, home.work().join("one"));
    let script = "cd one; prompt; prompt; show; 'b' | keyagent set two/B_KEY; prompt; show";
    let output = shows(&home, script, "none none \nKEY b loaded\n");
    let why = "keyagent: error: cannot load `B_KEY` into Nushell: its value is not UTF-8 (";
    assert!(output.stderr_text().contains(why) && complaints(&output) == 1, "{}", output.report());
}

#[test]
fn needs_nu_the_users_own_value_comes_back() {
    let (home, _agent) = projects();
    let script = "$env.A_KEY = [1 two]; $env.B_KEY = 'mine'; cd one; prompt; show\n\
                  'a2' | keyagent set one/A_KEY; prompt; cd ../two; prompt; show; print $env.A_KEY.1\n\
                  cd ..; prompt; show; print $env.A_KEY.1; cd one; prompt; keyagent lock; prompt\n\
                  print $env.A_KEY.1; ^env | lines | where $it =~ KEYAGENT_OLD | length | print";
    let expected = "KEY mine loaded\nnone b loaded\ntwo\nnone mine \ntwo\ntwo\n0\n";
    let output = shows(&home, script, expected);
    let text = output.stderr_text();
    let named = |var: &str| text.matches(&format!("keyagent: `{var}` was set already; ")).count();
    assert_eq!((named("A_KEY"), named("B_KEY")), (2, 1), "once for each entering: {text}");
}

#[test]
fn needs_nu_a_shell_inside_starts_elsewhere() {
    let (home, _agent) = projects();
    let script =
        "cd one; prompt; cd ..; ^nu -n -c 'source hook.nu; print ($env.A_KEY? | default none)'";
    shows_quietly(&home, script, "none\n");
}

#[test]
fn needs_nu_exec_takes_out_what_the_hook_has_loaded() {
    let (home, _agent) = projects();
    let script = "$env.A_KEY = 'mine'; cd one; prompt; cd ../two\n\
                  keyagent exec -- sh -c 'echo $A_KEY $B_KEY $KEYAGENT_LOADED'";
    shows(&home, script, "mine b\n");
}

#[test]
fn needs_nu_the_users_own_manifest_is_there_where_no_project_is() {
    let (home, _agent) = projects();
    given::manifest(&home, home.config(), "[env]\nA_KEY = \"two/B_KEY\"\n");
    given::allow(&home, home.config());
    let script = "show; cd one; prompt; show; cd ../two; prompt; show; cd ..; prompt; show\n\
                  'own' | keyagent set two/B_KEY e> /dev/null; prompt; show";
    let expected =
        "b none loaded\nKEY none loaded\nnone b loaded\nb none loaded\nown none loaded\n";
    shows_quietly(&home, script, expected);
}

#[test]
fn needs_nu_the_profile_is_the_shells() {
    let (home, _agent) = projects();
    let text = "[env]\nA_KEY = \"one/A_KEY\"\n[profile.prod.env]\nA_KEY = \"two/B_KEY\"\n";
    given::manifest(&home, home.work().join("one"), text);
    given::allow(&home, home.work().join("one"));
    let script = "cd one; prompt; show; $env.KEYAGENT_PROFILE = 'prod'; prompt; show\n\
                  $env.KEYAGENT_PROFILE = '--x'; prompt; prompt; show; hide-env KEYAGENT_PROFILE; prompt; show";
    let output =
        shows(&home, script, "KEY none loaded\nb none loaded\nnone none \nKEY none loaded\n");
    assert_eq!(complaints(&output), 1, "{}", output.report());
}

#[test]
fn needs_nu_where_direnv_has_loaded_keyagent_the_hook_gives_way() {
    let (home, _agent) = projects();
    // direnv's usual hook for Nushell sets to null what it takes out.
    let script = "cd one; prompt; $env.DIRENV_KEYAGENT = '- B_KEY=two/B_KEY@1 /x'; $env.B_KEY = 'theirs'\n\
                  prompt; show; hide-env DIRENV_KEYAGENT B_KEY; prompt; show\n\
                  $env.DIRENV_KEYAGENT = '- A_KEY=one/A_KEY@1 /x'; prompt; show; cd ..; prompt; show\n\
                  $env.DIRENV_KEYAGENT = null; $env.A_KEY = null; prompt; show; cd one; prompt; show";
    let expected = "none theirs \nKEY none loaded\nKEY none \nKEY none \nnone none \n\
                    KEY none loaded\n";
    shows_quietly(&home, script, expected);
}

#[test]
fn needs_nu_what_nushell_acts_on_is_left_alone() {
    let (home, _agent) = projects();
    let text = "[env]\nconfig = \"two/B_KEY\"\nA_KEY = \"one/A_KEY\"\n";
    given::manifest(&home, home.work().join("one"), text);
    given::allow(&home, home.work().join("one"));
    let output = shows(
        &home,
        "cd one; prompt; show; print ($env.config | columns | length | $in > 0)",
        "KEY none loaded\ntrue\n",
    );
    let text = output.stderr_text();
    assert_eq!(text, "keyagent: cannot set `config`: it is Nushell's own\n");
}

#[test]
fn needs_nu_the_users_hooks_stay_and_ours_is_there_once() {
    let (home, _agent) = projects();
    save_hook(&home);
    let hooks = "print ($env.config.hooks.pre_prompt | each { describe } | str join ' ') \
                 ($env.config.hooks.env_change.PWD | each { describe } | str join ' ') \
                 ($env.config.hooks.env_change.OTHER | length)";
    for before in ["[{|| 1 }]", "[]"] {
        let script = format!(
            "$env.config.hooks.pre_prompt = {before}; $env.config.hooks.env_change = {{OTHER: [{{|| 1 }}], PWD: [{{|| 1 }}]}}\n\
             source hook.nu; source hook.nu; {hooks}"
        );
        let pre = if before == "[]" { "string" } else { "closure string" };
        shows_quietly(&home, &script, &format!("{pre}\nclosure string\n1\n"));
    }
}

#[test]
fn needs_nu_needs_root_nothing_above_a_directory_of_another_owner_is_looked_at() {
    let (home, _agent) = projects();
    let theirs = home.work().join("one/theirs");
    fs::create_dir_all(theirs.join("ours")).expect("ours");
    chown(&theirs, Some(12_345), None).expect("root can");
    let script = "cd one/theirs/ours; prompt; show; print ($env.__keyagent.places | length)";
    // Our own directory there, and the user's own manifest.
    shows_quietly(&home, script, "none none \n2\n");
}

#[test]
fn needs_nu_needs_strace_where_nothing_changed_nothing_is_started() {
    let (home, _agent) = projects();
    save_hook(&home);
    let script = "source hook.nu; cd one; __keyagent prompt; ^sh -c ': begin'\n\
                  for _ in 1..20 { __keyagent prompt }; ^sh -c ': end'";
    fs::write(home.work().join("script.nu"), script).expect("ours");
    let trace = home.work().join("trace");
    let strace = home.command("strace").args(["-f", "-qq", "-s", "99", "-o"]).arg(&trace);
    let calls = "trace=execve,fork,vfork,clone,clone3,connect,socket,open,openat";
    strace.args(["-e", calls, "nu", "-n", "script.nu"]).run().code(0);
    let text = fs::read_to_string(trace).expect("ours");
    let (_, rest) = text.split_once(": begin\"]").expect("it begins");
    let (between, _) = rest.split_once(": end\"]").expect("it ends");
    let count = |what: &str| between.lines().filter(|line| line.contains(what)).count();
    assert!(count("keyagent.toml\"") >= 20, "the manifest is looked at: {between}");
    // The shell that stands at the end, and a thread that waits for the one at the beginning.
    assert_eq!(count("execve("), 1, "{between}");
    assert!(count("fork(") + count("clone(") + count("clone3(") <= 2, "{between}");
    assert_eq!(count("connect(") + count("socket("), 0, "{between}");
}

/// Types a line, waits until that is shown, and then for the next prompt.
fn enter(terminal: &mut Terminal, line: &str, until: &str) {
    terminal.line(line);
    terminal.expect(until);
    terminal.expect(READY);
}

/// Its last question is answered before its end is waited for.
fn leave(mut terminal: Terminal) {
    terminal.line("exit");
    terminal.expect("[?2004l");
    terminal.end().code(0);
}

/// A shell at a terminal with the hook where the README puts it.
fn start<'a>(home: &'a Home, env: &[(&str, &str)]) -> Terminal<'a> {
    let config = home.root().join("config/nushell");
    fs::create_dir_all(config.join("autoload")).expect("ours");
    fs::copy(save_hook(home), config.join("autoload/keyagent.nu")).expect("ours");
    fs::write(config.join("env.nu"), "").expect("ours");
    let text = "$env.config.show_banner = false\n$env.PROMPT_COMMAND = ''\n\
                $env.PROMPT_COMMAND_RIGHT = ''\n$env.PROMPT_INDICATOR = 'ready> '\n\
                $env.config.hooks.pre_prompt = [{|| $env.MINE = 'mine' }]\n\
                def look [] {\n  let key = $env.A_KEY? | default '' | str length\n\
                  print $\"<($key) ($env.B_KEY? | default none) ($env.MINE) ($env.LAST_EXIT_CODE)>\"\n}\n";
    fs::write(config.join("config.nu"), text).expect("ours");
    let env = [env, &[("TERM", "xterm")]].concat();
    let mut terminal = Terminal::run(home, "nu", &["--no-history"], &env);
    terminal.expect(READY);
    terminal
}

#[test]
fn needs_nu_at_a_terminal_with_the_saved_hook() {
    let (home, _agent) = projects();
    let key = home.canary().len();
    let mut terminal = start(&home, &[("A_KEY", "outer")]);
    enter(&mut terminal, "look", "<5 none mine 0>");
    enter(&mut terminal, "cd one; ^sh -c 'exit 3'", "was set already");
    enter(&mut terminal, "look", &format!("<{key} none mine 3>"));
    enter(&mut terminal, "keyagent lock", "the vault is locked");
    enter(&mut terminal, "look", "<5 none mine 0>");
    enter(&mut terminal, "keyagent unlock", "\r\n");
    enter(&mut terminal, "look", &format!("<{key} none mine 0>"));
    enter(&mut terminal, "cd ../two", "\r\n");
    enter(&mut terminal, "look", "<5 b mine 0>");
    enter(&mut terminal, "hide-env A_KEY; cd ../one", "\r\n");
    enter(&mut terminal, "look", &format!("<{key} none mine 0>"));
    enter(&mut terminal, "cd ..", "\r\n");
    enter(&mut terminal, "look", "<0 none mine 0>");
    leave(terminal);
}

#[test]
fn needs_nu_a_shell_inside_takes_back_what_the_outer_one_has() {
    let (home, _agent) = projects();
    let key = home.canary().len();
    let mut terminal = start(&home, &[("B_KEY", "mine")]);
    enter(&mut terminal, "cd two", "was set already");
    enter(&mut terminal, "^nu --no-history", "\r\n");
    enter(&mut terminal, "look", "<0 b mine 0>");
    enter(&mut terminal, "cd ../one", "\r\n");
    enter(&mut terminal, "look", &format!("<{key} mine mine 0>"));
    enter(&mut terminal, "^nu --no-history", "\r\n");
    enter(&mut terminal, "cd ..", "\r\n");
    enter(&mut terminal, "look", "<0 mine mine 0>");
    enter(&mut terminal, "exit", "\r\n");
    enter(&mut terminal, "look", &format!("<{key} mine mine 0>"));
    enter(&mut terminal, "exit", "\r\n");
    enter(&mut terminal, "look", "<0 b mine 0>");
    leave(terminal);
}

#[test]
fn the_format_is_for_the_hook_alone() {
    let (home, _agent) = projects();
    let one = home.work().join("one");
    let output = home.keyagent(["export", "--format", "nu"]).dir(&one).run().fails(2);
    output.complains("`keyagent export --format json | from json | load-env`");
    let output = home.keyagent(["export", "--format", "nu", "--hook"]).dir(&one).run().quietly();
    let text = output.stdout_text();
    let record = format!("\"record\":\"- A_KEY=one/A_KEY@1 {}\"}}\n", real(&one).display());
    assert!(text.starts_with("{\"mark\":\"/") && text.ends_with(&record), "{text}");
    assert!(text.contains(&format!("\"env\":{{\"A_KEY\":\"{}\"}}", home.canary())), "{text}");
    home.keyagent(["lock"]).run().quietly();
    let output = home.keyagent(["export", "--format", "nu", "--hook"]).dir(&one).run().code(4);
    assert!(
        output.stdout_text().ends_with(",\"env\":null,\"record\":null}\n"),
        "{}",
        output.report()
    );
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().expect("it is there")
}
