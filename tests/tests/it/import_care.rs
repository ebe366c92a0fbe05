//! What `import` does not do behind one's back: it puts no value in the place of another,
//! claims nothing of a file that is not so, and says who will miss the keys.

use crate::given::{self, fill, generation, import, tree};
use keyagent_tests::Home;
use std::fs;

fn write(home: &Home, name: &str, text: &str) {
    home.write(name, fill(home, text));
}

fn is(home: &Home, name: &str, text: &str) -> bool {
    fs::read_to_string(home.work().join(name)).expect("ours") == fill(home, text)
}

fn active(home: &Home, name: &str, value: &str) {
    assert_eq!(home.wire().get(name), Ok(fill(home, value).into_bytes()), "of {name}");
}

const ANOTHER: &str = "the project has another value for it already";
const DOTENV_LEFT: &str = "# keys are in keyagent: keyagent exec -- COMMAND\n";

#[test]
fn a_second_file_does_not_replace_what_the_first_one_set() {
    for (first, second) in [(".env.development", ".env.production"), (".envrc", ".env")] {
        let (home, _agent) = Home::with_vault();
        write(&home, first, "export DATABASE_KEY=@dev\nexport S_KEY=@s\n");
        let other = "export DATABASE_KEY=@prod\n";
        write(&home, second, other);
        import(&home, &[first, "--replace"]).code(0);
        let (before, written) = (tree(&home.work()), generation(&home));
        for args in [&[second, "--replace"][..], &[second], &[second, "--all", "--replace"]] {
            let output = import(&home, args).fails(1);
            let output = output.complains(&format!("line 1: DATABASE_KEY stays: {ANOTHER}"));
            let output = output.complains("nothing to seal in");
            output.complains("`keyagent set work/DATABASE_KEY`");
        }
        assert!(tree(&home.work()) == before, "{second} is untouched");
        assert_eq!(generation(&home), written);
        // What has the same value, or none yet, goes.
        write(&home, second, &format!("export S_KEY=@s\n{other}export T_KEY=@t\n"));
        for round in ["the first time", "and again"] {
            let output = import(&home, &[second, "--replace"]).fails(1);
            output.complains(&format!("cannot seal `DATABASE_KEY`: {ANOTHER}"));
            let left = fs::read_to_string(home.work().join(second)).expect("ours");
            assert!(left.ends_with(&fill(&home, other)) && !left.contains("T_KEY"), "{round}");
        }
        active(&home, "work/DATABASE_KEY", "@dev");
        active(&home, "work/T_KEY", "@t");
        // Edited elsewhere, or itself: it never came from this file.
        write(&home, second, "# x\nexport DATABASE_KEY=@prod2\n");
        import(&home, &[second, "--replace"]).fails(1);
        active(&home, "work/DATABASE_KEY", "@dev");
        import(&home, &[second, "--replace", "--only", "DATABASE_KEY"]).code(0);
        active(&home, "work/DATABASE_KEY", "@prod2");
        // Now it did.
        write(&home, second, "export DATABASE_KEY=@prod3\n");
        import(&home, &[second, "--replace"]).code(0);
        active(&home, "work/DATABASE_KEY", "@prod3");
    }
}

#[test]
fn a_value_that_was_set_since_is_not_taken_back_by_an_old_file() {
    let (home, _agent) = Home::with_vault();
    write(&home, ".env", "A_KEY=@1\n");
    import(&home, &["--replace"]).code(0);
    import(&home, &["--undo"]).code(0);
    home.wire().put("work/A_KEY", fill(&home, "@2").as_bytes());
    import(&home, &["--replace"]).fails(1).complains(ANOTHER);
    active(&home, "work/A_KEY", "@2");
    assert!(is(&home, ".env", "A_KEY=@1\n"));
    write(&home, ".env", "A_KEY=@2\n");
    import(&home, &["--replace"]).code(0);
    assert!(is(&home, ".env", DOTENV_LEFT));
}

#[test]
fn a_manifest_that_changed_since_it_was_allowed_replaces_nothing() {
    let (home, _agent) = Home::with_vault();
    write(&home, ".envrc", "export A_KEY=@1\n");
    import(&home, &["--replace"]).code(0);
    home.wire().put("other/KEY", fill(&home, "@other").as_bytes());
    let manifest = home.work().join("keyagent.toml");
    let text = fs::read_to_string(&manifest).expect("ours");
    // Another line, by which no more is handed out than before.
    fs::write(&manifest, format!("{text}# a comment\n")).expect("ours");
    write(&home, ".env", "A_KEY=@2\n");
    import(&home, &[".env", "--replace"]).fails(1).complains(ANOTHER);
    active(&home, "work/A_KEY", "@1");
    // One that leads elsewhere: nothing is told of that value, and nobody was asked.
    fs::write(&manifest, text.replace("work/A_KEY", "other/KEY")).expect("ours");
    for value in ["A_KEY=@2\n", "A_KEY=@other2\n"] {
        write(&home, ".env", value);
        let before = (tree(&home.work()), generation(&home));
        let output = import(&home, &[".env", "--replace"]).fails(3);
        assert!(!output.complains("A_KEY <- other/KEY").stderr_text().contains(ANOTHER));
        assert!((tree(&home.work()), generation(&home)) == before);
    }
    active(&home, "other/KEY", "@other");
}

