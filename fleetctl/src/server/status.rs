//! `fleetctl status`.

use fleet_proto::v1;

use super::artifacts::size;
use crate::client::Client;
use crate::output::{Fact, Json, Printer, fact, time};
use crate::{Exit, Failure};

pub(super) async fn run(watch: bool, client: &Client, out: &Printer) -> Result<Exit, Failure> {
    let render = async || {
        let request = v1::GetStatusRequest {};
        let status = client.call(client.fleet().get_status(request)).await?;
        let facts = facts(&status, client.server(), time::now());
        let all = status.json();
        let text = out.rendered_item(&all, &facts);
        Ok((all, text))
    };
    if watch {
        return out.watch(client, render).await;
    }
    out.print(&render().await?.1)
}

fn facts(status: &v1::Status, server: &str, now: u64) -> Vec<Fact> {
    let up = match time::ago(status.started_at, now).as_str() {
        "" => String::new(),
        ago => format!(", up {ago}"),
    };
    let problems = if status.problems.is_empty() {
        "none".to_owned()
    } else {
        status.problems.join("\n")
    };
    vec![
        fact(
            "coordinator",
            format!("{server}, version {}{up}", status.version),
        ),
        fact(
            "agents",
            format!("{} of {} online", status.agents_online, status.agents_total),
        ),
        fact(
            "slots",
            format!("{} of {} busy", status.slots_busy, status.slots_total),
        ),
        fact(
            "jobs",
            format!(
                "{} running, {} waiting",
                status.jobs_running, status.jobs_waiting
            ),
        ),
        fact("store", size(status.store_bytes)),
        fact("problems", problems),
        fact("weakened by", status.weakenings.join("\n")),
    ]
}
