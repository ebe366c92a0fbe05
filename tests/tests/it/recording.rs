//! The recorded sessions of the documentation: images that do nothing but move, tell nothing
//! of where they were made, and show commands that the client knows.
//!
//! `docs/record.sh` makes them again; what is typed in them stands in `docs/record/*.scenario`.

use keyagent_tests::Home;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// 150 KiB: a page with it loads at once.
const IMAGE_BYTES_MAX: u64 = 150 * 1024;
/// What is drawn with. None of these can run or fetch anything but by what is looked for below.
const ELEMENTS: [&str; 8] = ["svg", "style", "defs", "g", "use", "text", "rect", "path"];
const NAMESPACE: &str = "xmlns=\"http://www.w3.org/2000/svg\"";

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the workspace is above").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(ending: &str) -> BTreeSet<PathBuf> {
    let directories = ["docs", "docs/record"].map(|name| root().join(name));
    let entries = directories.iter().flat_map(|directory| fs::read_dir(directory).expect("it is"));
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
}

/// The images that pages show: `![…](PATH.svg)`.
fn images() -> BTreeSet<PathBuf> {
    let mut pages = files("md");
    pages.insert(root().join("README.md"));
    let mut images = BTreeSet::new();
    for page in pages {
        let text = read(&page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let directory = page.parent().expect("a page lies in a directory");
        images.extend(links.filter(|link| link.ends_with(".svg")).map(|link| directory.join(link)));
    }
    images
}

/// What a scenario types for a shell and what it expects, in the part that is shown.
struct Scenario {
    commands: Vec<String>,
    expected: Vec<String>,
}

impl Scenario {
    /// `hook-zsh` is the scenario `hook` in zsh; without a shell in its name it is bash.
    fn of(image: &Path) -> Self {
        let name = image.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let (scenario, shell) = name.split_once('-').unwrap_or((&name, "bash"));
        let text = read(&root().join(format!("docs/record/{scenario}.scenario")));
        let (_, shown) = text.split_once("\nshow\n").expect("a part is shown");
        let (mut commands, mut expected) = (Vec::new(), Vec::new());
        for line in shown.lines() {
            let line = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
                Some((shells, _)) if !shells.split(' ').any(|word| word == shell) => continue,
                Some((_, line)) => line,
                None => line,
            };
            let text = |line: &str| escaped(&line.replace("{shell}", shell));
            match line.split_once(' ') {
                Some(("$" | "2$", command)) => commands.push(text(command)),
                Some(("=", output)) => expected.push(text(output)),
                _ => {}
            }
        }
        assert!(commands.len() > 5, "{name}: something is typed");
        Self { commands, expected }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[test]
fn each_image_is_there_small_and_shown() {
    let images = images();
    assert_eq!(images, files("svg"), "pages show each recording, and no other");
    for image in images {
        let bytes = fs::metadata(&image).expect("it is there").len();
        assert!(bytes <= IMAGE_BYTES_MAX, "{}: {bytes} bytes", image.display());
    }
}

#[test]
fn needs_python3_each_image_is_well_formed() {
    let parse = "import sys, xml.dom.minidom\nfor f in sys.argv[1:]: xml.dom.minidom.parse(f)";
    let output = Command::new("python3").args(["-c", parse]).args(files("svg")).output();
    let output = output.expect("python3 can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn no_image_runs_or_fetches_anything() {
    for image in files("svg") {
        let (name, text) = (image.display(), read(&image));
        for tag in text.split('<').skip(1) {
            let element = tag.trim_start_matches('/').split([' ', '>', '/']).next();
            assert!(ELEMENTS.contains(&element.unwrap_or_default()), "{name}: <{tag}");
            let mut targets = tag.split("href=").skip(1);
            assert!(targets.all(|target| target.starts_with("\"#")), "{name}: <{tag}");
            let attributes = tag.split('>').next().unwrap_or_default();
            assert!(!attributes.contains(" on"), "{name}: <{attributes}");
        }
        let rest = text.replacen(NAMESPACE, "", 1);
        for outside in ["://", "url(", "@import", "@font-face", "data:", "javascript:"] {
            assert!(!rest.contains(outside), "{name}: {outside}");
        }
    }
}

#[test]
fn no_image_tells_where_it_was_made() {
    let home = std::env::var("HOME").unwrap_or_default();
    let mut places = vec!["/tmp", "/dev/shm", "/var/", "/home/", "/root", "/run/user", "/Users"];
    places.extend(["keyagent-record", "target/"]);
    // A home at / would be in every path.
    places.extend(Some(home.as_str()).filter(|home| home.len() > 1));
    for image in files("svg") {
        let (name, text) = (image.display(), read(&image));
        for place in &places {
            assert!(!text.contains(place), "{name}: {place}");
        }
        let mut keys = text.split("sk-").skip(1);
        assert!(keys.all(|key| key.starts_with("proj-FAKE")), "{name}: each key is made up");
    }
}

/// One that was not made again shows what is no longer so.
#[test]
fn each_image_shows_what_its_scenario_says() {
    for image in files("svg") {
        let (name, text, scenario) = (image.display(), read(&image), Scenario::of(&image));
        for command in scenario.commands {
            assert!(text.contains(&format!(" {command}</text>")), "{name}: `{command}` is typed");
        }
        for output in scenario.expected {
            assert!(text.contains(&output), "{name}: `{output}` is printed");
        }
    }
}

/// With its options: those before `--help` are read.
#[test]
fn the_client_knows_each_command_that_is_shown() {
    let home = Home::new();
    for image in files("svg") {
        for command in Scenario::of(&image).commands {
            for rest in command.split("keyagent ").skip(1) {
                let words = rest.split(['|', ')', ';']).next().unwrap_or_default();
                let help = home.keyagent(words.split_whitespace().chain(["--help"]));
                help.run().quietly();
            }
        }
    }
}