#[test]
fn what_the_vault_lost_is_sealed_anew() {
    let (home, _agent) = Home::with_vault();
    write(&home, ".env", "A_KEY=@1\n");
    import(&home, &["--replace"]).code(0);
    home.keyagent(["rm", "work/A_KEY"]).run().quietly();
    write(&home, ".env.local", "A_KEY=@2\n");
    import(&home, &[".env.local", "--replace"]).code(0);
    active(&home, "work/A_KEY", "@2");
    write(&home, ".env", "A_KEY=@3\n");
    home.keyagent(["lock"]).run().quietly();
    import(&home, &[".env", "--replace"]).fails(4);
    assert!(is(&home, ".env", "A_KEY=@3\n"));
}

#[test]
fn a_key_that_is_named_again_is_sealed_already() {
    let (home, _agent) = Home::with_vault();
    write(&home, ".envrc", "export A_KEY=@\nexport B_KEY=@b\n");
    let only = |vars: &str| import(&home, &["--replace", "--only", vars]);
    only("A_KEY").code(0);
    let before = (tree(&home.work()), generation(&home));
    only("A_KEY").code(0).prints("").complains("`A_KEY` is sealed already");
    only("C_KEY").fails(2).complains("the file does not set `C_KEY`");
    only("A_KEY,C_KEY").fails(2).complains("the file does not set `C_KEY`");
    import(&home, &["--dry-run", "--only", "A_KEY"]).code(0).complains("sealed already");
    assert!((tree(&home.work()), generation(&home)) == before);
    only("A_KEY,B_KEY").code(0).complains("`A_KEY` is sealed already");
    assert!(is(&home, ".envrc", "use keyagent\n"));
    // Bound, but not allowed any more; or not there any more.
    home.keyagent(["deny"]).run().code(0);
    only("A_KEY").fails(2).complains("the file does not set `A_KEY`");
    given::allow(&home, home.work());
    home.keyagent(["rm", "work/A_KEY"]).run().quietly();
    only("A_KEY").fails(2).complains("the file does not set `A_KEY`");
}

#[test]
fn a_copy_that_stays_is_named() {
    const CLAIM: &str = "holds none of these keys any more";
    for (text, line) in [
        ("export A_KEY=@\n# was @\n", 2),
        ("export A_KEY=@\nLIST=(a @)\n", 2),
        ("export A_KEY=@\nexport URL=\"https://$USER:@\"\n", 2),
        ("export A_KEY=@\necho <<E >/dev/null\nx\n@\nE\n", 4),
    ] {
        let (home, _agent) = Home::with_vault();
        write(&home, ".envrc", text);
        let output = import(&home, &["--replace"]).code(0);
        let output =
            output.complains(&format!("warning: line {line} still has the value of A_KEY"));
        assert!(!output.stderr_text().contains(CLAIM), "{}", output.report());
    }
    let (home, _agent) = Home::with_vault();
    let copies: String = (0..100).map(|n| format!("# {n}: @\n")).collect();
    write(&home, ".envrc", &format!("export A_KEY=@\nexport B_KEY=short\n# short\n{copies}"));
    let output = import(&home, &["--replace"]).code(0).complains("and 90 more");
    assert_eq!(output.stderr_text().matches("still has the value of").count(), 10);
    let (home, _agent) = Home::with_vault();
    write(&home, ".envrc", "export B_KEY=short\n# short\nexport A_KEY=@\n");
    import(&home, &["--replace"]).code(0).complains(CLAIM);
}

#[test]
fn direnv_that_loads_the_file_is_not_forgotten() {
    const HINT: &str = "add `use keyagent` to it";
    for (envrc, name, hinted) in [
        (Some("dotenv\n"), ".env", true),
        (Some("layout go\ndotenv_if_exists .env # x\n"), ".env", true),
        (Some("dotenv \"$PWD/.env\"\n"), ".env", true),
        (Some("[ -e x ] && dotenv .env.local\n"), ".env.local", true),
        (Some("set -a; source .env; set +a\n"), ".env", true),
        (Some("dotenv\n"), ".env.local", false),
        (Some("# dotenv\nlayout go # dotenv\n"), ".env", false),
        (Some("use keyagent\ndotenv\n"), ".env", false),
        (Some("# use keyagent\ndotenv\n"), ".env", true),
        (Some("layout go\n"), ".env", false),
        (None, ".env", false),
    ] {
        let (home, _agent) = Home::with_vault();
        write(&home, name, "A_KEY=@\n");
        if let Some(envrc) = envrc {
            write(&home, ".envrc", envrc);
        }
        let output = import(&home, &[name, "--replace"]).code(0);
        let text = output.stderr_text();
        assert_eq!(text.contains(HINT), hinted, "{envrc:?}: {}", output.report());
        assert_eq!(text.contains("`.envrc` loads this file by `"), hinted);
    }
    let (home, _agent) = Home::with_vault();
    write(&home, ".env", "A_KEY=@\n");
    nix::unistd::mkfifo(&home.work().join(".envrc"), nix::sys::stat::Mode::S_IRWXU).expect("ours");
    import(&home, &[".env", "--replace"]).code(0);
}
