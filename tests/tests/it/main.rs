//! Black-box tests with real processes. One module for each property, named for it.
//!
//! A test that needs a tool has `needs_TOOL_` in its name, so that `tests/run.sh` can leave
//! it out, by name, where the tool is not.

mod burden;
mod cli;
mod completion;
mod crash;
mod crowd;
mod deps;
mod direnv;
mod direnv_reload;
mod doctor;
mod exec;
mod export_shells;
mod frames;
mod given;
mod golden;
mod grants;
mod hook_attacks;
mod hook_changes;
mod hook_cost;
mod hook_direnv;
mod hook_entering;
mod hook_faults;
mod hook_guest;
mod hook_install;
mod hook_nested;
mod hook_nu;
mod hook_shells;
mod hook_values;
mod import;
mod import_bash;
mod import_care;
mod import_dotenv;
mod import_faults;
mod inspection;
mod kit;
mod leaks;
mod locked;
mod memory_scan;
mod names;
mod one_agent;
mod peer_uid;
mod prompts;
mod recording;
mod release;
mod samples;
mod sandbox;
mod session;
mod slow_mount;
mod stock_age;
mod tidy;
mod vault_file;
mod writers;
