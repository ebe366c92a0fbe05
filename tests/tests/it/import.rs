//! `import`: the keys of a file go into the vault, all else stays as it was, and the way
//! back is there.

use crate::given::{self, fill, generation, import, tree};
use keyagent_tests::Home;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Lines of every kind; `@` stands for the canary.
const ENVRC: &str = "# keep me\nsource_up\nlayout python3 # really\n\nexport LOG=debug\n\
    export A_KEY=@a B_TOKEN='@b' # two\nexport PEM_KEY=\"-----BEGIN KEY-----\n@\n-----END KEY-----\n\"\n\
    export C_SECRET=\"@c $USER\"\nexport D_KEY=$(pass d)\nif has nix; then\n  use flake\nfi";

/// What is left of it.
const REWRITTEN: &str = "# keep me\nsource_up\nlayout python3 # really\n\nexport LOG=debug\n\
    use keyagent\nexport C_SECRET=\"@c $USER\"\nexport D_KEY=$(pass d)\n\
    if has nix; then\n  use flake\nfi";

fn printenv(home: &Home, dir: &Path, var: &str) -> String {
    home.keyagent(["exec", "printenv", var]).dir(dir).run().quietly().stdout_text()
}

#[test]
fn a_dry_run_changes_nothing() {
    let (home, _agent) = Home::with_vault();
    home.write(".envrc", fill(&home, ENVRC));
    let (before, written) = (tree(home.root()), generation(&home));
    for args in [&["--dry-run"][..], &["--dry-run", "--replace"], &["--dry-run", "--all"]] {
        let output = import(&home, args).code(0).prints("");
        let output = output.complains("line 6: A_KEY -> work/A_KEY (its name has KEY)");
        output.complains("line 12: D_KEY stays: its value needs a shell");
    }
    assert!(tree(home.root()) == before, "not a file is written");
    assert_eq!(generation(&home), written);
}

#[test]
fn keys_are_taken_out_and_all_else_stays() {
    let (home, _agent) = Home::with_vault();
    let path = home.write(".envrc", fill(&home, ENVRC));
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("ours");
    let output = import(&home, &["--replace"]).code(0).prints("");
    let output = output.complains("line 5: LOG stays (`--only LOG` seals it)");
    output.complains("line 11: C_SECRET stays: its value needs a shell");
    assert_eq!(fs::read_to_string(&path).expect("ours"), fill(&home, REWRITTEN));
    assert_eq!(path.metadata().expect("it is there").mode() & 0o7777, 0o640);
    let manifest = fs::read_to_string(home.work().join("keyagent.toml")).expect("it was written");
    let expected = "project = \"work\"\n\n[env]\nA_KEY = \"work/A_KEY\"\n\
                    B_TOKEN = \"work/B_TOKEN\"\nPEM_KEY = \"work/PEM_KEY\"\n";
    assert!(manifest.ends_with(expected), "{manifest}");
    for (var, value) in [
        ("A_KEY", "@a"),
        ("B_TOKEN", "@b"),
        ("PEM_KEY", "-----BEGIN KEY-----\n@\n-----END KEY-----\n"),
    ] {
        assert_eq!(printenv(&home, &home.work(), var), fill(&home, value) + "\n");
    }
}

#[test]
fn twice_changes_nothing() {
    let (home, _agent) = Home::with_vault();
    home.write(".envrc", fill(&home, ENVRC));
    import(&home, &[]).code(0).complains("sealed: 3 new, 0 changed, 0 as they were");
    let (before, written) = (tree(&home.work()), generation(&home));
    import(&home, &[]).code(0).complains("sealed: 0 new, 0 changed, 3 as they were");
    assert!(tree(&home.work()) == before);
    assert_eq!(generation(&home), written, "the same values are not written again");
    import(&home, &["--replace"]).code(0).prints("");
    let (before, written) = (tree(&home.work()), generation(&home));
    for args in [&["--replace"][..], &[], &["--replace", ".envrc"]] {
        import(&home, args).code(0).prints("").complains("nothing to seal in `.envrc`");
    }
    assert!(tree(&home.work()) == before);
    assert_eq!(generation(&home), written);
}

