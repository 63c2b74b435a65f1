//! The `CI_*` variables, by the phase they become known in.
//!
//! The compiler knows a pipeline's ([`for_pipeline`], [`for_user`]) and a job's
//! ([`for_job`], [`for_environment`]); what only exists once a job is leased
//! (ids, tokens) comes from [`for_lease`]. Names that GitLab has dropped
//! (`CI_BUILD_*`) are kept: old files still use them.
//!
//! Texts that people write (commit messages, their names) are raw here. GitLab
//! expands references in them, so that there a commit message can break a
//! pipeline.

use fleet_model::{EnvironmentAction, JobId, PipelineId, Plan, PlannedJob, ProjectId, Variable};

use super::slug;
use crate::{Context, PipelineSource, RefKind};

/// `CI_SERVER_VERSION`: the GitLab whose language this is.
const VERSION: [&str; 3] = ["18", "5", "0"];
/// `CI_COMMIT_MESSAGE` is cut here.
const MAX_MESSAGE_BYTES: usize = 100_000;
/// From this length on, a title counts as part of the description.
const LONG_TITLE: usize = 100;

/// What is known of a pipeline before its jobs are: server, project, commit and
/// event. Lowest precedence first, the caller's own last.
#[must_use]
pub fn for_pipeline(context: &Context) -> Vec<Variable> {
    let mut list = List::default();
    server(&mut list, &context.server_url);
    project(&mut list, context);
    event(&mut list, context);
    commit(&mut list, context);
    list.0.extend(context.predefined.iter().cloned());
    list.0
}

/// What a pipeline is told of the trigger job that started it.
#[must_use]
pub fn for_downstream(pipeline: PipelineId, project: ProjectId, job: JobId) -> Vec<Variable> {
    let mut list = List::default();
    list.add("CI_UPSTREAM_PIPELINE_ID", pipeline.to_string());
    list.add("CI_UPSTREAM_PROJECT_ID", project.to_string());
    list.add("CI_UPSTREAM_JOB_ID", job.to_string());
    list.0
}

/// Who started the pipeline. These stand over YAML variables.
#[must_use]
pub fn for_user(context: &Context) -> Vec<Variable> {
    let user = &context.user;
    let values = [
        user.id.to_string(),
        user.email.clone(),
        user.login.clone(),
        user.name.clone(),
    ];
    USER.iter()
        .zip(values)
        .map(|(key, value)| Variable::new(*key, value).raw())
        .collect()
}

const USER: [&str; 4] = [
    "GITLAB_USER_ID",
    "GITLAB_USER_EMAIL",
    "GITLAB_USER_LOGIN",
    "GITLAB_USER_NAME",
];

/// What [`for_job`] is told of a job.
#[derive(Clone, Copy, Debug)]
pub struct JobFacts<'a> {
    /// Its name, of a parallel job with index or values.
    pub name: &'a str,
    /// Its stage.
    pub stage: &'a str,
    /// Index, from 1, and total of a parallel job.
    pub node: Option<(u32, u32)>,
    /// It waits for a person or a timer.
    pub manual: bool,
}

/// What is known of a job when it is put into its pipeline.
#[must_use]
pub fn for_job(job: JobFacts<'_>) -> Vec<Variable> {
    let mut list = List::default();
    list.add_both("CI_JOB_NAME", "CI_BUILD_NAME", job.name);
    list.add("CI_JOB_NAME_SLUG", slug::slug(job.name));
    list.add("CI_JOB_GROUP_NAME", slug::group(job.name));
    list.add_both("CI_JOB_STAGE", "CI_BUILD_STAGE", job.stage);
    if job.manual {
        list.add_both("CI_JOB_MANUAL", "CI_BUILD_MANUAL", "true");
    }
    if let Some((index, _)) = job.node {
        list.add("CI_NODE_INDEX", index.to_string());
    }
    list.add(
        "CI_NODE_TOTAL",
        job.node.map_or(1, |(_, total)| total).to_string(),
    );
    list.0
}

/// What is known of a job's environment when its name is.
#[must_use]
pub fn for_environment(name: &str, tier: &str, action: EnvironmentAction) -> Vec<Variable> {
    let action = match action {
        EnvironmentAction::Start => "start",
        EnvironmentAction::Stop => "stop",
        EnvironmentAction::Prepare => "prepare",
        EnvironmentAction::Verify => "verify",
        EnvironmentAction::Access => "access",
    };
    let mut list = List::default();
    list.add("CI_ENVIRONMENT_NAME", name);
    list.add("CI_ENVIRONMENT_TIER", tier);
    list.add("CI_ENVIRONMENT_ACTION", action);
    list.0
}

/// What [`for_lease`] is told of an attempt.
#[derive(Clone, Debug)]
pub struct LeaseFacts<'a> {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The job.
    pub job: JobId,
    /// The job's token, valid while the attempt runs.
    pub token: &'a str,
    /// `https://fleet.example`
    pub server_url: &'a str,
    /// `group/project`
    pub project_path: &'a str,
    /// Where the agent fetches the source from, without credentials; none:
    /// `<server>/<project>.git`.
    pub repository_url: Option<&'a str>,
    /// When the attempt starts: ISO 8601, UTC.
    pub started_at: &'a str,
    /// Its clock, in seconds.
    pub timeout_seconds: u64,
    /// The agent that gets it.
    pub agent_name: &'a str,
    /// What that agent offers.
    pub agent_tags: &'a [String],
}

