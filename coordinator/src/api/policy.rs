//! Who may call what: one table of all calls. What has no row nobody may call.

use crate::catalog::Role;

/// What a call is about; the role is needed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// The caller's own: itself, or its token.
    Own,
    /// Whatever of it the caller may see.
    Visible,
    /// A project: that of the request, or of the pipeline or job it names.
    Project,
    /// A group: that of the request, or the one something is to be made in. At the
    /// top that is the instance.
    Group,
    /// A project or a group, or, for admins alone, the instance.
    Scope,
    /// The instance: takes a token of the whole instance.
    Instance,
}

impl Object {
    /// Whether a handler must name the object before it does anything.
    pub(super) fn is_named(self) -> bool {
        !matches!(self, Object::Own | Object::Visible)
    }
}

/// What one call takes.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its path on the wire.
    pub(crate) method: &'static str,
    /// The lowest role that may.
    pub(crate) role: Role,
    pub(crate) object: Object,
}

impl Row {
    /// `ProjectService/CreateGroup`.
    pub(super) fn name(&self) -> &'static str {
        self.method
            .strip_prefix("/fleet.v1.")
            .unwrap_or(self.method)
    }
}

/// The row of a call; none: nobody may.
pub(super) fn row(method: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.method == method)
}

const fn call(method: &'static str, role: Role, object: Object) -> Row {
    Row {
        method,
        role,
        object,
    }
}

use Object::{Group, Instance, Own, Project, Scope, Visible};
use Role::{Admin, Developer, Maintainer, Viewer};

/// All calls of people's services, in the order of their definition.
#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    call("/fleet.v1.ProjectService/CreateGroup", Maintainer, Group),
    call("/fleet.v1.ProjectService/ListGroups", Viewer, Visible),
    call("/fleet.v1.ProjectService/DeleteGroup", Admin, Group),
    call("/fleet.v1.ProjectService/CreateProject", Maintainer, Group),
    call("/fleet.v1.ProjectService/ListProjects", Viewer, Visible),
    call("/fleet.v1.ProjectService/GetProject", Viewer, Project),
    call("/fleet.v1.ProjectService/SetProject", Maintainer, Project),
    call("/fleet.v1.ProjectService/DeleteProject", Admin, Project),
    call("/fleet.v1.ProjectService/ProtectRef", Maintainer, Project),
    call("/fleet.v1.ProjectService/UnprotectRef", Maintainer, Project),
    call("/fleet.v1.ProjectService/ProtectEnvironment", Maintainer, Project),
    call("/fleet.v1.ProjectService/UnprotectEnvironment", Maintainer, Project),

    call("/fleet.v1.VariableService/SetVariable", Maintainer, Scope),
    call("/fleet.v1.VariableService/ListVariables", Maintainer, Scope),
    call("/fleet.v1.VariableService/DeleteVariable", Maintainer, Scope),

    call("/fleet.v1.RegistryService/AddRegistries", Maintainer, Scope),
    call("/fleet.v1.RegistryService/ListRegistries", Maintainer, Scope),
    call("/fleet.v1.RegistryService/RemoveRegistry", Maintainer, Scope),
    call("/fleet.v1.RegistryService/GetTrust", Viewer, Visible),

    call("/fleet.v1.PipelineService/CreatePipeline", Developer, Project),
    call("/fleet.v1.PipelineService/ListPipelines", Viewer, Visible),
    call("/fleet.v1.PipelineService/GetPipeline", Viewer, Project),
    call("/fleet.v1.PipelineService/WatchPipeline", Viewer, Project),
    call("/fleet.v1.PipelineService/CancelPipeline", Developer, Project),
    call("/fleet.v1.PipelineService/RetryPipeline", Developer, Project),

    call("/fleet.v1.JobService/ListJobs", Viewer, Visible),
    call("/fleet.v1.JobService/GetJob", Viewer, Project),
    call("/fleet.v1.JobService/ReadLog", Viewer, Project),
    call("/fleet.v1.JobService/ExplainJob", Viewer, Project),
    call("/fleet.v1.JobService/CancelJob", Developer, Project),
    call("/fleet.v1.JobService/RetryJob", Developer, Project),
    call("/fleet.v1.JobService/PlayJob", Developer, Project),
    call("/fleet.v1.JobService/ReadArtifact", Viewer, Project),

    call("/fleet.v1.EnvironmentService/ListEnvironments", Viewer, Project),
    call("/fleet.v1.EnvironmentService/GetEnvironment", Viewer, Project),
    call("/fleet.v1.EnvironmentService/StopEnvironment", Developer, Project),

    call("/fleet.v1.FleetService/ListQueue", Viewer, Visible),
    call("/fleet.v1.FleetService/ListAgents", Viewer, Visible),
    call("/fleet.v1.FleetService/GetAgent", Viewer, Visible),
    call("/fleet.v1.FleetService/CreateJoinToken", Admin, Instance),
    call("/fleet.v1.FleetService/DrainAgent", Admin, Instance),
    call("/fleet.v1.FleetService/ResumeAgent", Admin, Instance),
    call("/fleet.v1.FleetService/ConfirmDead", Admin, Instance),
    call("/fleet.v1.FleetService/RevokeAgent", Admin, Instance),
    call("/fleet.v1.FleetService/GetStatus", Viewer, Visible),
    call("/fleet.v1.FleetService/ListAudit", Admin, Instance),
    call("/fleet.v1.FleetService/VerifyAudit", Admin, Instance),

    call("/fleet.v1.TokenService/CreateToken", Maintainer, Scope),
    call("/fleet.v1.TokenService/ListTokens", Viewer, Visible),
    call("/fleet.v1.TokenService/RevokeToken", Viewer, Own),
    call("/fleet.v1.TokenService/WhoAmI", Viewer, Own),
];
