//! The pages of the daemons list every setting, as the programs know them.
//!
//! `UPDATE_DOCS=1 cargo test -p fleet-tests --test settings` writes the tables.

use std::fs;

use anyhow::{Context, Result, ensure};
use fleet_tests::repository;

const BEGIN: &str =
    "<!-- settings: written by UPDATE_DOCS=1 cargo test -p fleet-tests --test settings -->\n";
const END: &str = "<!-- end of settings -->";

#[test]
fn every_setting_of_the_coordinator_is_documented() -> Result<()> {
    check(
        "coordinator.md",
        &fleet_coordinator::program::settings_reference(),
    )
}

#[test]
fn every_setting_of_the_agent_is_documented() -> Result<()> {
    check("agents.md", &fleet_agent::program::settings_reference())
}

fn check(page: &str, table: &str) -> Result<()> {
    let file = repository().join("docs").join(page);
    let text = fs::read_to_string(&file).with_context(|| page.to_owned())?;
    let (head, rest) = text.split_once(BEGIN).context("the place of the table")?;
    let (written, tail) = rest.split_once(END).context("the end of the table")?;
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return Ok(fs::write(
            &file,
            format!("{head}{BEGIN}{table}{END}{tail}"),
        )?);
    }
    ensure!(
        written == table,
        "docs/{page} is out of date: UPDATE_DOCS=1 cargo test -p fleet-tests --test settings"
    );
    Ok(())
}
