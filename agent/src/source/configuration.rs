//! The text of git configuration files.

use std::path::Path;

use super::location::Url;

/// Builds the text of a configuration file.
#[derive(Default)]
pub(super) struct Configuration {
    text: String,
}

impl Configuration {
    /// Begins a section; `subsection` is quoted.
    pub(super) fn section(&mut self, name: &str, subsection: Option<&str>) -> &mut Configuration {
        self.text.push('[');
        self.text.push_str(name);
        if let Some(subsection) = subsection {
            self.text.push(' ');
            self.quoted(subsection);
        }
        self.text.push_str("]\n");
        self
    }

    /// Sets a value of the section begun last.
    pub(super) fn set(&mut self, key: &str, value: &str) -> &mut Configuration {
        self.text.push('\t');
        self.text.push_str(key);
        self.text.push_str(" = ");
        self.quoted(value);
        self.text.push('\n');
        self
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn quoted(&mut self, value: &str) {
        self.text.push('"');
        for character in value.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }
}

/// `.git/config` as every job finds it, whatever earlier ones put there.
pub(super) fn of_repository(
    origin: &str,
    external: Option<&Path>,
    sha: &str,
    fetch_flags: &[String],
) -> Configuration {
    let mut configuration = Configuration::default();
    let sha256 = sha.len() == 64;
    configuration
        .section("core", None)
        .set("repositoryformatversion", if sha256 { "1" } else { "0" })
        .set("filemode", "true")
        .set("bare", "false")
        .set("logallrefupdates", "true");
    if sha256 {
        configuration
            .section("extensions", None)
            .set("objectformat", "sha256");
    }
    configuration
        .section("init", None)
        .set("defaultBranch", "none");
    configuration
        .section("fetch", None)
        .set("recurseSubmodules", "false");
    configuration
        .section("credential", None)
        .set("interactive", "never");
    configuration.section("gc", None).set("autoDetach", "false");
    configuration
        .section("remote", Some("origin"))
        .set("url", origin)
        .set("fetch", "+refs/heads/*:refs/remotes/origin/*");
    // What a partial clone left out is fetched when needed, if git knows that
    // it is one.
    if let Some(filter) = fetch_flags
        .iter()
        .find_map(|flag| flag.strip_prefix("--filter="))
    {
        configuration
            .set("promisor", "true")
            .set("partialclonefilter", filter);
    }
    if let Some(external) = external.and_then(Path::to_str) {
        configuration.section("include", None).set("path", external);
    }
    configuration
}

/// The file beside the project that holds the job's credentials, so that none
/// are in `.git/config` and `git remote -v` shows none.
pub(super) fn external(url: &Url, token: &str, authority_file: Option<&str>) -> Configuration {
    let mut configuration = Configuration::default();
    let base = url.base();
    if let Some(file) = authority_file {
        configuration
            .section("http", Some(&base))
            .set("sslCAInfo", file);
    }
    configuration
        .section("transfer", None)
        .set("bundleURI", "true");
    configuration
        .section(
            "url",
            Some(&format!("{}/", url.base_with_credentials(token))),
        )
        .set("insteadOf", &format!("{base}/"));
    configuration
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_quotes() {
        let mut configuration = Configuration::default();
        configuration
            .section("url", Some("a\"]\nb"))
            .set("insteadOf", "c\\\"\n[core]");
        assert_eq!(
            configuration.text(),
            "[url \"a\\\"]\\nb\"]\n\tinsteadOf = \"c\\\\\\\"\\n[core]\"\n"
        );
    }
}