#[test]
fn undo_puts_the_file_back_byte_for_byte() {
    let (home, mut agent) = Home::with_vault();
    // Larger than one value may be, so that it is kept in parts.
    let long = format!("{}\n# {}\r\n\tlast", fill(&home, ENVRC), "é".repeat(80_000));
    let path = home.write(".envrc", &long);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("ours");
    import(&home, &["--replace"]).code(0);
    let rewritten = fs::read(&path).expect("ours");
    assert!(rewritten != long.as_bytes());
    home.keyagent(["lock"]).run().quietly();
    import(&home, &["--undo"]).fails(4);
    assert!(fs::read(&path).expect("ours") == rewritten);
    agent.terminate();
    import(&home, &["--undo"]).code(0).prints("").complains("in plain text again");
    assert!(fs::read(&path).expect("ours") == long.as_bytes());
    import(&home, &["--undo", ".envrc"]).code(0).complains("nothing to undo");
    // What was edited since is not lost.
    fs::write(&path, [&rewritten[..], b"# mine\n"].concat()).expect("ours");
    import(&home, &["--undo"]).fails(1).complains("was edited since keys were taken out of it");
    assert!(fs::read(&path).expect("ours").ends_with(b"# mine\n"));
    fs::remove_file(&path).expect("ours");
    import(&home, &["--undo"]).code(0);
    assert!(fs::read(&path).expect("ours") == long.as_bytes());
    assert_eq!(path.metadata().expect("it is there").mode() & 0o7777, 0o600);
    home.write("other", "A_KEY=x");
    import(&home, &["--undo", "other"]).fails(1).complains("keeps no original of that file");
}

#[test]
fn a_link_stays_a_link() {
    let (home, _agent) = Home::with_vault();
    let real = home.write("dotfiles/envrc", fill(&home, "export A_KEY=@\nlayout go\n"));
    let link = home.work().join(".envrc");
    std::os::unix::fs::symlink("dotfiles/envrc", &link).expect("ours");
    import(&home, &["--replace"]).code(0);
    assert_eq!(fs::read_link(&link).expect("it is a link").to_str(), Some("dotfiles/envrc"));
    assert_eq!(fs::read_to_string(&real).expect("ours"), "use keyagent\nlayout go\n");
    assert!(home.work().join("keyagent.toml").exists(), "the project is where the link is");
    assert_eq!(printenv(&home, &home.work(), "A_KEY"), format!("{}\n", home.canary()));
    import(&home, &["--undo"]).code(0);
    assert!(link.is_symlink());
    assert_eq!(
        fs::read_to_string(&real).expect("ours"),
        fill(&home, "export A_KEY=@\nlayout go\n")
    );
}

#[test]
fn needs_root_the_owner_stays() {
    let (home, _agent) = Home::with_vault();
    let path = home.write(".envrc", fill(&home, "export A_KEY=@\n"));
    std::os::unix::fs::chown(&path, Some(61_236), Some(61_237)).expect("we are root");
    fs::set_permissions(&path, Permissions::from_mode(0o604)).expect("we are root");
    import(&home, &["--replace"]).code(0);
    let facts = path.metadata().expect("it is there");
    assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o7777), (61_236, 61_237, 0o604));
    import(&home, &["--undo"]).code(0);
    let facts = path.metadata().expect("it is there");
    assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o7777), (61_236, 61_237, 0o604));
}

#[test]
fn the_human_chooses() {
    let (home, _agent) = Home::with_vault();
    let path = home.write(".envrc", fill(&home, ENVRC));
    import(&home, &["--only", "NONE"]).fails(2).complains("the file does not set `NONE`");
    import(&home, &["--only", "D_KEY"])
        .fails(2)
        .complains("`D_KEY`, line 12: its value needs a shell");
    import(&home, &["--only", "A_KEY", "--all"]).fails(2);
    import(&home, &["--replace", "--only", "LOG,B_TOKEN"]).code(0);
    let text = fs::read_to_string(&path).expect("ours");
    let expected =
        ENVRC.replace("export LOG=debug\n", "use keyagent\n").replace(" B_TOKEN='@b'", "");
    assert_eq!(text, fill(&home, &expected));
    import(&home, &["--replace", "--all"]).code(0);
    assert_eq!(home.wire().names(), ["work/A_KEY", "work/B_TOKEN", "work/LOG", "work/PEM_KEY"]);
    assert_eq!(printenv(&home, &home.work(), "LOG"), "debug\n");
}

