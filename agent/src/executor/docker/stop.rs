//! Stopping what runs in a container.

use std::time::Duration;

use bollard::Docker;
use bollard::exec::StartExecOptions;
use bollard::models::ExecConfig;
use bollard::query_parameters::{KillContainerOptionsBuilder, StopContainerOptions};
use tokio::time::timeout;

/// How long asking may take.
const ASKED_WITHIN: Duration = Duration::from_secs(10);
/// Asks every process but the first one and itself to end: the first one is the
/// shell that waits for them, and ends when they have. No image need have more than
/// a shell for it.
const TERMINATE: &str = "for at in /proc/[0-9]*; do at=${at#/proc/}; \
     [ \"$at\" = 1 ] || [ \"$at\" = $$ ] || kill -TERM \"$at\" 2>/dev/null; done";

/// Who asks the processes of a container to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A script in the container, each of them.
    Each,
    /// The engine, the first one, with the image's own signal and patience
    /// (`FF_USE_NATIVE_CONTAINER_STOP`).
    Native,
}

/// Asks what runs in the container to end. Where that fails, it is killed when its
/// time is over.
pub(super) async fn ask(engine: &Docker, id: &str, way: Way) {
    match way {
        Way::Each => {
            let _killed_later = timeout(ASKED_WITHIN, terminate(engine, id)).await;
        }
        Way::Native => {
            let options = None::<StopContainerOptions>;
            let _killed_later = engine.stop_container(id, options).await;
        }
    }
}

async fn terminate(engine: &Docker, id: &str) -> Result<(), bollard::errors::Error> {
    let config = ExecConfig {
        cmd: Some(["sh", "-c", TERMINATE].map(str::to_owned).to_vec()),
        user: Some("0".to_owned()),
        ..ExecConfig::default()
    };
    let made = engine.create_exec(id, config).await?;
    let detached = StartExecOptions {
        detach: true,
        ..StartExecOptions::default()
    };
    engine.start_exec(&made.id, Some(detached)).await?;
    Ok(())
}

/// Kills what runs in the container.
pub(super) async fn kill(engine: &Docker, id: &str) {
    let options = KillContainerOptionsBuilder::new().signal("KILL").build();
    let _gone_already = engine.kill_container(id, Some(options)).await;
}
