//! Groups and projects: created, shown, set, deleted; their protected refs.

use fleet_proto::v1;
use fleet_proto::v1::project_service_server::ProjectService;
use tonic::{Request, Response, Status};

use super::{Setup, caller, error, given, role_from, role_to};
use crate::catalog::{Group, NewProject, Project, ProtectedEnvironment, ProtectedRef, Role};

#[tonic::async_trait]
impl ProjectService for Setup {
    async fn create_group(
        &self,
        request: Request<v1::CreateGroupRequest>,
    ) -> Result<Response<v1::Group>, Status> {
        let caller = caller(&request)?;
        let path = request.into_inner().path;
        caller.on_parent_of(&path)?;
        self.has_room()?;
        let object = format!("group:{path}");
        let (group, mark) = caller
            .change("group.create", &object, "", || {
                self.catalog.create_group(&path)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(Response::new(shown_group(group)))
    }

    async fn list_groups(
        &self,
        request: Request<v1::ListGroupsRequest>,
    ) -> Result<Response<v1::ListGroupsResponse>, Status> {
        let caller = caller(&request)?;
        // A group that holds something the caller may see is no secret: it stands
        // in that thing's path.
        let projects = self.catalog.projects();
        let seen: Vec<&str> = projects
            .iter()
            .map(|project| project.path.as_str())
            .filter(|path| caller.sees(path))
            .collect();
        let holds_seen = |group: &str| {
            let inside = |path: &str| {
                path.strip_prefix(group)
                    .is_some_and(|rest| rest.starts_with('/'))
            };
            // By their paths: those of one group lie together.
            let first = seen.partition_point(|path| *path < group);
            seen[first..]
                .iter()
                .take_while(|path| path.starts_with(group))
                .any(|path| inside(path))
        };
        let groups = self
            .catalog
            .groups()
            .into_iter()
            .filter(|group| caller.role_on(&group.path).is_some() || holds_seen(&group.path))
            .map(shown_group)
            .collect();
        Ok(Response::new(v1::ListGroupsResponse { groups }))
    }

    async fn delete_group(
        &self,
        request: Request<v1::DeleteGroupRequest>,
    ) -> Result<Response<v1::DeleteGroupResponse>, Status> {
        let caller = caller(&request)?;
        let group = caller.on_group(&request.into_inner().path)?;
        let object = format!("group:{}", group.path);
        let mark = caller
            .change("group.delete", &object, "", || {
                self.catalog.delete_group(group.id)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(Response::new(v1::DeleteGroupResponse {}))
    }

    async fn create_project(
        &self,
        request: Request<v1::CreateProjectRequest>,
    ) -> Result<Response<v1::Project>, Status> {
        let caller = caller(&request)?;
        let wanted = request.into_inner();
        caller.on_parent_of(&wanted.path)?;
        self.has_room()?;
        let object = format!("project:{}", wanted.path);
        let new = NewProject {
            path: wanted.path,
            mirror: given(wanted.mirror),
            default_branch: given(wanted.default_branch),
        };
        let (project, mark) = caller
            .change("project.create", &object, "", || {
                self.catalog.create_project(new)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(self.shown(project))
    }

    async fn list_projects(
        &self,
        request: Request<v1::ListProjectsRequest>,
    ) -> Result<Response<v1::ListProjectsResponse>, Status> {
        let caller = caller(&request)?;
        let projects = self
            .catalog
            .projects()
            .into_iter()
            .filter(|project| caller.sees(&project.path))
            .map(|project| self.shown(project).into_inner())
            .collect();
        Ok(Response::new(v1::ListProjectsResponse { projects }))
    }

    async fn get_project(
        &self,
        request: Request<v1::GetProjectRequest>,
    ) -> Result<Response<v1::Project>, Status> {
        let project = caller(&request)?.on_project(&request.get_ref().project)?;
        Ok(self.shown(project))
    }

    async fn set_project(
        &self,
        request: Request<v1::SetProjectRequest>,
    ) -> Result<Response<v1::Project>, Status> {
        let caller = caller(&request)?;
        let wanted = request.into_inner();
        let project = caller.on_project(&wanted.project)?;
        let settings = wanted.settings.into_iter().collect();
        let (project, mark) = caller
            .change("project.set", &object(&project), &words(&settings), || {
                self.catalog.set_project(project.id, &settings)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(self.shown(project))
    }

    async fn delete_project(
        &self,
        request: Request<v1::DeleteProjectRequest>,
    ) -> Result<Response<v1::DeleteProjectResponse>, Status> {
        let caller = caller(&request)?;
        let project = caller.on_project(&request.into_inner().project)?;
        let (project, mark) = caller
            .change("project.delete", &object(&project), "", || {
                self.catalog.delete_project(project.id)
            })
            .await?;
        self.journal.durable(mark).await;
        // It goes on when nobody waits for the answer any more.
        let cleared = tokio::spawn((self.clear)(project.id)).await;
        if let Err(error) = cleared {
            tracing::error!(project = %project.path, %error, "what a deleted project left was not removed");
        }
        Ok(Response::new(v1::DeleteProjectResponse {}))
    }

    async fn protect_ref(
        &self,
        request: Request<v1::ProtectRefRequest>,
    ) -> Result<Response<v1::Project>, Status> {
        let caller = caller(&request)?;
        let wanted = request.into_inner();
        let project = caller.on_project(&wanted.project)?;
        let Some(rule) = wanted.protected else {
            return Err(error::invalid("field `protected` is missing"));
        };
        let rule = ProtectedRef {
            push: role_from(rule.push, "push")?,
            deploy: role_from(rule.deploy, "deploy")?,
            pattern: rule.pattern,
        };
        let role = |role: Option<Role>| role.map_or("nobody", Role::as_str);
        let reason = format!(
            "{}: push {}, deploy {}",
            rule.pattern,
            role(rule.push),
            role(rule.deploy)
        );
        let (project, mark) = caller
            .change("ref.protect", &object(&project), &reason, || {
                self.catalog.protect(project.id, rule)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(self.shown(project))
    }

    async fn unprotect_ref(
        &self,
        request: Request<v1::UnprotectRefRequest>,
    ) -> Result<Response<v1::Project>, Status> {
        let caller = caller(&request)?;
        let wanted = request.into_inner();
        let project = caller.on_project(&wanted.project)?;
        let (project, mark) = caller
            .change("ref.unprotect", &object(&project), &wanted.pattern, || {
                self.catalog.unprotect(project.id, &wanted.pattern)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(self.shown(project))
    }

    async fn protect_environment(
        &self,
        request: Request<v1::ProtectEnvironmentRequest>,
    ) -> Result<Response<v1::Project>, Status> {
        let caller = caller(&request)?;
        let wanted = request.into_inner();
        let project = caller.on_project(&wanted.project)?;
        let Some(rule) = wanted.protected else {
            return Err(error::invalid("field `protected` is missing"));
        };
        let rule = ProtectedEnvironment {
            deploy: role_from(rule.deploy, "deploy")?,
            pattern: rule.pattern,
        };
        let role = rule.deploy.map_or("nobody", Role::as_str);
        let reason = format!("{}: deploy {role}", rule.pattern);
        let (project, mark) = caller
            .change("environment.protect", &object(&project), &reason, || {
                self.catalog.protect_environment(project.id, rule)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(self.shown(project))
    }

    async fn unprotect_environment(
        &self,
        request: Request<v1::UnprotectEnvironmentRequest>,
    ) -> Result<Response<v1::Project>, Status> {
        let caller = caller(&request)?;
        let wanted = request.into_inner();
        let project = caller.on_project(&wanted.project)?;
        let pattern = &wanted.pattern;
        let (project, mark) = caller
            .change("environment.unprotect", &object(&project), pattern, || {
                self.catalog.unprotect_environment(project.id, pattern)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(self.shown(project))
    }
}

impl Setup {
    fn shown(&self, project: Project) -> Response<v1::Project> {
        let server = self.external_url.trim_end_matches('/');
        let rule = |rule: ProtectedRef| v1::ProtectedRef {
            pattern: rule.pattern,
            push: role_to(rule.push),
            deploy: role_to(rule.deploy),
        };
        Response::new(v1::Project {
            git_url: format!("{server}/{}.git", project.path),
            id: project.id.0,
            path: project.path,
            default_branch: project.default_branch,
            mirror: project.mirror.unwrap_or_default(),
            protected_refs: project.protected.into_iter().map(rule).collect(),
            settings: project.settings.into_iter().collect(),
            created_at: project.created_at,
            protected_environments: project
                .environments
                .into_iter()
                .map(|rule| v1::ProtectedEnvironment {
                    pattern: rule.pattern,
                    deploy: role_to(rule.deploy),
                })
                .collect(),
        })
    }
}

fn shown_group(group: Group) -> v1::Group {
    v1::Group {
        id: group.id.0,
        path: group.path,
        created_at: group.created_at,
    }
}

fn object(project: &Project) -> String {
    format!("project:{}", project.path)
}

/// Settings as the audit log has them.
fn words(settings: &std::collections::BTreeMap<String, String>) -> String {
    let words: Vec<String> = settings
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    words.join(" ")
}
