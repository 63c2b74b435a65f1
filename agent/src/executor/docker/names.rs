//! The names of what a job has in the engine, as gitlab-runner gives them: people
//! and their tools know them.

use std::fmt::Write as _;

use md5::Md5;
use sha2::{Digest as _, Sha256};

use crate::expand::short_token;

/// What the names of one job's objects are made of.
#[derive(Clone, Debug)]
pub(super) struct Names {
    token: String,
    system: String,
    project: u64,
    project_slot: u32,
    job: u64,
    /// 16 hexadecimal digits that no other job has.
    random: String,
}

impl Names {
    /// `token` stands for the runner's, which names are made of.
    pub(super) fn new(
        token: &str,
        system: &str,
        project: u64,
        project_slot: u32,
        job: u64,
        random: [u8; 8],
    ) -> Names {
        Names {
            token: token.to_owned(),
            system: system.to_owned(),
            project,
            project_slot,
            job,
            random: hex(&random),
        }
    }

    /// `runner-<short token>-project-<id>-concurrent-<slot>`: also the host name in
    /// containers.
    pub(super) fn unique(&self) -> String {
        let short = short_token(&self.token);
        dns(&format!(
            "runner-{short}-project-{}-concurrent-{}",
            self.project, self.project_slot
        ))
    }

    fn randomised(&self) -> String {
        format!("{}-{}", self.unique(), self.random)
    }

    /// The container of the user's commands.
    pub(super) fn build(&self) -> String {
        format!("{}-build", self.randomised())
    }

    /// The container of the service with this number; `name` without tag and port.
    pub(super) fn service(&self, name: &str, index: usize) -> String {
        let name = name.replace('/', "__");
        format!("{}-{name}-{index}", self.randomised())
    }

    /// The job's own network. An engine finds networks by name even where it was
    /// given an id, so unlike gitlab-runner's it is nobody else's.
    pub(super) fn network(&self) -> String {
        let short = short_token(&self.token);
        let name = dns(&format!(
            "runner-{short}-{}-{}-{}",
            self.project, self.project_slot, self.job
        ));
        format!("{name}-{}", self.random)
    }

    /// The network that the jobs of slot `slot` have one after the other.
    pub(super) fn slot_network(&self, slot: u32) -> String {
        let short = short_token(&self.token);
        let name = dns(&format!("runner-{short}-slot-{slot}"));
        format!("{name}-{}", self.system)
    }

    /// The volume at `path` that later jobs of the project find again.
    pub(super) fn cache_volume(&self, path: &str, protection: Protection) -> String {
        let text = format!(
            "{}-{}-{}-{}",
            self.token, self.system, self.project, self.project_slot
        );
        let real = &hex(&Sha256::digest(text.as_bytes()))[..32];
        let path = hex(&Md5::digest(path.as_bytes()));
        format!("runner-{real}-cache-{path}{}", protection.suffix())
    }
}

/// Whether a job's ref is protected: its caches are other jobs' only if theirs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    Protected,
    Unprotected,
}

impl Protection {
    fn suffix(self) -> &'static str {
        match self {
            Protection::Protected => "-protected",
            Protection::Unprotected => "",
        }
    }
}

/// `text` as a host name's label may be.
fn dns(text: &str) -> String {
    let text = text.to_lowercase();
    let allowed = |c: &char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    text.chars()
        .filter(allowed)
        .skip_while(|c| *c == '-')
        .take(63)
        .collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _never_fails = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn names_are_gitlab_runners() {
        for row in
            crate::vectors::rows::<Value>(include_str!("../../../tests/vectors/runner-names.txt"))
        {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            let number = |key: &str| row[key].as_u64().unwrap();
            let random = [0x0a; 8];
            let names = Names::new(
                &text("token"),
                &text("system_id"),
                number("project_id"),
                u32::try_from(number("concurrent_project_id")).unwrap(),
                number("job_id"),
                random,
            );
            let expected = |key: &str| text(key).replace("<16 hex>", &hex(&random));
            let protection = match row["protected"] == Value::Bool(true) {
                true => Protection::Protected,
                false => Protection::Unprotected,
            };
            let path = text("volume_path");
            assert_eq!(names.unique(), text("unique"));
            let network = format!("{}-{}", text("network"), hex(&random));
            assert_eq!(names.network(), network);
            assert_eq!(names.build(), expected("build_container"));
            assert_eq!(names.service("redis", 0), expected("service_0_redis"));
            assert_eq!(names.cache_volume(&path, protection), text("cache_volume"));
        }
    }
}
