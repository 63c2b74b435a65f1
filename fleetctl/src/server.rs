//! Commands that talk to a coordinator, a module for each noun.

mod agent;
mod artifacts;
mod audit;
mod environment;
mod group;
mod job;
mod log;
mod pipeline;
mod project;
mod queue;
mod registry;
mod scope;
mod status;
mod token;
mod variable;
mod watch;

use std::future::Future;

use anyhow::Context as _;

use crate::cli::{Global, Lazy, Noun, Remote};
use crate::client::Client;
use crate::output::Printer;
use crate::{Exit, Failure, context, interrupt};

/// Does what the coordinator is asked.
pub(crate) fn run(command: Noun, global: Global) -> Result<Exit, Failure> {
    match command {
        Noun::Group(Lazy(noun)) => with(global, &noun.remote, async |client, out| {
            group::run(noun.verb, client, out).await
        }),
        Noun::Project(Lazy(noun)) => with(global, &noun.remote, async |client, out| {
            project::run(noun.verb, client, out).await
        }),
        Noun::Variable(Lazy(noun)) => with(global, &noun.remote, async |client, out| {
            variable::variable(noun.verb, &noun.scope, client, out).await
        }),
        Noun::Secret(Lazy(noun)) => with(global, &noun.remote, async |client, out| {
            variable::secret(noun.verb, &noun.scope, client, out).await
        }),
        Noun::Registry(Lazy(noun)) => with(global, &noun.remote, async |client, out| {
            registry::run(noun.verb, &noun.scope, client, out).await
        }),
        Noun::Pipeline(Lazy(noun)) => with(global, &noun.remote, async |client, out| {
            pipeline::run(noun.verb, &noun.project, client, out).await
        }),
        Noun::Job(Lazy(noun)) => with(global, &noun.remote, async |client, out| {
            job::run(noun.verb, &noun.project, client, out).await
        }),
        Noun::Environment(Lazy(noun)) => with(global, &noun.remote, async |client, out| {
            environment::run(noun.verb, &noun.project, client, out).await
        }),
        Noun::Queue(Lazy(noun)) => with(global, &noun.remote, async |client, out| {
            queue::run(&noun, client, out).await
        }),
        Noun::Agent(Lazy(noun)) => with(global, &noun.remote, async |client, out| {
            agent::run(noun.verb, client, out).await
        }),
        Noun::Token(Lazy(noun)) => with(global, &noun.remote, async |client, out| {
            token::run(noun.verb, client, out).await
        }),
        Noun::Status(Lazy(noun)) => with(global, &noun.remote, async |client, out| {
            status::run(noun.watch, client, out).await
        }),
        Noun::Audit(Lazy(noun)) => with(global, &noun.remote, async |client, out| {
            if noun.verify {
                return audit::verify(client, out).await;
            }
            audit::run(noun.limit, client, out).await
        }),
    }
}

/// Does something with the coordinator that the flags, the environment or the current
/// context name.
fn with(
    global: Global,
    remote: &Remote,
    action: impl AsyncFnOnce(&Client, &Printer) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let target = context::target(remote.context.as_deref())?;
    let printer = Printer::new(remote.output, global);
    block_on(async {
        let client = Client::new(target, remote.timeout)?;
        action(&client, &printer).await
    })
}

/// Runs a command that needs the network to its end.
pub(crate) fn block_on(
    command: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    crate::start_tracing();
    interrupt::listen();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(command)
}
