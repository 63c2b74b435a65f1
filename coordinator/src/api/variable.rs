//! Variables and secrets: set, listed, deleted.

use fleet_proto::v1;
use fleet_proto::v1::variable_service_server::VariableService;
use tonic::{Request, Response, Status};

use super::{Setup, caller, error};
use crate::catalog::{NewVariable, Role, Shown};

#[tonic::async_trait]
impl VariableService for Setup {
    async fn set_variable(
        &self,
        request: Request<v1::SetVariableRequest>,
    ) -> Result<Response<v1::ProjectVariable>, Status> {
        let caller = caller(&request)?;
        let wanted = request.into_inner();
        let place = caller.on_scope(wanted.scope)?;
        let Some(variable) = wanted.variable else {
            return Err(error::invalid("field `variable` is missing"));
        };
        self.has_room()?;
        let reason = named(&variable.key, &variable.environment);
        let new = NewVariable {
            key: variable.key,
            value: variable.value,
            environment: variable.environment,
            masked: variable.masked,
            protected: variable.protected,
            raw: variable.raw,
            file: variable.file,
            hidden: variable.hidden,
        };
        let (shown, mark) = caller
            .change("variable.set", &place.object(), &reason, || {
                self.catalog.set_variable(place.owner, new)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(Response::new(to_wire(shown)))
    }

    async fn list_variables(
        &self,
        request: Request<v1::ListVariablesRequest>,
    ) -> Result<Response<v1::ListVariablesResponse>, Status> {
        let caller = caller(&request)?;
        let wanted = request.into_inner();
        let place = caller.on_scope(wanted.scope)?;
        if !wanted.hidden && caller.principal().role == Role::Admin {
            // An admin reads what is not theirs: that is not done in secret.
            caller
                .record("variable.read", &place.object(), "values, as an admin")
                .await?;
        }
        let variables = self
            .catalog
            .list_variables(place.owner, wanted.hidden)
            .map_err(|error| error::of_unreadable(&error))?;
        Ok(Response::new(v1::ListVariablesResponse {
            variables: variables.into_iter().map(to_wire).collect(),
        }))
    }

    async fn delete_variable(
        &self,
        request: Request<v1::DeleteVariableRequest>,
    ) -> Result<Response<v1::DeleteVariableResponse>, Status> {
        let caller = caller(&request)?;
        let wanted = request.into_inner();
        let place = caller.on_scope(wanted.scope)?;
        let reason = named(&wanted.key, &wanted.environment);
        let mark = caller
            .change("variable.delete", &place.object(), &reason, || {
                self.catalog
                    .delete_variable(place.owner, &wanted.key, &wanted.environment)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(Response::new(v1::DeleteVariableResponse {}))
    }
}

/// A variable as the audit log names it.
fn named(key: &str, environment: &str) -> String {
    match environment {
        "" | "*" => key.to_owned(),
        environment => format!("{key} ({environment})"),
    }
}

fn to_wire(shown: Shown) -> v1::ProjectVariable {
    v1::ProjectVariable {
        hidden: shown.value.is_none(),
        value: shown.value.unwrap_or_default(),
        key: shown.key,
        masked: shown.masked,
        protected: shown.protected,
        raw: shown.raw,
        file: shown.file,
        environment: shown.environment,
        updated_at: shown.updated_at,
    }
}
