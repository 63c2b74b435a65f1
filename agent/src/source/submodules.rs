//! Submodules, after the checkout.

use super::checkout::EXTERNAL;
use super::git::Git;
use super::options::Submodules;
use super::{Error, Request, Said};
use crate::executor::{Environment, Stop};

/// Updates the submodules as the job asks for them.
pub(super) async fn update<E: Environment, S: Stop>(
    git: &mut Git<'_, E, S>,
    request: &Request<'_>,
    depth: u32,
) -> Result<(), Error> {
    let Some(wanted) = &request.options.submodules else {
        return Ok(());
    };
    if !request.project.join(".gitmodules").is_file() {
        return Ok(());
    }
    let depth = wanted.depth.unwrap_or(depth);
    git.say(Said::Notice(&announcement(wanted, depth)));
    let recursive = wanted.recursive.then_some("--recursive");
    let paths: Vec<&str> = match wanted.paths.is_empty() {
        true => Vec::new(),
        false => std::iter::once("--")
            .chain(wanted.paths.iter().map(String::as_str))
            .collect(),
    };
    let clean = request
        .options
        .clean
        .as_deref()
        .unwrap_or_default()
        .join(" ");
    let clean = format!(
        "git clean {}",
        if clean.is_empty() { "-ffdx" } else { &clean }
    );
    let external = request.temporary.join(EXTERNAL).display().to_string();
    let credentials = format!("include.path={external}");
    let depth = depth.to_string();

    let mut sync = vec!["submodule", "sync"];
    sync.extend(recursive.into_iter().chain(paths.iter().copied()));
    let each = |command| {
        let mut all = vec!["submodule", "foreach"];
        all.extend(recursive);
        all.push(command);
        all
    };
    let mut update = vec!["-c", &credentials, "submodule", "update", "--init"];
    update.extend(recursive);
    if depth != "0" {
        update.extend(["--depth", &depth]);
    }
    update.extend(
        wanted
            .update_flags
            .iter()
            .map(String::as_str)
            .chain(paths.iter().copied()),
    );

    git.run(["submodule", "init"]).await?;
    git.run(&sync).await?;
    git.run(each(&clean)).await?;
    git.run(each("git reset --hard")).await?;
    if let Err(error) = git.run(&update).await {
        if !matches!(error, Error::Git { .. }) {
            return Err(error);
        }
        git.say(Said::Warning("Updating submodules failed. Retrying..."));
        git.run(&sync).await?;
        git.run(&update).await?;
        git.run(each("git reset --hard")).await?;
    } else {
        git.say(Said::Notice("Updated submodules"));
        git.run(&sync).await?;
    }
    git.run(each(&clean)).await?;
    let include = format!(
        "git config --replace-all include.path '{}'",
        external.replace('\'', "'\\''")
    );
    git.run(["submodule", "foreach", "--recursive", &include])
        .await
}

fn announcement(wanted: &Submodules, depth: u32) -> String {
    let mut text = String::from("Updating/initializing submodules");
    if wanted.recursive {
        text.push_str(" recursively");
    }
    if depth > 0 {
        text.push_str(&format!(" with git depth set to {depth}"));
    }
    text + "..."
}
