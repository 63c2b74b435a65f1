//! What runs that were killed have left: a run that ends has nothing left.

use std::path::Path;
use std::time::Duration;

use fleet_agent::Docker;
use tokio::time::timeout;

use super::docker::Endpoint;
use super::workspace::ended_agents;
use crate::project::Project;

/// How long that may hold up the run that begins.
const WITHIN: Duration = Duration::from_secs(30);

/// Removes what jobs of earlier runs of the project left that were killed: processes,
/// containers, files of variables and logins. What cannot be removed is told, and tried
/// again by the next run.
pub(super) fn remove(project: &Project) {
    let agents = ended_agents(project);
    if agents.is_empty() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(async {
            for agent in agents {
                remove_of(&agent).await;
            }
        }),
        Err(error) => tracing::debug!(%error, "no runtime to clean up with"),
    }
}

async fn remove_of(agent: &Path) {
    // An engine that is not there has no containers that run.
    let docker = Endpoint::of_user().check().ok().map(Docker::of_socket);
    let removed = timeout(WITHIN, fleet_agent::remove_left(agent, docker.as_ref())).await;
    let run = agent.parent().and_then(Path::file_name).unwrap_or_default();
    let run = run.to_string_lossy();
    match removed {
        Ok(Ok(0)) => {}
        Ok(Ok(_)) => eprintln!("note: run {run} was killed; what its jobs had left is removed"),
        Ok(Err(words)) => {
            eprintln!("note: run {run} was killed, and something of its jobs is left: {words}");
        }
        Err(_) => eprintln!("note: run {run} was killed, and something of its jobs is left"),
    }
}
