//! What people ask over gRPC: who may, then what.
//!
//! One table says which role each call takes and what it is about ([`policy`]).
//! The guard ([`mod@caller`]) stands before all services: it refuses callers without a
//! token, calls without a row and roles that can never do; a handler then asks the
//! [`Caller`](caller::Caller) for the very project, group or instance, and answers
//! nobody before what it changed is durable.

pub(crate) mod caller;
mod environment;
pub(crate) mod error;
mod explain;
mod fleet;
mod job;
mod pipeline;
mod policy;
mod project;
mod registry;
mod show;
mod stream;
#[cfg(test)]
mod tests;
mod token;
mod variable;

use std::pin::Pin;
use std::sync::Arc;

use fleet_model::{ProjectId, Timestamp};
use fleet_proto::v1;
use fleet_proto::v1::environment_service_server::EnvironmentServiceServer;
use fleet_proto::v1::fleet_service_server::FleetServiceServer;
use fleet_proto::v1::job_service_server::JobServiceServer;
use fleet_proto::v1::pipeline_service_server::PipelineServiceServer;
use fleet_proto::v1::project_service_server::ProjectServiceServer;
use fleet_proto::v1::registry_service_server::RegistryServiceServer;
use fleet_proto::v1::token_service_server::TokenServiceServer;
use fleet_proto::v1::variable_service_server::VariableServiceServer;
use tonic::Status;
use tonic::service::Routes;

use crate::audit::Audit;
use crate::catalog::{Catalog, Role};
use crate::core::{Core, Handle, HandleError};
use crate::identity::Identity;
use crate::registry::Trust;
use crate::source::Sources;
use crate::store::Journal;

use caller::{Gate, caller};

/// Removes what a deleted project left: repository, pipelines, logs, artifacts.
pub(crate) type Clear =
    Arc<dyn Fn(ProjectId) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The services that work on what people set up; cheap to clone.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) catalog: Catalog,
    pub(crate) journal: Journal,
    pub(crate) audit: Audit,
    /// `https://fleet.example`: what people reach the coordinator by.
    pub(crate) external_url: String,
    /// What registries and engines are told to trust.
    pub(crate) trust: Trust,
    pub(crate) clear: Clear,
}

impl Setup {
    /// Its services, with nobody before them: they work behind [`Setup::guarded`]
    /// alone.
    pub(crate) fn routes(&self) -> Routes {
        Routes::new(ProjectServiceServer::new(self.clone()))
            .add_service(VariableServiceServer::new(self.clone()))
            .add_service(RegistryServiceServer::new(self.clone()))
            .add_service(TokenServiceServer::new(self.clone()))
    }

    /// Puts the guard before all services of `routes`. Who calls is told by the
    /// [`ConnectInfo`](axum::extract::ConnectInfo) of the request, if it is there.
    pub(crate) fn guarded(&self, routes: Routes) -> axum::Router {
        let gate = Gate::new(self.catalog.clone(), self.audit.clone());
        let guard = axum::middleware::from_fn_with_state(gate, caller::guard);
        routes.prepare().into_axum_router().route_layer(guard)
    }

    /// Refuses new things while the store has no room for them.
    fn has_room(&self) -> Result<(), Status> {
        self.journal.accepts_work().map_err(error::of_no_room)
    }
}

/// The services that work on what runs: pipelines, jobs, agents; cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) core: Handle,
    pub(crate) sources: Sources,
    pub(crate) identity: Identity,
    pub(crate) catalog: Catalog,
    pub(crate) journal: Journal,
    pub(crate) audit: Audit,
    /// What agents reach the coordinator by.
    pub(crate) agents_url: String,
    /// Settings that weaken a default, each in a sentence.
    pub(crate) weakenings: Vec<String>,
    pub(crate) started_at: Timestamp,
}

impl Api {
    /// Adds its services to others; they work behind [`Setup::guarded`] alone.
    pub(crate) fn routes(&self, routes: Routes) -> Routes {
        routes
            .add_service(PipelineServiceServer::new(self.clone()))
            .add_service(JobServiceServer::new(self.clone()))
            .add_service(EnvironmentServiceServer::new(self.clone()))
            .add_service(FleetServiceServer::new(self.clone()))
    }

    /// Asks about the state as it is.
    async fn look<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Core) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let answer = self.core.look(question).await;
        answer.ok_or_else(|| error::of_core(HandleError::Gone))
    }
}

/// A role from the wire; none where it says nothing.
///
/// # Errors
/// A role that this version does not know.
fn role_from(wire: i32, field: &str) -> Result<Option<Role>, Status> {
    match v1::Role::try_from(wire) {
        Ok(v1::Role::Unspecified) => Ok(None),
        Ok(v1::Role::Viewer) => Ok(Some(Role::Viewer)),
        Ok(v1::Role::Developer) => Ok(Some(Role::Developer)),
        Ok(v1::Role::Maintainer) => Ok(Some(Role::Maintainer)),
        Ok(v1::Role::Admin) => Ok(Some(Role::Admin)),
        Err(_) => Err(error::invalid(format!(
            "field `{field}` has the unknown value {wire}"
        ))),
    }
}

fn role_to(role: Option<Role>) -> i32 {
    let wire = match role {
        None => v1::Role::Unspecified,
        Some(Role::Viewer) => v1::Role::Viewer,
        Some(Role::Developer) => v1::Role::Developer,
        Some(Role::Maintainer) => v1::Role::Maintainer,
        Some(Role::Admin) => v1::Role::Admin,
    };
    wire.into()
}

/// No text where a message's field is empty.
fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