/// What is known only when a job is leased. Lowest precedence of all: it goes
/// before the job's other variables, see [`for_attempt`].
#[must_use]
pub fn for_lease(facts: &LeaseFacts<'_>) -> Vec<Variable> {
    let server = facts.server_url.trim_end_matches('/');
    let project_url = format!("{server}/{}", facts.project_path);
    let job = facts.job.to_string();
    let source = match facts.repository_url {
        Some(url) => with_credentials(url, facts.token),
        None => with_credentials(&format!("{project_url}.git"), facts.token),
    };
    let mut list = List::default();
    list.add("CI_SERVER", "yes");
    list.add("CI_PIPELINE_ID", facts.pipeline.to_string());
    list.add(
        "CI_PIPELINE_URL",
        format!("{project_url}/-/pipelines/{}", facts.pipeline),
    );
    list.add_both("CI_JOB_ID", "CI_BUILD_ID", &job);
    list.add("CI_JOB_URL", format!("{project_url}/-/jobs/{job}"));
    list.add("CI_JOB_STARTED_AT", facts.started_at);
    list.add("CI_JOB_TIMEOUT", facts.timeout_seconds.to_string());
    for key in ["CI_JOB_TOKEN", "CI_BUILD_TOKEN", "CI_REGISTRY_PASSWORD"] {
        list.0.push(Variable::new(key, facts.token).raw().masked());
    }
    list.add("CI_REGISTRY_USER", "gitlab-ci-token");
    for key in ["CI_REPOSITORY_URL", "CI_BUILD_REPO"] {
        // Not masked as a whole: the token in it is.
        list.0.push(Variable {
            public: false,
            ..Variable::new(key, source.as_str()).raw()
        });
    }
    list.add("CI_RUNNER_DESCRIPTION", facts.agent_name);
    list.add("CI_RUNNER_TAGS", format!("{:?}", facts.agent_tags));
    list.0
}

/// All variables of an attempt, lowest precedence first: those of its lease,
/// those the plan gave the job, what earlier jobs reported with dotenv, the
/// settings of its project and pipeline, and what stands over all.
#[must_use]
pub fn for_attempt(
    facts: &LeaseFacts<'_>,
    plan: &Plan,
    job: &PlannedJob,
    dotenv: Vec<Variable>,
    settings: Vec<Variable>,
) -> Vec<Variable> {
    let mut all = for_lease(facts);
    all.extend_from_slice(&plan.predefined);
    all.extend_from_slice(&job.variables);
    all.extend(dotenv);
    all.extend_from_slice(&plan.user);
    all.extend(settings);
    all.extend_from_slice(&job.overriding);
    all
}

#[derive(Default)]
struct List(Vec<Variable>);

impl List {
    fn add(&mut self, key: &str, value: impl Into<String>) {
        self.0.push(Variable::new(key, value));
    }

    /// Text that is taken as it is.
    fn add_raw(&mut self, key: &str, value: impl Into<String>) {
        self.0.push(Variable::new(key, value).raw());
    }

    /// Under its name and the one it had before.
    fn add_both(&mut self, key: &str, legacy: &str, value: &str) {
        self.add(key, value);
        self.add(legacy, value);
    }
}

fn server(list: &mut List, url: &str) {
    let url = url.trim_end_matches('/');
    let Server {
        protocol,
        host,
        port,
    } = Server::parse(url);
    let standard = port == standard_port(protocol);
    let fqdn = if standard {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    };
    list.add("CI", "true");
    list.add("GITLAB_CI", "true");
    list.add("GITLAB_FEATURES", "");
    list.add("CI_API_V4_URL", format!("{url}/api/v4"));
    list.add("CI_API_GRAPHQL_URL", format!("{url}/api/graphql"));
    list.add("CI_SERVER_URL", url);
    list.add("CI_SERVER_HOST", host);
    list.add("CI_SERVER_PORT", port);
    list.add("CI_SERVER_PROTOCOL", protocol);
    list.add("CI_SERVER_FQDN", fqdn);
    list.add("CI_SERVER_SHELL_SSH_HOST", host);
    list.add("CI_SERVER_SHELL_SSH_PORT", "22");
    list.add("CI_SERVER_NAME", "GitLab");
    list.add("CI_SERVER_VERSION", format!("{}-fleet", VERSION.join(".")));
    list.add("CI_SERVER_VERSION_MAJOR", VERSION[0]);
    list.add("CI_SERVER_VERSION_MINOR", VERSION[1]);
    list.add("CI_SERVER_VERSION_PATCH", VERSION[2]);
    list.add("CI_SERVER_REVISION", "fleet");
}

struct Server<'a> {
    protocol: &'a str,
    host: &'a str,
    port: &'a str,
}

