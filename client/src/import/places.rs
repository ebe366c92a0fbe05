//! The directories that an import writes in: its project's, and the file's if that is behind
//! a link. Claimed first of all, and room made in them before anything is sealed: an import
//! that cannot end must not leave its keys in the vault each time that it is tried.

use crate::atomic::{Look, Room, Workplace};
use crate::import::source::{Source, directory_of};
use crate::project::MANIFEST;
use crate::report::Failure;
use std::ffi::OsStr;

/// Both, claimed until this is dropped.
pub(crate) struct Places {
    project: Workplace,
    /// Only if it is another and will be written in.
    behind_link: Option<Workplace>,
}

impl Places {
    /// Claims the project's directory, and the file's if it will be rewritten.
    pub(crate) fn claim(source: &Source, replace: bool) -> Result<Self, Failure> {
        let project = Workplace::claim(source.directory())?;
        let behind = directory_of(source.target())?;
        let is_other = replace && behind != project.path();
        let behind_link = is_other.then(|| Workplace::claim(&behind)).transpose()?;
        Ok(Self { project, behind_link })
    }

    /// The project's directory.
    pub(crate) fn project(&self) -> &Workplace {
        &self.project
    }

    /// Room for what will be written, of about that size.
    pub(crate) fn make_rooms(
        &self,
        source: &Source,
        manifest: Option<&str>,
        rewritten: Option<&[u8]>,
    ) -> Result<Vec<Room<'_>>, Failure> {
        let mut rooms = Vec::new();
        if let Some(text) = manifest {
            let name = OsStr::new(MANIFEST);
            rooms.push(self.project.make_room(name, text.len(), &Look::New(0o644))?);
        }
        if let Some(bytes) = rewritten {
            let look = Look::Like(source.metadata());
            rooms.push(self.of_file().make_room(source.target_name(), bytes.len(), &look)?);
        }
        Ok(rooms)
    }

    /// Puts the rewritten file in the place of the old one.
    pub(crate) fn rewrite(&self, source: &Source, rewritten: &[u8]) -> Result<(), Failure> {
        let look = Look::Like(source.metadata());
        self.of_file().put(source.target_name(), rewritten, &look)
    }

    fn of_file(&self) -> &Workplace {
        self.behind_link.as_ref().unwrap_or(&self.project)
    }
}
