//! What a trigger job (a bridge, in GitLab's code) starts or follows instead of
//! running a script.

use serde::{Deserialize, Serialize};

use crate::Variable;

/// `trigger` of a job, or `needs:pipeline` in its place. Texts are as they are written: they are expanded when the
/// job starts, with what is known then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// What it starts or follows.
    pub downstream: Downstream,
    /// Whether the job waits for it; none: the job ends when it is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The YAML variables that become the other pipeline's own: those of the job and
    /// the global ones it inherits, or none (`forward:yaml_variables: false`). The
    /// first of a name counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
    /// `forward:pipeline_variables`: whether the other pipeline also gets the
    /// variables that this one was started with.
    #[serde(default)]
    pub pipeline_variables: bool,
}

/// The pipeline a trigger job starts or follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Downstream {
    /// One of another project (`trigger:project`).
    Project {
        /// Its path.
        path: String,
        /// Its branch; none: the default branch there.
        branch: Option<String>,
        /// `inputs` of its configuration: an object in JSON; none: there are none.
        inputs: Option<String>,
    },
    /// One of the same project and commit (`trigger:include`).
    Child {
        /// Its configuration: a YAML document whose `include` names the files.
        configuration: String,
        /// Files that `configuration` includes and no commit has.
        artifacts: Vec<ChildArtifact>,
    },
    /// None is started: the job has the status of the newest pipeline on the default
    /// branch of a project (`needs:pipeline`).
    Newest {
        /// The project's path.
        path: String,
    },
}

/// A file of a child pipeline's configuration that an earlier job made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildArtifact {
    /// The path under which the configuration includes it.
    pub included_as: String,
    /// Its path in the archive of artifacts.
    pub path: String,
    /// The name of the job that made it.
    pub job: String,
}

/// A job outside of the pipeline whose artifacts a job gets (`needs:pipeline:job`,
/// `needs:project`). Texts are as they are written, and are expanded when the job starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossNeed {
    /// Where it is.
    pub source: CrossSource,
    /// Its name.
    pub job: String,
    /// The artifacts may be missing.
    pub optional: bool,
}

/// Where a needed job outside of the pipeline is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrossSource {
    /// In the pipeline of this number: of the same project, and started by what
    /// started this one.
    Pipeline(String),
    /// In the last successful pipeline of a branch or tag.
    Project {
        /// The project.
        path: String,
        /// The branch or tag.
        reference: String,
    },
}

/// `trigger:strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The job runs until the pipeline ends, and succeeds or fails with it.
    Depend,
    /// The job has that pipeline's status.
    Mirror,
}
