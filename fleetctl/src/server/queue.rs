//! `fleetctl queue`.

use fleet_proto::v1;

use crate::cli::Queue;
use crate::client::Client;
use crate::output::{Cell, Column, Printer, Shown, time};
use crate::{Exit, Failure};

pub(super) async fn run(
    arguments: &Queue,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let request = v1::ListQueueRequest {
        project: arguments.project.clone().unwrap_or_default(),
        limit: arguments.limit.get(),
    };
    out.list_or_watch(client, arguments.watch, async || {
        let answer = client
            .call(client.fleet().list_queue(request.clone()))
            .await?;
        Ok(answer.jobs)
    })
    .await
}

impl Shown for v1::QueuedJob {
    const NOUN: &'static str = "waiting job";
    const COLUMNS: &'static [Column] = &[
        Column::right("PLACE"),
        Column::right("JOB"),
        Column::left("PROJECT"),
        Column::left("NAME"),
        Column::right("PIPELINE").wide(),
        Column::right("AGE"),
        Column::left("STATUS"),
        Column::left("WHY"),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        vec![
            Cell::plain(self.place),
            Cell::plain(self.id),
            Cell::plain(&self.project),
            Cell::plain(&self.name),
            Cell::plain(self.pipeline),
            Cell::plain(time::ago(self.since, now)),
            Cell::state(&self.status),
            Cell::plain(&self.why),
        ]
    }
}
