//! The settings of where configurations may include from.

use std::path::Path;

use clap::Args;
use fleet_fetch::Allowed;

use crate::source::IncludeSettings;

/// What `include` means beside files of the same repository and projects here.
#[derive(Args, Clone, Debug)]
pub(crate) struct Includes {
    /// What `include: template` means: a folder, or the path of a project here, such as
    /// a mirror of GitLab's own repository
    #[arg(
        long,
        env = "FLEET_INCLUDE_TEMPLATES",
        value_name = "FOLDER|PROJECT",
        value_parser = templates
    )]
    include_templates: Option<String>,

    /// Addresses that `include: remote` may fetch, by what they begin with; repeated for
    /// more. `https://` is all that are public. Without: none
    #[arg(
        long,
        env = "FLEET_INCLUDE_REMOTE",
        value_name = "URL",
        value_delimiter = ',',
        value_parser = prefix
    )]
    include_remote: Vec<String>,

    /// Those addresses may lie in private networks, and on this host
    #[arg(long, env = "FLEET_INCLUDE_PRIVATE_ADDRESSES")]
    include_private_addresses: bool,

    /// A group here whose projects stand for those of another host in the addresses of
    /// components; repeated for more
    #[arg(
        long,
        env = "FLEET_INCLUDE_HOST",
        value_name = "HOST=GROUP",
        value_delimiter = ',',
        value_parser = host
    )]
    include_host: Vec<(String, String)>,
}

impl Includes {
    /// With the copies of remote files in the data folder.
    pub(super) fn settings(&self, data_dir: &Path) -> IncludeSettings {
        IncludeSettings {
            templates: self.include_templates.clone(),
            remote: Allowed {
                prefixes: self.include_remote.clone(),
                private: self.include_private_addresses,
            },
            hosts: self.include_host.clone(),
            copies: data_dir.join("includes"),
        }
    }
}

fn templates(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    path(text).ok_or_else(|| "expected /a/folder, or group/project".to_owned())
}

fn prefix(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").unwrap_or(" ");
    if rest.contains(|c: char| c.is_whitespace() || "@?#".contains(c)) {
        return Err(
            "expected https:// and what addresses go on with: https://h.example/ci/".into(),
        );
    }
    Ok(text.to_owned())
}

fn host(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=');
    let parts = parts.and_then(|(host, group)| Some((host, path(group)?)));
    let parts = parts.filter(|(host, _)| !host.is_empty() && !host.contains(['/', ' ']));
    let (host, group) = parts.ok_or("expected host=group: gitlab.example=mirrors/gitlab")?;
    Ok((host.to_ascii_lowercase(), group))
}

/// The path of a group or project.
fn path(text: &str) -> Option<String> {
    let plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace());
    text.split('/').all(plain).then(|| text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_source_is_refused() {
        assert_eq!(
            host("GitLab.Example=Mirrors/a"),
            Ok(("gitlab.example".into(), "mirrors/a".into()))
        );
        for text in ["a", "=b", "a=", "a/b=c", "a=/b", "a=b c"] {
            assert!(host(text).is_err(), "{text}");
        }
        assert!(prefix("https://").is_ok() && prefix("https://h.example:8/a/").is_ok());
        for text in ["http://h", "https://a@h", "h.example", "https://h/ x"] {
            assert!(prefix(text).is_err(), "{text}");
        }
        assert_eq!(templates("Infra/Templates"), Ok("infra/templates".into()));
        assert!(templates("/srv/templates").is_ok() && templates("a//b").is_err());
    }
}