#[test]
fn a_manifest_that_was_there_keeps_all_that_it_says() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("shared/DB", b"db");
    let text = "# ours\nproject = \"acme\" # name\n\n[env] # plain\nDB   = \"shared/DB\"   # first\n\n\
                # production\n[profile.prod.env]\nA_KEY = \"acme/prod/A_KEY\"\n";
    let manifest = given::manifest(&home, home.work(), text);
    fs::set_permissions(&manifest, Permissions::from_mode(0o600)).expect("ours");
    home.write(".envrc", fill(&home, "export A_KEY=@\n"));
    // Nobody allowed it yet, and it would get another project's key.
    let before = (tree(&home.work()), generation(&home));
    import(&home, &["--replace"]).fails(3).complains("DB <- shared/DB");
    assert!((tree(&home.work()), generation(&home)) == before, "nothing was touched");
    given::allow(&home, home.work());
    import(&home, &["--replace"]).code(0);
    let now = fs::read_to_string(&manifest).expect("ours");
    let line = "A_KEY = \"acme/A_KEY\"\n";
    assert_eq!(now.replacen(line, "", 1), text, "one line was added:\n{now}");
    assert_eq!(manifest.metadata().expect("it is there").mode() & 0o7777, 0o600);
    assert_eq!(printenv(&home, &home.work(), "A_KEY"), format!("{}\n", home.canary()));
    home.wire().put("acme/prod/A_KEY", b"prod");
    let prod = home.keyagent(["exec", "-P", "prod", "printenv", "A_KEY", "DB"]).run();
    prod.quietly().prints("prod\ndb\n");
}

#[test]
fn projects_of_one_name_stay_apart() {
    let (home, _agent) = Home::with_vault();
    let text = |n: u32| fill(&home, &format!("export A_KEY=@{n}\nexport B_KEY=@same\n"));
    let dirs = ["one/app", "two/app", "three/app"].map(|dir| home.work().join(dir));
    for (n, dir) in (1..).zip(&dirs) {
        home.write(
            dir.join(".envrc").strip_prefix(home.work()).expect("below").to_str().expect("UTF-8"),
            text(n),
        );
        home.keyagent(["import", "--replace"]).dir(dir).run().code(0);
    }
    for (n, dir) in (1..).zip(&dirs) {
        assert_eq!(printenv(&home, dir, "A_KEY"), fill(&home, &format!("@{n}\n")));
        assert_eq!(printenv(&home, dir, "B_KEY"), fill(&home, "@same\n"));
    }
    let names = home.wire().names();
    assert_eq!(names.len(), 6, "{names:?}");
    // One name, taken by hand, of a project that is new.
    home.wire().put("late/A_KEY", b"by hand");
    home.write("late/.envrc", text(4));
    let late = home.work().join("late");
    home.keyagent(["import"]).dir(&late).run().code(0);
    assert_eq!(printenv(&home, &late, "A_KEY"), fill(&home, "@4\n"));
    assert_eq!(home.wire().get("late/A_KEY"), Ok(b"by hand".to_vec()));
}

#[test]
fn a_key_that_is_typed_in_again_is_a_new_version() {
    let (home, _agent) = Home::with_vault();
    let path = home.write(".envrc", fill(&home, "export A_KEY=@1\nexport B_KEY=@1\n"));
    import(&home, &["--replace"]).code(0).complains("sealed: 2 new");
    let rewritten = fs::read_to_string(&path).expect("ours");
    fs::write(&path, rewritten + &fill(&home, "export A_KEY=@2\n")).expect("ours");
    import(&home, &["--replace"]).code(0).complains("sealed: 0 new, 1 changed");
    assert_eq!(printenv(&home, &home.work(), "A_KEY"), fill(&home, "@2\n"));
    assert_eq!(printenv(&home, &home.work(), "B_KEY"), fill(&home, "@1\n"));
    let show = home.keyagent(["show", "work/A_KEY"]).run().quietly().stdout_text();
    assert_eq!(show.matches("\nversion ").count(), 2, "{show}");
    let old = home.keyagent(["get", "work/A_KEY", "--version", "1"]).run();
    old.quietly().prints(fill(&home, "@1"));
    assert_eq!(fs::read_to_string(&path).expect("ours").matches("use keyagent").count(), 1);
}

