//! `fleetctl project`.

use fleet_proto::v1;
use serde_json::json;

use super::scope::{self, REMOTE};
use crate::cli::{NewProject, ProjectVerb, Protect, Role};
use crate::client::Client;
use crate::output::{Cell, Column, Fact, Json, Printer, Shown, fact, role_in_words, time};
use crate::view::clean;
use crate::{Exit, Failure};

pub(super) async fn run(
    verb: ProjectVerb,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    match verb {
        ProjectVerb::Create(arguments) => create(arguments, client, out).await,
        ProjectVerb::List => {
            let request = v1::ListProjectsRequest {};
            let answer = client
                .call(client.projects().list_projects(request))
                .await?;
            out.list(&answer.projects)
        }
        ProjectVerb::Show { project } => {
            let project = scope::named_or_here(project.path.as_deref())?;
            let request = v1::GetProjectRequest { project };
            let project = client.call(client.projects().get_project(request)).await?;
            show(&project, out)
        }
        ProjectVerb::Set { settings, project } => {
            let request = v1::SetProjectRequest {
                project: scope::project(&project)?,
                settings: settings
                    .into_iter()
                    .map(|pair| (pair.key, pair.value))
                    .collect(),
            };
            let project = client.call(client.projects().set_project(request)).await?;
            show(&project, out)
        }
        ProjectVerb::Delete { path, yes } => {
            let shown = clean(&path);
            out.confirm(
                &format!(
                    "Delete {shown} with its repository, variables, pipelines, logs and artifacts?"
                ),
                yes,
            )?;
            let request = v1::DeleteProjectRequest {
                project: path.clone(),
            };
            client
                .call(client.projects().delete_project(request))
                .await?;
            out.done(
                &json!({ "path": path }),
                &path,
                &format!("project {path} is deleted"),
            )
        }
        ProjectVerb::Protect(arguments) => protect(arguments, client, out).await,
        ProjectVerb::ProtectEnvironment(arguments) => {
            let deploy = arguments.deploy.map_or(v1::Role::Unspecified, wire);
            let request = v1::ProtectEnvironmentRequest {
                project: scope::project(&arguments.project)?,
                protected: Some(v1::ProtectedEnvironment {
                    pattern: arguments.pattern,
                    deploy: deploy.into(),
                }),
            };
            let project = client
                .call(client.projects().protect_environment(request))
                .await?;
            show(&project, out)
        }
        ProjectVerb::UnprotectEnvironment { pattern, project } => {
            let request = v1::UnprotectEnvironmentRequest {
                project: scope::project(&project)?,
                pattern,
            };
            let project = client
                .call(client.projects().unprotect_environment(request))
                .await?;
            show(&project, out)
        }
        ProjectVerb::Unprotect { pattern, project } => {
            let request = v1::UnprotectRefRequest {
                project: scope::project(&project)?,
                pattern,
            };
            let project = client
                .call(client.projects().unprotect_ref(request))
                .await?;
            show(&project, out)
        }
    }
}

async fn create(arguments: NewProject, client: &Client, out: &Printer) -> Result<Exit, Failure> {
    let request = v1::CreateProjectRequest {
        path: arguments.path,
        mirror: arguments.mirror.unwrap_or_default(),
        default_branch: arguments.default_branch.unwrap_or_default(),
    };
    let project = client
        .call(client.projects().create_project(request))
        .await?;
    if !project.mirror.is_empty() {
        return out.done(
            &project.json(),
            &project.path,
            &format!("project {} mirrors {}", project.path, project.mirror),
        );
    }
    out.done(
        &project.json(),
        &project.path,
        &format!("git remote add {REMOTE} {}", project.git_url),
    )?;
    out.hint(&format!(
        "project {} is made. Next: in its clone the line above, then git push {REMOTE} {}",
        clean(&project.path),
        clean(&project.default_branch)
    ));
    if !project
        .git_url
        .strip_prefix(client.server())
        .is_some_and(|path| path.starts_with('/'))
    {
        out.hint(&format!(
            "note: git was told the token and the certificate authority of {} alone",
            client.server()
        ));
    }
    Ok(Exit::Done)
}

async fn protect(arguments: Protect, client: &Client, out: &Printer) -> Result<Exit, Failure> {
    let role = |role: Option<Role>| role.map_or(v1::Role::Unspecified, wire).into();
    let request = v1::ProtectRefRequest {
        project: scope::project(&arguments.project)?,
        protected: Some(v1::ProtectedRef {
            pattern: arguments.pattern,
            push: role(arguments.push),
            deploy: role(arguments.deploy),
        }),
    };
    let project = client.call(client.projects().protect_ref(request)).await?;
    show(&project, out)
}

/// A role on the wire.
pub(super) fn wire(role: Role) -> v1::Role {
    match role {
        Role::Viewer => v1::Role::Viewer,
        Role::Developer => v1::Role::Developer,
        Role::Maintainer => v1::Role::Maintainer,
        Role::Admin => v1::Role::Admin,
    }
}

fn show(project: &v1::Project, out: &Printer) -> Result<Exit, Failure> {
    out.item(&project.json(), &facts(project))
}

fn facts(project: &v1::Project) -> Vec<Fact> {
    let mut settings: Vec<String> = project
        .settings
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    settings.sort();
    let protected: Vec<String> = project
        .protected_refs
        .iter()
        .map(|one| {
            format!(
                "{}  push: {}, deploy: {}",
                one.pattern,
                role_in_words(one.push),
                role_in_words(one.deploy)
            )
        })
        .collect();
    let environments: Vec<String> = project
        .protected_environments
        .iter()
        .map(|one| format!("{}  deploy: {}", one.pattern, role_in_words(one.deploy)))
        .collect();
    vec![
        fact("path", &project.path),
        fact("id", project.id.to_string()),
        fact("default branch", &project.default_branch),
        fact("git", &project.git_url),
        fact("mirror of", &project.mirror),
        fact("protected", protected.join("\n")),
        fact("environments", environments.join("\n")),
        fact("settings", settings.join("\n")),
        fact("created", time::moment(project.created_at)),
    ]
}

impl Shown for v1::Project {
    const NOUN: &'static str = "project";
    const COLUMNS: &'static [Column] = &[
        Column::right("ID").wide(),
        Column::left("PATH"),
        Column::left("BRANCH"),
        Column::left("MIRROR OF"),
        Column::left("GIT").wide(),
        Column::right("AGE"),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        vec![
            Cell::plain(self.id),
            Cell::plain(&self.path),
            Cell::plain(&self.default_branch),
            Cell::plain(&self.mirror),
            Cell::plain(&self.git_url),
            Cell::plain(time::ago(self.created_at, now)),
        ]
    }
}
