//! Where a configuration's includes of other projects, addresses, templates and
//! components come from: the project's `.fleet/includes.toml`, over the user's own.

use std::path::{Path, PathBuf};

use fleet_fetch::{Configured, Sources};

use crate::cli::Includes;
use crate::project::Project;
use crate::{Failure, context};

/// The name of the file, under `.fleet/` and among the user's settings.
const FILE: &str = "includes.toml";

/// Gets what a project's configuration includes.
///
/// # Errors
/// A file that says where things are cannot be used.
pub(crate) fn configured(project: &Project, flags: &Includes) -> Result<Configured, Failure> {
    let own = project.fleet_dir().join(FILE);
    let (file, name) = match &flags.includes {
        Some(file) => (file.clone(), file.display().to_string()),
        None => (own, format!(".fleet/{FILE}")),
    };
    let sources = read(&file)?;
    if sources.is_none() && flags.includes.is_some() {
        return Err(Failure::usage(format!("there is no file {name}")));
    }
    let sources = sources.unwrap_or_default();
    let users = context::config_dir().ok().map(|folder| folder.join(FILE));
    let users = users.as_deref().map(read).transpose()?.flatten();
    let sources = match users {
        Some(users) => sources.over(users),
        None => sources,
    };
    let cache = cache(project).join("includes");
    Ok(Configured::new(sources, name, &cache))
}

fn read(file: &Path) -> Result<Option<Sources>, Failure> {
    Sources::read(file).map_err(Failure::usage)
}

/// What all projects of the user share; without a place for it, the project's own.
fn cache(project: &Project) -> PathBuf {
    crate::user_cache().unwrap_or_else(|| project.fleet_dir())
}
