//! `fleetctl audit`.

use std::num::NonZeroU32;

use fleet_proto::v1;
use serde_json::json;

use crate::client::Client;
use crate::output::{Cell, Column, Printer, Shown, fact, time};
use crate::{Exit, Failure};

pub(super) async fn run(
    limit: NonZeroU32,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let request = v1::ListAuditRequest { limit: limit.get() };
    let mut entries = client
        .call(client.fleet().list_audit(request))
        .await?
        .entries;
    // As in a log: what was last stands where the eye is.
    entries.sort_by_key(|entry| entry.sequence);
    out.list(&entries)
}

pub(super) async fn verify(client: &Client, out: &Printer) -> Result<Exit, Failure> {
    let request = v1::VerifyAuditRequest {};
    let found = client.call(client.fleet().verify_audit(request)).await?;
    let json = json!({
        "entries": found.entries,
        "head": found.head,
        "broken": Some(&found.broken).filter(|it| !it.is_empty()),
    });
    let mut facts = vec![
        fact("entries", found.entries.to_string()),
        fact("head", found.head),
    ];
    if found.broken.is_empty() {
        return out.item(&json, &facts);
    }
    facts.push(fact("broken", found.broken));
    out.item(&json, &facts)?;
    Ok(Exit::Failed)
}

impl Shown for v1::AuditEntry {
    const NOUN: &'static str = "audit entry";
    const COLUMNS: &'static [Column] = &[
        Column::right("NUMBER").wide(),
        Column::left("AT"),
        Column::left("WHO"),
        Column::left("ACTION"),
        Column::left("OBJECT"),
        Column::left("RESULT"),
        Column::left("FROM").wide(),
        Column::left("REASON"),
    ];

    fn cells(&self, _now: u64) -> Vec<Cell> {
        vec![
            Cell::plain(self.sequence),
            Cell::plain(time::moment(self.at)),
            Cell::plain(&self.actor),
            Cell::plain(&self.action),
            Cell::plain(&self.object),
            Cell::state(&self.result),
            Cell::plain(&self.address),
            Cell::plain(&self.reason),
        ]
    }
}
