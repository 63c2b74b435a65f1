//! The way to a coordinator: one channel, the token on every call, and one place
//! where its refusals become words and exit codes.

mod patience;
mod status;

use std::future::Future;
use std::time::Duration;

use fleet_proto::v1::environment_service_client::EnvironmentServiceClient;
use fleet_proto::v1::fleet_service_client::FleetServiceClient;
use fleet_proto::v1::job_service_client::JobServiceClient;
use fleet_proto::v1::pipeline_service_client::PipelineServiceClient;
use fleet_proto::v1::project_service_client::ProjectServiceClient;
use fleet_proto::v1::registry_service_client::RegistryServiceClient;
use fleet_proto::v1::token_service_client::TokenServiceClient;
use fleet_proto::v1::variable_service_client::VariableServiceClient;
use fleet_tls::client::{Trust, channel};
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

pub(crate) use self::patience::Patience;
use crate::context::Target;
use crate::{Exit, Failure};

/// How long an answer may take where nobody said.
const ANSWER: Duration = Duration::from_secs(30);
/// The largest answer: a pipeline with thousands of jobs.
const MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Puts the token on every call.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// What a service's client calls through.
pub(crate) type Authorized = InterceptedService<Channel, Bearer>;

/// A coordinator that can be called.
pub(crate) struct Client {
    channel: Channel,
    bearer: Bearer,
    server: String,
    context: Option<String>,
    /// When the person wants it to be over.
    deadline: Option<Instant>,
}

impl Client {
    /// A client of `target`; nothing is sent yet. Must be called inside a runtime.
    ///
    /// # Errors
    /// The target's token or certificates cannot be used.
    pub(crate) fn new(target: Target, timeout: Option<Duration>) -> Result<Client, Failure> {
        let mut bearer: MetadataValue<Ascii> = format!("Bearer {}", target.token)
            .parse()
            .map_err(|_| Failure::usage("the token has letters that no token has"))?;
        bearer.set_sensitive(true);
        let trust = target.authorities.map_or(Trust::System, Trust::Bundle);
        let channel = channel(&target.server, &trust, None).map_err(|error| {
            Failure::usage(format!(
                "cannot talk to {}: {:#}",
                target.server,
                anyhow::Error::from(error)
            ))
        })?;
        Ok(Client {
            channel,
            bearer: Bearer(bearer),
            server: target.server,
            context: target.context,
            deadline: timeout.map(|timeout| Instant::now() + timeout),
        })
    }

    /// The server's address.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn projects(&self) -> ProjectServiceClient<Authorized> {
        ProjectServiceClient::new(self.authorized()).max_decoding_message_size(MESSAGE_BYTES)
    }

    pub(crate) fn variables(&self) -> VariableServiceClient<Authorized> {
        VariableServiceClient::new(self.authorized()).max_decoding_message_size(MESSAGE_BYTES)
    }

    pub(crate) fn registries(&self) -> RegistryServiceClient<Authorized> {
        RegistryServiceClient::new(self.authorized()).max_decoding_message_size(MESSAGE_BYTES)
    }

    pub(crate) fn pipelines(&self) -> PipelineServiceClient<Authorized> {
        PipelineServiceClient::new(self.authorized()).max_decoding_message_size(MESSAGE_BYTES)
    }

    pub(crate) fn jobs(&self) -> JobServiceClient<Authorized> {
        JobServiceClient::new(self.authorized()).max_decoding_message_size(MESSAGE_BYTES)
    }

    pub(crate) fn environments(&self) -> EnvironmentServiceClient<Authorized> {
        EnvironmentServiceClient::new(self.authorized()).max_decoding_message_size(MESSAGE_BYTES)
    }

    pub(crate) fn fleet(&self) -> FleetServiceClient<Authorized> {
        FleetServiceClient::new(self.authorized()).max_decoding_message_size(MESSAGE_BYTES)
    }

    pub(crate) fn tokens(&self) -> TokenServiceClient<Authorized> {
        TokenServiceClient::new(self.authorized()).max_decoding_message_size(MESSAGE_BYTES)
    }

    fn authorized(&self) -> Authorized {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    /// The answer to one call.
    ///
    /// # Errors
    /// The call was refused, or there was no answer in time.
    pub(crate) async fn call<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        self.attempt(call)
            .await
            .map_err(|unanswered| self.failure(&unanswered))
    }

    /// The answer to one call, for a caller that may try again.
    pub(crate) async fn attempt<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Unanswered> {
        let usual = Instant::now() + ANSWER;
        // Who gave a time gave it to the answer too, also a longer one.
        let until = self.deadline.unwrap_or(usual);
        match tokio::time::timeout_at(until, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Unanswered::Refused(status)),
            Err(_) => Err(Unanswered::Silence),
        }
    }

    /// What to tell people of a call without an answer.
    pub(crate) fn failure(&self, unanswered: &Unanswered) -> Failure {
        match unanswered {
            Unanswered::Refused(status) => {
                status::failure(status, &self.server, self.context.as_deref())
            }
            Unanswered::Silence if self.deadline.is_some() => Failure::new(
                Exit::TimedOut,
                format!("{} did not answer within --timeout", self.server),
            ),
            Unanswered::Silence => Failure::new(
                Exit::Unreachable,
                format!(
                    "{} does not answer. Try: is the address right, and the coordinator running?",
                    self.server
                ),
            ),
        }
    }

    /// How long is waited for a coordinator that has gone away.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.deadline)
    }

    /// Waits so long, but not past --timeout.
    ///
    /// # Errors
    /// The time is over before `what` has happened.
    pub(crate) async fn pause(&self, time: Duration, what: &str) -> Result<(), Failure> {
        let until = Instant::now() + time;
        match self.deadline.filter(|deadline| *deadline < until) {
            None => {
                tokio::time::sleep_until(until).await;
                Ok(())
            }
            Some(deadline) => {
                tokio::time::sleep_until(deadline).await;
                Err(self.timed_out(what))
            }
        }
    }

    /// Waits for what comes by itself, but not past --timeout.
    pub(crate) async fn within<T>(
        &self,
        what: &str,
        future: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        match self.deadline {
            None => Ok(future.await),
            Some(deadline) => tokio::time::timeout_at(deadline, future)
                .await
                .map_err(|_| self.timed_out(what)),
        }
    }

    fn timed_out(&self, what: &str) -> Failure {
        Failure::new(Exit::TimedOut, format!("timed out waiting for {what}"))
    }
}

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The server said so, or the connection broke.
    Refused(Status),
    /// Nobody said anything.
    Silence,
}

impl Unanswered {
    /// Whether the coordinator may just be away: the same call may be answered later.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            Unanswered::Refused(status) => status::is_absence(status),
            Unanswered::Silence => true,
        }
    }
}

impl From<Status> for Unanswered {
    fn from(status: Status) -> Unanswered {
        Unanswered::Refused(status)
    }
}

/// What comes within the person's or the usual time for an answer.
pub(crate) async fn in_time<T>(
    timeout: Option<Duration>,
    future: impl Future<Output = T>,
) -> Option<T> {
    tokio::time::timeout(timeout.unwrap_or(ANSWER), future)
        .await
        .ok()
}
