//! A key that pays for a tool with a login of its own is warned of where a shell gets it.

use crate::given::{allow, manifest};
use keyagent_tests::{Home, copy_program};
use std::fs;

const WARNING: &str = "changes who is billed";

#[test]
fn an_exported_key_of_a_tool_with_a_login_is_warned_of() {
    let (home, _agent) = Home::with_vault();
    home.wire().put("app/KEY", home.canary().as_bytes());
    manifest(&home, home.work(), "[env]\nOPENAI_API_KEY = \"app/KEY\"\n");
    allow(&home, home.work());
    let export = || home.keyagent(["export", "--format", "sh"]).run().code(0).stderr_text();
    let hook = || home.keyagent(["export", "--hook", "--format", "bash"]);
    assert!(!export().contains(WARNING), "there is no login");
    let login = home.make_directory("home/.codex").join("auth.json");
    fs::write(&login, r#"{"OPENAI_API_KEY":"sk-x","tokens":null}"#).expect("it is ours");
    assert!(!export().contains(WARNING), "its login is a key");
    fs::write(&login, r#"{"OPENAI_API_KEY":null,"tokens":{"access_token":"t"}}"#).expect("ours");
    assert!(export().contains(WARNING));
    let output = hook().run().code(0).complains("`OPENAI_API_KEY` changes who is billed");
    assert_eq!(output.stderr_text().lines().count(), 1, "a prompt has room for one line");
    let printed = output.stdout_text();
    let record = printed.rsplit("__keyagent_end '").next().and_then(|rest| rest.split('\'').next());
    let record = record.expect("there is a record");
    hook().env("KEYAGENT_LOADED", record).run().quietly();
    home.keyagent(["exec", "--", "true"]).run().quietly();
    let tool = home.write("tool", "#!/bin/sh\n");
    fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("ours");
    copy_program(&tool, &home.work().join("codex"));
    home.keyagent(["exec", "--", "./codex"]).run().code(0).complains(WARNING);
}
