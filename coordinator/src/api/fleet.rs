//! The fleet as a whole: agents, the queue, how everything is, who did what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleet_model::{AgentName, ProjectId};
use fleet_proto::v1::fleet_service_server::FleetService;
use fleet_proto::{refusal, v1};
use fleet_queue::{AgentStatus, Input};
use tonic::{Request, Response, Status};

use super::pipeline::limit;
use super::{Api, caller, error, explain, show};
use crate::catalog::Role;
use crate::core::AgentInfo;
use crate::identity::{Member, Wish};

#[tonic::async_trait]
impl FleetService for Api {
    async fn list_queue(
        &self,
        request: Request<v1::ListQueueRequest>,
    ) -> Result<Response<v1::ListQueueResponse>, Status> {
        let caller = caller(&request)?;
        let mut wanted = request.into_inner();
        if !wanted.project.is_empty() {
            // As it is spelled: people may write it in another case.
            wanted.project = caller.on_project(&wanted.project)?.path;
        }
        let limit = limit(wanted.limit);
        let jobs = self
            .look(move |core| {
                (1..)
                    .zip(core.waiting())
                    .filter_map(|(place, id)| {
                        let info = core.job(id)?;
                        let asked =
                            wanted.project.is_empty() || info.project_path == wanted.project;
                        if !asked || !caller.sees(&info.project_path) {
                            return None;
                        }
                        let name = |job| Some(core.job(job)?.view.name);
                        let why = explain::explain(core.explain(id)?, name).why;
                        Some(v1::QueuedJob {
                            id: id.0,
                            pipeline: info.view.pipeline.0,
                            project: info.project_path,
                            name: info.view.name,
                            status: info.view.state.to_string(),
                            since: info.view.since.0,
                            place,
                            why,
                        })
                    })
                    .take(limit)
                    .collect()
            })
            .await?;
        Ok(Response::new(v1::ListQueueResponse { jobs }))
    }

    async fn list_agents(
        &self,
        request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        caller(&request)?;
        let mut infos = self.agents_by_name().await?;
        let agents = self
            .identity
            .members()
            .into_iter()
            .map(|member| {
                let info = infos.remove(&member.name);
                show::agent(member, info, &self.catalog)
            })
            .collect();
        Ok(Response::new(v1::ListAgentsResponse { agents }))
    }

    async fn get_agent(
        &self,
        request: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::Agent>, Status> {
        caller(&request)?;
        self.shown_agent(&request.into_inner().name).await
    }

    async fn create_join_token(
        &self,
        request: Request<v1::CreateJoinTokenRequest>,
    ) -> Result<Response<v1::CreateJoinTokenResponse>, Status> {
        let caller = caller(&request)?;
        caller.on_instance()?;
        let wanted = request.into_inner();
        let projects: BTreeSet<ProjectId> = wanted
            .projects
            .iter()
            .map(|path| Ok(caller.on_project(path)?.id))
            .collect::<Result<_, Status>>()?;
        let wish = Wish {
            tags: wanted.tags,
            name: Some(wanted.name).filter(|name| !name.is_empty()),
            run_untagged: !wanted.no_untagged,
            protected_only: wanted.protected_only,
            projects: Some(projects).filter(|projects| !projects.is_empty()),
            ttl: Some(Duration::from_millis(wanted.ttl_ms)).filter(|ttl| !ttl.is_zero()),
        };
        let (token, mark) = self
            .identity
            .create_join_token(wish, &caller.principal().user)
            .map_err(|refused| error::of_identity(&refused))?;
        self.journal.durable(mark).await;
        let object = format!("join-token:{}", token.id);
        caller.record("agent.join-token", &object, "").await?;
        Ok(Response::new(v1::CreateJoinTokenResponse {
            token: token.secret,
            ca_pin: self.identity.ca_pin(),
            server: self.agents_url.clone(),
            expires_at: token.expires_at.0,
        }))
    }

    async fn drain_agent(
        &self,
        request: Request<v1::DrainAgentRequest>,
    ) -> Result<Response<v1::Agent>, Status> {
        let agent = AgentName(request.get_ref().name.clone());
        let input = Input::DrainAgent {
            agent: agent.clone(),
        };
        self.change_agent(request, agent, "agent.drain", input)
            .await
    }

    async fn resume_agent(
        &self,
        request: Request<v1::ResumeAgentRequest>,
    ) -> Result<Response<v1::Agent>, Status> {
        let agent = AgentName(request.get_ref().name.clone());
        let input = Input::ResumeAgent {
            agent: agent.clone(),
        };
        self.change_agent(request, agent, "agent.resume", input)
            .await
    }

    async fn confirm_dead(
        &self,
        request: Request<v1::ConfirmDeadRequest>,
    ) -> Result<Response<v1::Agent>, Status> {
        let agent = AgentName(request.get_ref().name.clone());
        let input = Input::ConfirmDead {
            agent: agent.clone(),
        };
        self.change_agent(request, agent, "agent.confirm-dead", input)
            .await
    }

    async fn revoke_agent(
        &self,
        request: Request<v1::RevokeAgentRequest>,
    ) -> Result<Response<v1::RevokeAgentResponse>, Status> {
        let caller = caller(&request)?;
        caller.on_instance()?;
        let name = request.into_inner().name;
        let exposed_variables = self.exposed(&name).await?;
        // Before anything is undone, so that it can be found out later.
        let object = format!("agent:{name}");
        caller.record("agent.revoke", &object, "").await?;
        let mark = self
            .identity
            .revoke(&name)
            .map_err(|refused| error::of_identity(&refused))?;
        self.journal.durable(mark).await;
        let why = error::unauthenticated(
            refusal::AGENT_REVOKED,
            format!(
                "agent {name} was revoked: to use this host again, join it anew (fleet-agent join)"
            ),
        );
        match self.core.revoke(AgentName(name.clone()), why).await {
            // It never connected: nothing of it is in the queue.
            Ok(())
            | Err(crate::core::HandleError::Rejected(fleet_queue::Rejected::UnknownAgent(_))) => {}
            Err(refused) => return Err(error::of_core(refused)),
        }
        let agent = self.shown_agent(&name).await?.into_inner();
        Ok(Response::new(v1::RevokeAgentResponse {
            agent: Some(agent),
            exposed_variables,
        }))
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::Status>, Status> {
        let caller = caller(&request)?;
        // Where it is weak is for those who can mend it.
        let mends = caller.principal().role >= Role::Maintainer;
        let weakenings = self.weakenings.iter().filter(|_| mends).cloned();
        let infos = self.agents_by_name().await?;
        let totals = self.look(|core| core.totals()).await?;
        let online: Vec<_> = infos
            .values()
            .filter(|info| info.view.status == AgentStatus::Online)
            .collect();
        let members = self.identity.members();
        let in_fleet = members.iter().filter(|member| member.excluded.is_none());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut problems: Vec<String> = self
            .journal
            .accepts_work()
            .err()
            .map(|full| full.to_string())
            .into_iter()
            .collect();
        for info in infos.values() {
            if info.view.status == AgentStatus::Lost && !info.view.leases.is_empty() {
                problems.push(format!(
                    "agent {} is lost with {} running: fleetctl agent show {}",
                    info.view.name,
                    info.view.leases.len(),
                    info.view.name
                ));
            }
        }
        Ok(Response::new(v1::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at.0,
            agents_online: number(online.len()),
            agents_total: number(in_fleet.count()),
            slots_total: online.iter().map(|info| info.view.slots).sum(),
            slots_busy: online
                .iter()
                .map(|info| number(info.view.leases.len()))
                .sum(),
            jobs_running: number(totals.running),
            jobs_waiting: number(totals.waiting),
            problems,
            weakenings: weakenings.collect(),
            store_bytes: self.journal.sizes().store_bytes,
        }))
    }

    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        let caller = caller(&request)?;
        caller.on_instance()?;
        let entries = self
            .audit
            .tail(limit(request.into_inner().limit))
            .map_err(|error| {
                tracing::error!(%error, "the audit log cannot be read");
                Status::internal("the audit log cannot be read")
            })?;
        Ok(Response::new(v1::ListAuditResponse { entries }))
    }