/// Each kind of file: what it is called, what is in it, what is left, and a value.
#[test]
fn every_kind_of_file_is_read_as_its_tools_do() {
    for (name, text, left, value) in [
        (
            ".env",
            "A_KEY=@\nPORT=1\n",
            "# keys are in keyagent: keyagent exec -- COMMAND\nPORT=1\n",
            "@",
        ),
        (
            ".env.local",
            "PORT=1\r\nA_KEY=\"@ b\"\r\n",
            "PORT=1\r\n# keys are in keyagent: keyagent exec -- COMMAND\r\n",
            "@ b",
        ),
        (".env", "export A_KEY='@'", "# keys are in keyagent: keyagent exec -- COMMAND\n", "@"),
        ("k.json", "{\"a\": 1, \"A_KEY\": \"@\\n\\u00e9\"}", "{\"a\": 1}", "@\né"),
        ("k.json", "{\n  \"A_KEY\": \"@\",\n  \"b\": [true]\n}\n", "{\n  \"b\": [true]\n}\n", "@"),
        (".envrc", "export A_KEY=@", "use keyagent", "@"),
        (".envrc", "\u{feff}# bom\nexport A_KEY=@\n", "\u{feff}# bom\nuse keyagent\n", "@"),
        (".envrc", "export A_KEY=@\\\n1 # x\nPATH_add bin", "use keyagent\nPATH_add bin", "@1"),
        (
            ".envrc",
            "A_KEY=$'@\\t\\'\\x41'\nexport A_KEY\n",
            "use keyagent\nexport A_KEY\n",
            "@\t'A",
        ),
        (
            ".envrc",
            "export A_KEY=old@ PORT=1\nexport A_KEY=@\n",
            "use keyagent\nexport PORT=1\n",
            "@",
        ),
    ] {
        let (home, _agent) = Home::with_vault();
        let path = home.write(name, fill(&home, text));
        import(&home, &[name, "--replace"]).code(0).prints("");
        let now = fs::read_to_string(&path).expect("ours");
        assert_eq!(now, fill(&home, left), "of {name}: {text:?}");
        assert_eq!(printenv(&home, &home.work(), "A_KEY"), fill(&home, value) + "\n", "{text:?}");
        import(&home, &[name, "--undo"]).code(0);
        assert_eq!(fs::read_to_string(&path).expect("ours"), fill(&home, text));
    }
}

#[test]
fn what_cannot_be_imported_is_told_before_anything_happens() {
    let (home, _agent) = Home::with_vault();
    let many: String = (0..257).map(|n| format!("export K{n}_KEY=x{n}\n")).collect();
    let written = generation(&home);
    for (name, bytes, args, code, why) in [
        (".envrc", many.as_bytes(), &[][..], 1, "257 keys are more than one project may have"),
        (".envrc", b"export A_KEY=a\0b\n", &[], 1, "line 1: there is a NUL byte"),
        (".envrc", b"export A_KEY='open\n\n", &[], 1, "cannot read `.envrc`: line 1"),
        ("k.json", b"{\"A_KEY\": \"x\",}", &["k.json"], 1, "cannot read `k.json`: line 1"),
        (".envrc", &[b'#'; 1024 * 1024 + 1], &[], 1, "it is larger than 1 MiB"),
    ] {
        home.write(name, bytes);
        let before = tree(&home.work());
        import(&home, args).fails(code).complains(why);
        import(&home, &[args, &["--replace"]].concat()).fails(code).complains(why);
        assert!(tree(&home.work()) == before);
        fs::remove_file(home.work().join(name)).expect("ours");
    }
    import(&home, &["/"]).fails(1).complains("it is no regular file");
    home.write(".envrc", fill(&home, "export A_KEY=@\n"));
    for manifest in ["[env", "[env]\nA_KEY = 1\n", "[env]\nPATH = \"x\"\n"] {
        let path = given::manifest(&home, home.work(), manifest);
        let before = tree(&home.work());
        import(&home, &["--replace"]).fails(1).complains("cannot read keyagent.toml, line ");
        assert!(tree(&home.work()) == before);
        fs::remove_file(path).expect("ours");
    }
    fs::create_dir(home.work().join("keyagent.toml")).expect("ours");
    import(&home, &["--replace"]).fails(3).complains("no regular file");
    assert_eq!(generation(&home), written);
    assert_eq!(home.wire().names(), [""; 0]);
}

#[test]
fn a_locked_vault_or_none_touches_nothing() {
    let home = Home::new();
    let _agent = home.agent();
    home.write(".envrc", fill(&home, ENVRC));
    let before = tree(&home.work());
    import(&home, &["--replace"]).fails(1).complains("`keyagent init`");
    home.wire().init(None);
    home.keyagent(["lock"]).run().quietly();
    import(&home, &["--replace"]).fails(4);
    assert!(tree(&home.work()) == before);
}
