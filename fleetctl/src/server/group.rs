//! `fleetctl group`.

use fleet_proto::v1;
use serde_json::json;

use crate::cli::GroupVerb;
use crate::client::Client;
use crate::output::{Cell, Column, Json, Printer, Shown, time};
use crate::{Exit, Failure};

pub(super) async fn run(verb: GroupVerb, client: &Client, out: &Printer) -> Result<Exit, Failure> {
    match verb {
        GroupVerb::Create { path } => {
            let request = v1::CreateGroupRequest { path };
            let group = client.call(client.projects().create_group(request)).await?;
            out.done(&group.json(), &group.path, &format!("group {}", group.path))?;
            out.hint(&format!(
                "Next: fleetctl project create {}/NAME",
                group.path
            ));
            Ok(Exit::Done)
        }
        GroupVerb::List => {
            let request = v1::ListGroupsRequest {};
            let answer = client.call(client.projects().list_groups(request)).await?;
            out.list(&answer.groups)
        }
        GroupVerb::Delete { path } => {
            let request = v1::DeleteGroupRequest { path: path.clone() };
            client.call(client.projects().delete_group(request)).await?;
            out.done(
                &json!({ "path": path }),
                &path,
                &format!("group {path} is deleted"),
            )
        }
    }
}

impl Shown for v1::Group {
    const NOUN: &'static str = "group";
    const COLUMNS: &'static [Column] = &[
        Column::right("ID").wide(),
        Column::left("PATH"),
        Column::right("AGE"),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        vec![
            Cell::plain(self.id),
            Cell::plain(&self.path),
            Cell::plain(time::ago(self.created_at, now)),
        ]
    }
}