impl Server<'_> {
    fn parse(url: &str) -> Server<'_> {
        let (protocol, rest) = url.split_once("://").unwrap_or(("https", url));
        let authority = rest.split('/').next().unwrap_or(rest);
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address are inside its brackets.
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (authority, standard_port(protocol)),
        };
        Server {
            protocol,
            host,
            port,
        }
    }
}

fn standard_port(protocol: &str) -> &'static str {
    if protocol == "http" { "80" } else { "443" }
}

fn with_credentials(url: &str, token: &str) -> String {
    match url.split_once("://") {
        Some((protocol, rest)) => format!("{protocol}://gitlab-ci-token:{token}@{rest}"),
        None => url.to_owned(),
    }
}

fn project(list: &mut List, context: &Context) {
    let project = &context.project;
    let server_url = context.server_url.trim_end_matches('/');
    let (namespace, name) = project.path.rsplit_once('/').unwrap_or(("", &project.path));
    list.add("CI_PROJECT_ID", project.id.to_string());
    list.add("CI_PROJECT_NAME", name);
    list.add_raw("CI_PROJECT_TITLE", project.title.as_str());
    list.add("CI_PROJECT_PATH", project.path.as_str());
    list.add("CI_PROJECT_PATH_SLUG", slug::slug(&project.path));
    list.add("CI_PROJECT_NAMESPACE", namespace);
    list.add("CI_PROJECT_NAMESPACE_SLUG", slug::slug(namespace));
    list.add(
        "CI_PROJECT_ROOT_NAMESPACE",
        namespace.split('/').next().unwrap_or_default(),
    );
    list.add("CI_PROJECT_URL", format!("{server_url}/{}", project.path));
    list.add("CI_PROJECT_VISIBILITY", project.visibility.as_str());
    list.add("CI_DEFAULT_BRANCH", project.default_branch.as_str());
    list.add(
        "CI_DEFAULT_BRANCH_SLUG",
        slug::slug(&project.default_branch),
    );
    list.add("CI_CONFIG_PATH", project.config_path.as_str());
}

fn event(list: &mut List, context: &Context) {
    list.add("CI_PIPELINE_IID", context.iid.to_string());
    list.add("CI_PIPELINE_SOURCE", context.source.as_str());
    list.add("CI_PIPELINE_CREATED_AT", context.created_at.as_str());
    if context.source == PipelineSource::Trigger {
        list.add_both("CI_PIPELINE_TRIGGERED", "CI_BUILD_TRIGGERED", "true");
    }
}

fn commit(list: &mut List, context: &Context) {
    let commit = &context.commit;
    let reference = &context.reference;
    list.add_both("CI_COMMIT_SHA", "CI_BUILD_REF", &commit.sha);
    list.add(
        "CI_COMMIT_SHORT_SHA",
        commit.sha.chars().take(8).collect::<String>(),
    );
    list.add_both(
        "CI_COMMIT_BEFORE_SHA",
        "CI_BUILD_BEFORE_SHA",
        &context.before_sha,
    );
    list.add_both("CI_COMMIT_REF_NAME", "CI_BUILD_REF_NAME", &reference.name);
    list.add_both(
        "CI_COMMIT_REF_SLUG",
        "CI_BUILD_REF_SLUG",
        &slug::slug(&reference.name),
    );
    list.add("CI_COMMIT_REF_PROTECTED", reference.protected.to_string());
    match reference.kind {
        RefKind::Branch => list.add("CI_COMMIT_BRANCH", reference.name.as_str()),
        RefKind::Tag => list.add_both("CI_COMMIT_TAG", "CI_BUILD_TAG", &reference.name),
        RefKind::MergeRequest => {}
    }
    let prefix = match reference.kind {
        RefKind::Tag => "refs/tags",
        RefKind::Branch | RefKind::MergeRequest => "refs/heads",
    };
    list.add(
        "CI_CONFIG_REF_URI",
        format!(
            "{}/{}//{}@{prefix}/{}",
            Server::parse(&context.server_url).host,
            context.project.path,
            context.project.config_path,
            reference.name
        ),
    );
    list.add_raw("CI_COMMIT_AUTHOR", commit.author.as_str());
    list.add("CI_COMMIT_TIMESTAMP", commit.timestamp.as_str());
    let message = cut(&commit.message, MAX_MESSAGE_BYTES);
    let title = message.split(['\r', '\n']).next().unwrap_or_default();
    let description = if title.chars().count() < LONG_TITLE {
        let rest = message.split_once('\n').map_or("", |(_, rest)| rest);
        rest.strip_suffix('\n').unwrap_or(rest)
    } else {
        message
    };
    list.add_raw("CI_COMMIT_MESSAGE", message);
    list.add(
        "CI_COMMIT_MESSAGE_IS_TRUNCATED",
        (message != commit.message).to_string(),
    );
    list.add_raw("CI_COMMIT_TITLE", title);
    list.add_raw("CI_COMMIT_DESCRIPTION", description);
}

/// The longest beginning of at most so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}
