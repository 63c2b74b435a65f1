//! Answers that go on, and those who may not have them any more; the state of the
//! fleet.

use std::time::Duration;

use fleet_proto::v1::fleet_service_client::FleetServiceClient;
use fleet_proto::v1::job_service_client::JobServiceClient;
use fleet_proto::v1::pipeline_service_client::PipelineServiceClient;
use tonic::Code;

use super::works::{self, Works};
use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// The last thing a stream says.
async fn end<T>(mut stream: tonic::Streaming<T>) -> Status {
    let read = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("it ends")
}

/// A viewer of `group/app` watches its pipeline and follows a log; then `change`.
async fn reading(change: impl FnOnce(&World, u64)) -> [Status; 2] {
    let world = World::new();
    let works = Works::begin(&world).await;
    let channel = world.serve_all(&works).await;
    let secret = world.token(Role::Viewer, Some("group"));
    let id = world.setup.catalog.authenticate(&secret).unwrap().token;
    let watch = v1::WatchPipelineRequest {
        id: works::PIPELINE,
    };
    let watch = PipelineServiceClient::new(channel.clone())
        .watch_pipeline(by(&secret, watch))
        .await
        .unwrap();
    let follow = v1::ReadLogRequest {
        job: works::RUNNING,
        follow: true,
        ..Default::default()
    };
    let follow = JobServiceClient::new(channel)
        .read_log(by(&secret, follow))
        .await
        .unwrap();
    change(&world, id.parse().unwrap());
    [
        end(watch.into_inner()).await,
        end(follow.into_inner()).await,
    ]
}

#[tokio::test]
async fn what_a_token_reads_ends_when_it_is_revoked() {
    let ends = reading(|world, token| {
        world.setup.catalog.revoke_token(token).unwrap();
    });
    for end in ends.await {
        assert_eq!(
            (end.code(), word(&end)),
            (Code::Unauthenticated, "bad_token")
        );
    }
}

#[tokio::test]
async fn what_somebody_reads_ends_when_the_project_is_gone() {
    let ends = reading(|world, _| {
        let project = world.setup.catalog.project("group/app").unwrap();
        world.setup.catalog.delete_project(project.id).unwrap();
    });
    for end in ends.await {
        assert_eq!(end.code(), Code::NotFound, "{end}");
    }
}

#[tokio::test]
async fn weakened_settings_are_shown_to_those_alone_who_can_mend_them() {
    let world = World::new();
    let works = Works::begin(&world).await;
    let channel = world.serve_all(&works).await;
    let mut fleet = FleetServiceClient::new(channel);
    for (role, scope, shown) in [
        (Role::Viewer, None, 0),
        (Role::Developer, None, 0),
        (Role::Maintainer, Some("group"), 1),
        (Role::Maintainer, None, 1),
        (Role::Admin, None, 1),
    ] {
        let secret = world.token(role, scope);
        let status = fleet.get_status(by(&secret, v1::GetStatusRequest {}));
        let weakenings = status.await.unwrap().into_inner().weakenings;
        assert_eq!(weakenings.len(), shown, "{role} of {scope:?}");
    }
}
