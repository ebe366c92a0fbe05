//! Whether clients still find this agent where it listens, and whether what it writes is where
//! a next agent would look. It looks, and decides nothing.

use crate::places::Places;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The places that must stay what they were, as device and inode.
pub struct Anchors(Vec<(PathBuf, Option<(u64, u64)>)>);

/// One of them is another now, or gone.
#[derive(Debug, PartialEq, Eq)]
pub struct Adrift;

impl Anchors {
    /// The socket, and the directories that this process was closed in with: one that is made
    /// anew under the same name is out of its reach.
    pub fn of(places: &Places) -> Self {
        let paths = [places.socket().path(), places.data().to_owned(), places.state().to_owned()];
        Self(paths.map(|path| (path.clone(), identity(&path))).into())
    }

    /// Whether all of them are what they were.
    pub fn hold(&self) -> Result<(), Adrift> {
        for (path, was) in &self.0 {
            let is = path.symlink_metadata().map(|facts| (facts.dev(), facts.ino()));
            let is_lost = match is {
                Ok(is) => *was != Some(is),
                // Whatever else goes wrong there, it may come right.
                Err(error) => error.kind() == ErrorKind::NotFound,
            };
            if was.is_some() && is_lost {
                let path = keyagent_wire::escape(path.as_os_str().as_encoded_bytes());
                tracing::warn!(path, "it is another now, or gone: this agent ends");
                return Err(Adrift);
            }
        }
        Ok(())
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    path.symlink_metadata().ok().map(|facts| (facts.dev(), facts.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_made_anew_under_the_same_name_is_another() {
        let root = std::env::temp_dir().join(format!("anchors-{}", std::process::id()));
        let (kept, absent) = (root.join("kept"), root.join("absent"));
        fs::create_dir_all(&kept).expect("ours");
        let anchors = Anchors([&kept, &absent].map(|path| (path.clone(), identity(path))).to_vec());
        assert_eq!(anchors.hold(), Ok(()));
        fs::create_dir(&absent).expect("ours");
        assert_eq!(anchors.hold(), Ok(()), "what was not there is not missed");
        fs::rename(&kept, root.join("away")).expect("ours");
        assert_eq!(anchors.hold(), Err(Adrift));
        fs::create_dir(&kept).expect("ours");
        assert_eq!(anchors.hold(), Err(Adrift));
        fs::remove_dir_all(&root).expect("ours");
    }
}
