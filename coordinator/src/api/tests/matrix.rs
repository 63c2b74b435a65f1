//! Every call of `control.proto`, for callers of every role and scope: one table.
//!
//! Each row is tried with a stand-in for its service, which only asks the caller,
//! and with the real service.

use axum::routing::any;
use prost::Message as _;
use tonic::Code;
use tower::ServiceExt as _;

use super::super::caller::Caller;
use super::super::policy;
use super::works::{self, Works};
use super::*;
use crate::catalog::{Logins, NewLogin, NewVariable, Owner, ProtectedEnvironment};

/// What a handler asks about.
#[derive(Clone, Copy, Debug)]
enum On {
    /// The project `group/app`.
    Project,
    /// The group `group`.
    Group,
    /// Something to be made in `group`.
    InGroup,
    /// Something to be made at the top.
    AtTop,
    /// The variables or tokens of `group/app`.
    Scope,
    /// Those of the instance.
    WholeScope,
    Instance,
    /// It shows what the caller may see.
    Nothing,
}

/// What becomes of the callers whose token is of `group`, of `other/app` and of the
/// whole instance: each a letter for viewer, developer, maintainer and admin. `y`:
/// may; `d`: `PERMISSION_DENIED`; `n`: `NOT_FOUND`. Without a token nobody may.
struct Row {
    call: &'static str,
    on: On,
    letters: [&'static str; 3],
    /// What the real service is sent; none: what [`message`] makes for the caller.
    message: Option<fn() -> Vec<u8>>,
}

const fn row(
    call: &'static str,
    on: On,
    letters: [&'static str; 3],
    message: Option<fn() -> Vec<u8>>,
) -> Row {
    Row {
        call,
        on,
        letters,
        message,
    }
}

const ALL: [&str; 3] = ["yyyy", "yyyy", "yyyy"];
const READ: [&str; 3] = ["yyyy", "nnnn", "yyyy"];
const WORK: [&str; 3] = ["dyyy", "dnnn", "dyyy"];
const MAINTAIN: [&str; 3] = ["ddyy", "ddnn", "ddyy"];
const OWN: [&str; 3] = ["dddy", "dddn", "dddy"];
const AT_TOP: [&str; 3] = ["dddd", "dddd", "ddyy"];
const INSTANCE: [&str; 3] = ["dddd", "dddd", "dddy"];

#[rustfmt::skip]
const TABLE: &[Row] = &[
    row("ProjectService/CreateGroup", On::InGroup, MAINTAIN, Some(|| v1::CreateGroupRequest { path: "group/made".into() }.encode_to_vec())),
    row("ProjectService/CreateGroup", On::AtTop, AT_TOP, Some(|| v1::CreateGroupRequest { path: "made".into() }.encode_to_vec())),
    row("ProjectService/ListGroups", On::Nothing, ALL, Some(|| v1::ListGroupsRequest {}.encode_to_vec())),
    // Empty it is not: whoever may is told so.
    row("ProjectService/DeleteGroup", On::Group, OWN, Some(|| v1::DeleteGroupRequest { path: "group".into() }.encode_to_vec())),
    row("ProjectService/CreateProject", On::InGroup, MAINTAIN, Some(|| v1::CreateProjectRequest { path: "group/made".into(), ..Default::default() }.encode_to_vec())),
    row("ProjectService/CreateProject", On::AtTop, AT_TOP, Some(|| v1::CreateProjectRequest { path: "made".into(), ..Default::default() }.encode_to_vec())),
    row("ProjectService/ListProjects", On::Nothing, ALL, Some(|| v1::ListProjectsRequest {}.encode_to_vec())),
    row("ProjectService/GetProject", On::Project, READ, Some(|| v1::GetProjectRequest { project: "group/app".into() }.encode_to_vec())),
    row("ProjectService/SetProject", On::Project, MAINTAIN, Some(|| v1::SetProjectRequest { project: "group/app".into(), ..Default::default() }.encode_to_vec())),
    row("ProjectService/DeleteProject", On::Project, OWN, Some(|| v1::DeleteProjectRequest { project: "group/app".into() }.encode_to_vec())),
    row("ProjectService/ProtectRef", On::Project, MAINTAIN, Some(|| v1::ProtectRefRequest { project: "group/app".into(), protected: Some(v1::ProtectedRef { pattern: "v*".into(), ..Default::default() }) }.encode_to_vec())),
    row("ProjectService/UnprotectRef", On::Project, MAINTAIN, Some(|| v1::UnprotectRefRequest { project: "group/app".into(), pattern: "main".into() }.encode_to_vec())),
    row("ProjectService/ProtectEnvironment", On::Project, MAINTAIN, Some(|| v1::ProtectEnvironmentRequest { project: "group/app".into(), protected: Some(v1::ProtectedEnvironment { pattern: "p*".into(), ..Default::default() }) }.encode_to_vec())),
    row("ProjectService/UnprotectEnvironment", On::Project, MAINTAIN, Some(|| v1::UnprotectEnvironmentRequest { project: "group/app".into(), pattern: "staging".into() }.encode_to_vec())),

    row("VariableService/SetVariable", On::Scope, MAINTAIN, Some(|| v1::SetVariableRequest { scope: Some(of_project()), variable: Some(variable()) }.encode_to_vec())),
    row("VariableService/SetVariable", On::Group, MAINTAIN, Some(|| v1::SetVariableRequest { scope: Some(of_group()), variable: Some(variable()) }.encode_to_vec())),
    row("VariableService/SetVariable", On::WholeScope, INSTANCE, Some(|| v1::SetVariableRequest { scope: None, variable: Some(variable()) }.encode_to_vec())),
    row("VariableService/ListVariables", On::Scope, MAINTAIN, Some(|| v1::ListVariablesRequest { scope: Some(of_project()), hidden: false }.encode_to_vec())),
    row("VariableService/ListVariables", On::Group, MAINTAIN, Some(|| v1::ListVariablesRequest { scope: Some(of_group()), hidden: true }.encode_to_vec())),
    row("VariableService/ListVariables", On::WholeScope, INSTANCE, Some(|| v1::ListVariablesRequest { scope: None, hidden: false }.encode_to_vec())),
    row("VariableService/DeleteVariable", On::Scope, MAINTAIN, Some(|| v1::DeleteVariableRequest { scope: Some(of_project()), key: "THERE".into(), environment: String::new() }.encode_to_vec())),
    row("VariableService/DeleteVariable", On::WholeScope, INSTANCE, Some(|| v1::DeleteVariableRequest { scope: None, key: "THERE".into(), environment: String::new() }.encode_to_vec())),

    row("RegistryService/AddRegistries", On::Scope, MAINTAIN, Some(|| v1::AddRegistriesRequest { scope: Some(of_project()), ..Default::default() }.encode_to_vec())),
    row("RegistryService/AddRegistries", On::WholeScope, INSTANCE, Some(|| v1::AddRegistriesRequest::default().encode_to_vec())),
    row("RegistryService/ListRegistries", On::Scope, MAINTAIN, Some(|| v1::ListRegistriesRequest { scope: Some(of_project()) }.encode_to_vec())),
    row("RegistryService/ListRegistries", On::Group, MAINTAIN, Some(|| v1::ListRegistriesRequest { scope: Some(of_group()) }.encode_to_vec())),
    row("RegistryService/RemoveRegistry", On::Scope, MAINTAIN, Some(|| v1::RemoveRegistryRequest { scope: Some(of_project()), registry: "there.example".into() }.encode_to_vec())),
    row("RegistryService/GetTrust", On::Nothing, ALL, Some(|| v1::GetTrustRequest {}.encode_to_vec())),

    row("PipelineService/CreatePipeline", On::Project, WORK, Some(|| v1::CreatePipelineRequest { project: "group/app".into(), reference: works::BRANCH.into(), ..Default::default() }.encode_to_vec())),
    row("PipelineService/ListPipelines", On::Nothing, ALL, Some(|| v1::ListPipelinesRequest::default().encode_to_vec())),
    row("PipelineService/GetPipeline", On::Project, READ, Some(|| v1::GetPipelineRequest { id: works::PIPELINE, ..Default::default() }.encode_to_vec())),
    row("PipelineService/WatchPipeline", On::Project, READ, Some(|| v1::WatchPipelineRequest { id: works::PIPELINE }.encode_to_vec())),
    row("PipelineService/CancelPipeline", On::Project, WORK, Some(|| v1::CancelPipelineRequest { id: works::PIPELINE }.encode_to_vec())),
    row("PipelineService/RetryPipeline", On::Project, WORK, Some(|| v1::RetryPipelineRequest { id: works::PIPELINE }.encode_to_vec())),

    row("JobService/ListJobs", On::Nothing, ALL, Some(|| v1::ListJobsRequest::default().encode_to_vec())),
    row("JobService/GetJob", On::Project, READ, Some(|| v1::GetJobRequest { id: works::RUNNING }.encode_to_vec())),
    row("JobService/ReadLog", On::Project, READ, Some(|| v1::ReadLogRequest { job: works::RUNNING, ..Default::default() }.encode_to_vec())),
    row("JobService/ExplainJob", On::Project, READ, Some(|| v1::ExplainJobRequest { id: works::MANUAL }.encode_to_vec())),
    row("JobService/CancelJob", On::Project, WORK, Some(|| v1::CancelJobRequest { id: works::RUNNING, ..Default::default() }.encode_to_vec())),
    row("JobService/RetryJob", On::Project, WORK, Some(|| v1::RetryJobRequest { id: works::RUNNING }.encode_to_vec())),
    row("JobService/PlayJob", On::Project, WORK, Some(|| v1::PlayJobRequest { id: works::MANUAL }.encode_to_vec())),
    row("JobService/ReadArtifact", On::Project, READ, Some(|| v1::ReadArtifactRequest { job: works::RUNNING, ..Default::default() }.encode_to_vec())),

    row("EnvironmentService/ListEnvironments", On::Project, READ, Some(|| v1::ListEnvironmentsRequest { project: "group/app".into() }.encode_to_vec())),
    row("EnvironmentService/GetEnvironment", On::Project, READ, Some(|| v1::GetEnvironmentRequest { project: "group/app".into(), name: works::ENVIRONMENT.into() }.encode_to_vec())),
    row("EnvironmentService/StopEnvironment", On::Project, WORK, Some(|| v1::StopEnvironmentRequest { project: "group/app".into(), name: works::ENVIRONMENT.into() }.encode_to_vec())),

    row("FleetService/ListQueue", On::Nothing, ALL, Some(|| v1::ListQueueRequest::default().encode_to_vec())),
    row("FleetService/ListAgents", On::Nothing, ALL, Some(|| v1::ListAgentsRequest {}.encode_to_vec())),
    row("FleetService/GetAgent", On::Nothing, ALL, Some(|| v1::GetAgentRequest { name: works::AGENT.into() }.encode_to_vec())),
    row("FleetService/CreateJoinToken", On::Instance, INSTANCE, Some(|| v1::CreateJoinTokenRequest::default().encode_to_vec())),
    row("FleetService/DrainAgent", On::Instance, INSTANCE, Some(|| v1::DrainAgentRequest { name: works::AGENT.into() }.encode_to_vec())),
    row("FleetService/ResumeAgent", On::Instance, INSTANCE, Some(|| v1::ResumeAgentRequest { name: works::AGENT.into() }.encode_to_vec())),
    row("FleetService/ConfirmDead", On::Instance, INSTANCE, Some(|| v1::ConfirmDeadRequest { name: works::AGENT.into() }.encode_to_vec())),
    row("FleetService/RevokeAgent", On::Instance, INSTANCE, Some(|| v1::RevokeAgentRequest { name: works::AGENT.into() }.encode_to_vec())),
    row("FleetService/GetStatus", On::Nothing, ALL, Some(|| v1::GetStatusRequest {}.encode_to_vec())),
    row("FleetService/ListAudit", On::Instance, INSTANCE, Some(|| v1::ListAuditRequest::default().encode_to_vec())),
    row("FleetService/VerifyAudit", On::Instance, INSTANCE, Some(|| v1::VerifyAuditRequest {}.encode_to_vec())),

    row("TokenService/CreateToken", On::Scope, MAINTAIN, Some(|| token("group/app").encode_to_vec())),
    row("TokenService/CreateToken", On::WholeScope, INSTANCE, Some(|| token("").encode_to_vec())),
    row("TokenService/ListTokens", On::Nothing, ALL, Some(|| v1::ListTokensRequest {}.encode_to_vec())),
    // Its own; which else is a matter of its own.
    row("TokenService/RevokeToken", On::Nothing, ALL, None),
    row("TokenService/WhoAmI", On::Nothing, ALL, Some(|| v1::WhoAmIRequest {}.encode_to_vec())),
];

fn of_project() -> v1::Scope {
    v1::Scope {
        project: "group/app".into(),
        group: String::new(),
    }
}

fn of_group() -> v1::Scope {
    v1::Scope {
        project: String::new(),
        group: "group".into(),
    }
}

fn variable() -> v1::ProjectVariable {
    v1::ProjectVariable {
        key: "THERE".into(),
        ..Default::default()
    }
}

fn token(scope: &str) -> v1::CreateTokenRequest {
    v1::CreateTokenRequest {
        user: "somebody-new".into(),
        role: v1::Role::Viewer.into(),
        scope: scope.into(),
        ..Default::default()
    }
}

/// The stand-in: asks what a handler would.
fn stand_in(on: On) -> Routes {
    let handler = move |request: axum::extract::Request| async move {
        let caller: Caller = request.extensions().get().cloned().unwrap();
        let asked = match on {
            On::Project => caller.on_project("group/app").map(drop),
            On::Group => caller.on_group("group").map(drop),
            On::InGroup => caller.on_parent_of("group/made"),
            On::AtTop => caller.on_parent_of("made"),
            On::Scope => caller.on_path("group/app").map(drop),
            On::WholeScope => caller.on_path("").map(drop),
            On::Instance => caller.on_instance(),
            On::Nothing => Ok(()),
        };
        let status = asked.err().unwrap_or_else(|| Status::ok(""));
        status.into_http::<Body>()
    };
    Routes::from(axum::Router::new().route("/{service}/{call}", any(handler)))
}

/// All callers with a token: its scope by its place in [`Row::letters`].
fn callers() -> impl Iterator<Item = (usize, Option<&'static str>, usize, Role)> {
    let scopes = [Some("group"), Some("other/app"), None];
    scopes.into_iter().enumerate().flat_map(|(group, scope)| {
        let roles = Role::ALL.into_iter().enumerate();
        roles.map(move |(place, role)| (group, scope, place, role))
    })
}

fn expected(row: &Row, group: usize, place: usize) -> Option<Code> {
    match row.letters[group].as_bytes()[place] {
        b'y' => None,
        b'd' => Some(Code::PermissionDenied),
        b'n' => Some(Code::NotFound),
        other => panic!("no letter: {other}"),
    }
}

/// All calls of `control.proto`, as on the wire.
fn calls() -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(fleet_proto::DESCRIPTORS).unwrap();
    let control = files
        .file
        .into_iter()
        .find(|file| file.name() == "fleet/v1/control.proto")
        .unwrap();
    let package = control.package().to_owned();
    control
        .service
        .iter()
        .flat_map(|service| {
            let path = format!("/{package}.{}", service.name());
            let methods = service.method.iter();
            methods.map(move |method| format!("{path}/{}", method.name()))
        })
        .collect()
}

#[test]
fn every_call_has_one_row_and_every_row_its_call() {
    let calls = calls();
    assert!(calls.len() > 30, "the descriptors lack services");
    let rows: Vec<&str> = policy::TABLE.iter().map(|row| row.method).collect();
    assert_eq!(rows, calls, "the rows and calls, in order");
    for call in &calls {
        let tried = |row: &&Row| call.ends_with(&format!(".{}", row.call));
        assert!(TABLE.iter().any(|row| tried(&row)), "{call} is not tried");
    }
}

#[tokio::test]
async fn every_call_is_open_to_whom_the_table_says() {
    let world = World::new();
    for row in TABLE {
        let method = format!("/fleet.v1.{}", row.call);
        let router = world.setup.guarded(stand_in(row.on));
        let try_with = async |secret: Option<&str>| {
            let request = call(&method, secret, &[]);
            answer(&router.clone().oneshot(request).await.unwrap())
        };
        let anonymous = try_with(None).await;
        assert_eq!(anonymous.code(), Code::Unauthenticated, "{method}");
        for (group, scope, place, role) in callers() {
            let secret = world.token(role, scope);
            let status = try_with(Some(&secret)).await;
            let expected = expected(row, group, place).unwrap_or(Code::Ok);
            let who = format!("{method} on {:?} by {role} of {scope:?}", row.on);
            assert_eq!(status.code(), expected, "{who}: {}", status.message());
        }
    }
}

/// What the real service is sent by a caller with this token.
fn message(row: &Row, world: &World, secret: &str) -> Vec<u8> {
    if let Some(message) = row.message {
        return message();
    }
    assert_eq!(
        row.call, "TokenService/RevokeToken",
        "a row lacks its message"
    );
    let own = world.setup.catalog.authenticate(secret).unwrap().token;
    v1::RevokeTokenRequest { id: own }.encode_to_vec()
}

#[tokio::test]
async fn the_real_services_are_open_to_whom_the_table_says() {
    for row in TABLE {
        let method = format!("/fleet.v1.{}", row.call);
        for (group, scope, place, role) in callers() {
            let world = World::new();
            let project = world.setup.catalog.project("group/app").unwrap().id;
            for owner in [Owner::Instance, Owner::Project(project)] {
                let variable = NewVariable {
                    key: "THERE".into(),
                    ..Default::default()
                };
                world.setup.catalog.set_variable(owner, variable).unwrap();
            }
            let rule = ProtectedEnvironment {
                pattern: "staging".into(),
                deploy: Some(Role::Maintainer),
            };
            let catalog = &world.setup.catalog;
            catalog.protect_environment(project, rule).unwrap();
            let login = NewLogin {
                registry: "there.example".into(),
                username: "robot".into(),
                password: "word".into(),
                protected: false,
            };
            let logins = Logins::check(vec![login]).unwrap();
            let owner = Owner::Project(project);
            world
                .setup
                .catalog
                .add_registry_logins(owner, logins)
                .unwrap();
            if row.call == "PipelineService/CreatePipeline" {
                works::repository(&world);
            }
            let works = Works::begin(&world).await;
            let secret = world.token(role, scope);
            let routes = works.api.routes(world.setup.routes());
            let router = world.setup.guarded(routes);
            let request = call(&method, Some(&secret), &message(row, &world, &secret));
            let status = answer(&router.oneshot(request).await.unwrap());
            let who = format!("{method} on {:?} by {role} of {scope:?}", row.on);
            let text = status.message();
            let audit = world.audit();
            match expected(row, group, place) {
                Some(code) => {
                    assert_eq!(status.code(), code, "{who}: {text}");
                    assert!(audit.contains("\"denied\""), "{who}: {audit}");
                }
                None => {
                    // Whoever may is told why it cannot be.
                    let answers = [Code::Ok, Code::FailedPrecondition, Code::InvalidArgument];
                    assert!(answers.contains(&status.code()), "{who}: {status:?}");
                    assert!(!audit.contains("\"denied\""), "{who}: {audit}");
                }
            }
        }
    }
}
