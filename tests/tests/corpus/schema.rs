//! The editor schema's test files: what a server says to each whole file.

use anyhow::{Context, Result};
use fleet_language::{Diagnostic, Severity, lint};

use crate::{NoFiles, corpus, push_to_main, read};

/// Files judged otherwise here, each with the reason.
const DEVIATIONS: &[(&str, &str)] = &[(
    "positive/identity_provider.yml",
    "its job has no script, for which other files are refused",
)];

#[test]
#[ignore = "needs GitLab's test data: tests/run --corpus DIR"]
fn every_file_gets_the_verdict_of_a_server() -> Result<()> {
    let folder = corpus("gitlab-schema")?;
    let (mut judged, mut wrong) = (0, Vec::new());
    for line in read(&folder.join("verdicts.tsv"))?.lines().skip(1) {
        let mut fields = line.split('\t');
        let file = fields.next().context("a row names a file")?;
        let accepted = fields.nth(1).context("a row has a verdict")? == "accept";
        let text = read(&folder.join(file))?;
        let found = lint((".gitlab-ci.yml", &text), Some(&push_to_main()), &NoFiles).diagnostics;
        let errors: Vec<&Diagnostic> = found
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .collect();
        judged += 1;
        if accepted != errors.is_empty() {
            println!("{file}: accepted by a server: {accepted}; here: {errors:#?}");
            wrong.push(file.to_owned());
        }
    }
    println!(
        "gitlab-schema: {judged} files, {} judged as a server judges them",
        judged - wrong.len()
    );
    for (file, reason) in DEVIATIONS {
        println!("  {file}: judged otherwise: {reason}");
    }
    assert_eq!(judged, 78);
    assert_eq!(
        wrong,
        DEVIATIONS.iter().map(|(file, _)| *file).collect::<Vec<_>>()
    );
    Ok(())
}
