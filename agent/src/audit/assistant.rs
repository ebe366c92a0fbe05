//! Coding assistants: which of them a process or a variable is of. One table.
//!
//! It is a label for the log, never a reason: a program can take any name, and a variable
//! can be set by anybody. Only names of variables are looked at, never what is in them.

/// One assistant.
struct Assistant {
    label: &'static str,
    /// How its process is called (`comm`, or the last part of its program's path).
    processes: &'static [&'static str],
    /// What it sets for the commands that it runs, and a human does not. What one sets to
    /// configure it (`AIDER_MODEL`, `CODEX_HOME`, `GOOSE_PROVIDER`) says nothing.
    variables: &'static [&'static str],
}

/// In the order in which they are tried: amp sets Claude Code's variable besides its own.
const TABLE: &[Assistant] = &[
    // AMP_CURRENT_THREAD_ID: npm @vercel/detect-agent, src/index.ts.
    Assistant { label: "amp", processes: &["amp"], variables: &["AMP_CURRENT_THREAD_ID"] },
    // CLAUDECODE=1: code.claude.com/docs/en/env-vars. Its SDKs set CLAUDE_CODE_ENTRYPOINT.
    Assistant {
        label: "claude",
        processes: &["claude"],
        variables: &["CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_CHILD_SESSION"],
    },
    // CODEX_SANDBOX*: openai/codex, codex-rs/core/src/spawn.rs; the others: detect-agent.
    Assistant {
        label: "codex",
        processes: &["codex", "codex-exec"],
        variables: &[
            "CODEX_SANDBOX",
            "CODEX_SANDBOX_NETWORK_DISABLED",
            "CODEX_THREAD_ID",
            "CODEX_CI",
        ],
    },
    // CURSOR_TRACE_ID, CURSOR_AGENT: detect-agent.
    Assistant {
        label: "cursor",
        processes: &["cursor", "Cursor", "cursor-agent"],
        variables: &["CURSOR_AGENT", "CURSOR_TRACE_ID"],
    },
    // GEMINI_CLI=1: google-gemini/gemini-cli, docs/tools/shell.md.
    Assistant { label: "gemini", processes: &["gemini"], variables: &["GEMINI_CLI"] },
    // QWEN_CODE=1: QwenLM/qwen-code, a fork of it.
    Assistant { label: "qwen", processes: &["qwen"], variables: &["QWEN_CODE"] },
    // OPENCODE, OPENCODE_CLIENT: detect-agent.
    Assistant {
        label: "opencode",
        processes: &["opencode"],
        variables: &["OPENCODE", "OPENCODE_CLIENT"],
    },
    // GOOSE_TERMINAL=1: block/goose, its developer extension's shell.
    Assistant { label: "goose", processes: &["goose", "goosed"], variables: &["GOOSE_TERMINAL"] },
    // CLINE_ACTIVE=true: cline/cline, discussion 5366.
    Assistant { label: "cline", processes: &["cline"], variables: &["CLINE_ACTIVE"] },
    // COPILOT_CLI: detect-agent.
    Assistant { label: "copilot", processes: &["copilot"], variables: &["COPILOT_CLI"] },
    // AUGMENT_AGENT=1: detect-agent.
    Assistant { label: "augment", processes: &["auggie"], variables: &["AUGMENT_AGENT"] },
    // ANTIGRAVITY_AGENT: detect-agent.
    Assistant {
        label: "antigravity",
        processes: &["antigravity"],
        variables: &["ANTIGRAVITY_AGENT"],
    },
    // TRAE_AI_SHELL_ID: agentsmd/agents.md, issue 136.
    Assistant { label: "trae", processes: &["trae"], variables: &["TRAE_AI_SHELL_ID"] },
    // These set nothing for what they run, as far as is known.
    Assistant { label: "aider", processes: &["aider"], variables: &[] },
    Assistant { label: "windsurf", processes: &["windsurf"], variables: &[] },
    Assistant { label: "crush", processes: &["crush"], variables: &[] },
    // AI_AGENT: the variable that many have agreed on. It says that there is one.
    Assistant { label: "other", processes: &[], variables: &["AI_AGENT"] },
];

/// The assistant whose process is called that.
pub fn by_process(name: &str) -> Option<&'static str> {
    let found = TABLE.iter().find(|assistant| assistant.processes.contains(&name));
    found.map(|assistant| assistant.label)
}

/// The assistant that sets one of these variables, by their names alone.
pub fn by_variables(names: &[&str]) -> Option<&'static str> {
    let sets = |assistant: &&Assistant| names.iter().any(|name| assistant.variables.contains(name));
    TABLE.iter().find(sets).map(|assistant| assistant.label)
}

/// The variable of that name, if an assistant sets it.
pub fn variable(name: &[u8]) -> Option<&'static str> {
    let mut all = TABLE.iter().flat_map(|assistant| assistant.variables);
    all.find(|variable| variable.as_bytes() == name).copied()
}

/// The label that reads so, if there is one.
pub fn label(text: &str) -> Option<&'static str> {
    TABLE.iter().map(|assistant| assistant.label).find(|label| *label == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_by_process_and_by_variable() {
        assert_eq!(by_process("claude"), Some("claude"));
        assert_eq!(by_process("cursor-agent"), Some("cursor"));
        assert_eq!(by_process("bash"), None);
        assert_eq!(by_process(""), None);
        assert_eq!((variable(b"CLAUDECODE"), variable(b"HOME")), (Some("CLAUDECODE"), None));
        assert_eq!((label("codex"), label("sk-proj")), (Some("codex"), None));
        assert_eq!(by_variables(&["HOME", "GEMINI_CLI"]), Some("gemini"));
        assert_eq!(by_variables(&["HOME", "AIDER_MODEL", "CODEX_HOME"]), None);
        assert_eq!(by_variables(&["CLAUDECODE", "AMP_CURRENT_THREAD_ID"]), Some("amp"));
    }

    #[test]
    fn labels_are_told_apart_and_short() {
        let mut labels: Vec<_> = TABLE.iter().map(|assistant| assistant.label).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), TABLE.len());
        assert!(labels.iter().all(|label| label.len() <= 16 && label.is_ascii()));
    }
}
