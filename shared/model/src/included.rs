//! What a configuration is made from: the files it includes.

use serde::{Deserialize, Serialize};

/// One file that was included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Included {
    /// Which form of include.
    pub kind: IncludeKind,
    /// Path, address or name as GitLab's sentences call it, variables expanded,
    /// values of masked variables left out.
    pub location: String,
    /// The project the file is of, where that is not the pipeline's own.
    pub project: Option<String>,
    /// The commit there.
    pub commit: Option<String>,
    /// The release of a component.
    pub version: Option<String>,
    /// The content's SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

/// The forms of an include.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncludeKind {
    /// A file of the same repository and commit as the file that includes it.
    Local,
    /// A file of another project.
    Project,
    /// An address.
    Remote,
    /// A file of the server's set.
    Template,
    /// A component of another project.
    Component,
}

impl IncludeKind {
    /// GitLab's key.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            IncludeKind::Local => "local",
            IncludeKind::Project => "project",
            IncludeKind::Remote => "remote",
            IncludeKind::Template => "template",
            IncludeKind::Component => "component",
        }
    }
}