    async fn verify_audit(
        &self,
        request: Request<v1::VerifyAuditRequest>,
    ) -> Result<Response<v1::VerifyAuditResponse>, Status> {
        caller(&request)?.on_instance()?;
        let audit = self.audit.clone();
        let checked = tokio::task::spawn_blocking(move || audit.verify());
        let checked = checked.await.map_err(std::io::Error::other);
        let checked = checked.and_then(|checked| checked).map_err(|error| {
            tracing::error!(%error, "the audit log cannot be read");
            Status::internal("the audit log cannot be read")
        })?;
        if let Some(broken) = &checked.broken {
            tracing::error!(broken, "the audit log is not as it was written");
        }
        Ok(Response::new(v1::VerifyAuditResponse {
            entries: checked.entries,
            head: checked.head,
            broken: checked.broken.unwrap_or_default(),
        }))
    }
}

impl Api {
    async fn change_agent<T>(
        &self,
        request: Request<T>,
        agent: AgentName,
        action: &'static str,
        input: Input,
    ) -> Result<Response<v1::Agent>, Status> {
        let caller = caller(&request)?;
        caller.on_instance()?;
        self.member(&agent.0)?;
        caller.record(action, &format!("agent:{agent}"), "").await?;
        self.core.change(input).await.map_err(error::of_core)?;
        self.shown_agent(&agent.0).await
    }

    fn member(&self, name: &str) -> Result<Member, Status> {
        self.identity
            .member(name)
            .ok_or_else(|| Status::not_found(format!("there is no agent {name:?}")))
    }

    async fn shown_agent(&self, name: &str) -> Result<Response<v1::Agent>, Status> {
        let member = self.member(name)?;
        let info = self.agents_by_name().await?.remove(name);
        Ok(Response::new(show::agent(member, info, &self.catalog)))
    }

    async fn agents_by_name(&self) -> Result<BTreeMap<String, AgentInfo>, Status> {
        let infos = self.look(|core| core.agents_info()).await?;
        Ok(infos
            .into_iter()
            .map(|info| (info.view.name.0.clone(), info))
            .collect())
    }

    /// The secrets that jobs have that run on an agent now: of which project, and
    /// their names.
    async fn exposed(&self, agent: &str) -> Result<Vec<String>, Status> {
        let agent = agent.to_owned();
        let jobs = self
            .look(move |core| {
                let of_agent = core.agents_info().into_iter();
                let of_agent = of_agent.filter(|info| info.view.name.0 == agent);
                of_agent
                    .flat_map(|info| info.jobs)
                    .filter_map(|job| core.secrets_of(job))
                    .collect::<Vec<_>>()
            })
            .await?;
        let mut all: Vec<String> = jobs.into_iter().flatten().collect();
        all.sort();
        all.dedup();
        Ok(all)
    }
}
