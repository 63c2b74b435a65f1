//! Logins for registries: added, listed, removed; what to trust for the
//! coordinator's own tokens.

use fleet_proto::v1;
use fleet_proto::v1::registry_service_server::RegistryService;
use tonic::{Request, Response, Status};

use super::{Setup, caller, error};
use crate::catalog::{Logins, NewLogin, ShownLogin, registry_key};
use crate::registry::{ISSUER, SERVICE};

#[tonic::async_trait]
impl RegistryService for Setup {
    async fn add_registries(
        &self,
        request: Request<v1::AddRegistriesRequest>,
    ) -> Result<Response<v1::AddRegistriesResponse>, Status> {
        let caller = caller(&request)?;
        let wanted = request.into_inner();
        let place = caller.on_scope(wanted.scope)?;
        self.has_room()?;
        let new = wanted.registries.into_iter().map(|login| NewLogin {
            registry: login.registry,
            username: login.username,
            password: login.password,
            protected: login.protected,
        });
        let new = Logins::check(new.collect()).map_err(error::of_catalog)?;
        let reason = new.registries().join(", ");
        let (shown, mark) = caller
            .change("registry.add", &place.object(), &reason, || {
                self.catalog.add_registry_logins(place.owner, new)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(Response::new(v1::AddRegistriesResponse {
            registries: shown.into_iter().map(to_wire).collect(),
        }))
    }

    async fn list_registries(
        &self,
        request: Request<v1::ListRegistriesRequest>,
    ) -> Result<Response<v1::ListRegistriesResponse>, Status> {
        let caller = caller(&request)?;
        let place = caller.on_scope(request.into_inner().scope)?;
        let logins = self.catalog.list_registry_logins(place.owner);
        Ok(Response::new(v1::ListRegistriesResponse {
            registries: logins.into_iter().map(to_wire).collect(),
        }))
    }

    async fn remove_registry(
        &self,
        request: Request<v1::RemoveRegistryRequest>,
    ) -> Result<Response<v1::RemoveRegistryResponse>, Status> {
        let caller = caller(&request)?;
        let wanted = request.into_inner();
        let place = caller.on_scope(wanted.scope)?;
        let registry = registry_key(&wanted.registry).map_err(error::of_catalog)?;
        let mark = caller
            .change("registry.remove", &place.object(), &registry, || {
                self.catalog.remove_registry_login(place.owner, &registry)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(Response::new(v1::RemoveRegistryResponse {}))
    }

    async fn get_trust(
        &self,
        request: Request<v1::GetTrustRequest>,
    ) -> Result<Response<v1::Trust>, Status> {
        caller(&request)?;
        let trust = self.trust.clone();
        Ok(Response::new(v1::Trust {
            registry: trust.host.unwrap_or_default(),
            realm: trust.realm,
            service: SERVICE.to_owned(),
            issuer: ISSUER.to_owned(),
            certificate: trust.certificate,
            authority: trust.authority,
        }))
    }
}

fn to_wire(shown: ShownLogin) -> v1::Registry {
    v1::Registry {
        registry: shown.registry,
        username: shown.username,
        protected: shown.protected,
        updated_at: shown.updated_at,
    }
}
