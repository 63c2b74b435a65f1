//! Who may use an image that lies on the host.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use fleet_model::ProjectId;

use crate::registry::image_id;

const ANYBODY: &str = "anonymous";

/// The record of what was pulled for whom: an empty file
/// `<image>/anonymous` or `<image>/project-<id>` each.
///
/// Files are only ever made, so that supervisors need not know of each other. What
/// is here of an image that is gone does no harm: who could pull it once knows it.
pub(super) struct Grants<'a> {
    folder: &'a Path,
}

impl Grants<'_> {
    /// The record in `folder`, which need not exist.
    pub(super) fn new(folder: &Path) -> Grants<'_> {
        Grants { folder }
    }

    /// Records that the image was pulled with the logins of `project`, or without
    /// any.
    ///
    /// # Errors
    /// Whatever the file system says; or that `id` is no image's.
    pub(super) fn record(&self, id: &str, project: Option<ProjectId>) -> io::Result<()> {
        let image = self.image(id).ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(&image)?;
        let name = project.map_or_else(|| ANYBODY.to_owned(), name);
        File::create(image.join(name))?;
        Ok(())
    }

    /// Whether jobs of `project` may use the image as it lies there.
    pub(super) fn permit(&self, id: &str, project: ProjectId) -> bool {
        let Some(image) = self.image(id) else {
            return false;
        };
        image.join(ANYBODY).exists() || image.join(name(project)).exists()
    }

    /// Whether anything is recorded of the image: whether an agent pulled it.
    pub(super) fn exist(&self, id: &str) -> bool {
        self.image(id).is_none_or(|image| image.exists())
    }

    fn image(&self, id: &str) -> Option<PathBuf> {
        image_id(id).map(|hex| self.folder.join(hex))
    }
}

fn name(project: ProjectId) -> String {
    format!("project-{project}")
}
