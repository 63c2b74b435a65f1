//! What was included: the part of a pipeline's record that says which text it is
//! made from.

use sha2::{Digest as _, Sha256};

/// One file that was included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// Which form of include.
    pub kind: Kind,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
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

impl Kind {
    /// GitLab's key.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Local => "local",
            Kind::Project => "project",
            Kind::Remote => "remote",
            Kind::Template => "template",
            Kind::Component => "component",
        }
    }
}

/// The digest in the form of [`Included::sha256`].
pub(super) fn sha256(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
