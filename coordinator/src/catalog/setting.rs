//! What `project set KEY=VALUE` may set: one declared list.

use std::time::Duration;

use fleet_language::{HostCoupling, duration, suggest};

use super::path::{self, lineage, shortened};
use super::{Error, Project, protect};

/// One setting of a project.
struct Setting {
    key: &'static str,
    /// As a value is written.
    default: &'static str,
    /// What it does, in one line.
    doc: &'static str,
    /// Checks a value and gives it as it is kept; why not, otherwise.
    read: fn(&str) -> Result<String, String>,
}

/// All of them, by their keys.
const SETTINGS: &[Setting] = &[
    Setting {
        key: "auto-cancel-pending",
        default: "true",
        doc: "whether a newer pipeline of a branch cancels what is left of the older ones, as far \
              as they let it (`workflow:auto_cancel:on_new_commit`)",
        read: boolean,
    },
    Setting {
        key: "config-path",
        default: ".gitlab-ci.yml",
        doc: "where the configuration lies in the repository",
        read: config_path,
    },
    Setting {
        key: DEFAULT_BRANCH,
        default: "main",
        doc: "the branch that is meant where none is named",
        read: branch,
    },
    Setting {
        key: "git-depth",
        default: "20",
        doc: "how many commits of history a job gets; 0: all; `GIT_DEPTH` goes before it",
        read: git_depth,
    },
    Setting {
        key: "host-coupling",
        default: "mend",
        doc: "what is done about jobs that count on an image another job left in the Docker \
              engine of its host: mend (a pull is put before the line, or both run on one \
              agent), warn, deny (the pipeline fails)",
        read: host_coupling,
    },
    Setting {
        key: REGISTRY_PULL,
        default: "",
        doc: "projects and groups whose jobs may pull this project's images, with commas between \
              them",
        read: paths,
    },
    Setting {
        key: "retry-lost",
        default: "false",
        doc: "whether a job whose agent was lost is tried again, also where its `retry` does \
              not say so",
        read: boolean,
    },
    Setting {
        key: "timeout",
        default: "1h",
        doc: "how long a job may run that has no `timeout` of its own: 10m to 30d",
        read: timeout,
    },
    Setting {
        key: "visibility",
        default: "private",
        doc: "who may see it beside its members: private (nobody), internal (whoever has a \
              token of this fleet), public (the same; nothing is shown without a token)",
        read: visibility,
    },
];

const DEFAULT_BRANCH: &str = "default-branch";
const REGISTRY_PULL: &str = "registry-pull";
/// Paths in one setting; GitLab's most of a job token's allowlist.
const MOST_PATHS: usize = 200;

/// Who may see a project beside those whose token is of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    Private,
    Internal,
    Public,
}

impl Visibility {
    /// `CI_PROJECT_VISIBILITY`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Visibility::Private => "private",
            Visibility::Internal => "internal",
            Visibility::Public => "public",
        }
    }
}

impl Project {
    /// Whether a newer pipeline of a branch cancels older ones.
    pub(crate) fn auto_cancel_pending(&self) -> bool {
        self.setting("auto-cancel-pending") == "true"
    }

    /// `CI_CONFIG_PATH`: from the repository's root.
    pub(crate) fn config_path(&self) -> &str {
        self.setting("config-path")
    }

    /// Commits of history a job gets; 0: all.
    pub(crate) fn git_depth(&self) -> u32 {
        self.setting("git-depth").parse().unwrap_or(0)
    }

    /// What is done about jobs that count on another job's host.
    pub(crate) fn host_coupling(&self) -> HostCoupling {
        match self.setting("host-coupling") {
            "warn" => HostCoupling::Warn,
            "deny" => HostCoupling::Deny,
            _ => HostCoupling::Mend,
        }
    }

    /// Whether jobs are tried again when their agent was lost.
    pub(crate) fn retry_lost(&self) -> bool {
        self.setting("retry-lost") == "true"
    }

    /// How long a job may run that does not say it itself.
    pub(crate) fn timeout(&self) -> Duration {
        let seconds = duration::parse(self.setting("timeout")).unwrap_or(3600.0);
        Duration::from_secs_f64(seconds.clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT))
    }

    /// Whether jobs of the project of this path may pull its images.
    pub(crate) fn grants_pull(&self, other: &str) -> bool {
        let mut granted = self.setting(REGISTRY_PULL).split(',');
        granted.any(|granted| lineage(other).any(|above| above.eq_ignore_ascii_case(granted)))
    }

    /// Takes the grant to a path back; whether there was one.
    pub(super) fn forget_grant(&mut self, path: &str) -> bool {
        let granted = self.setting(REGISTRY_PULL);
        let left: Vec<&str> = granted
            .split(',')
            .filter(|granted| !granted.eq_ignore_ascii_case(path))
            .collect();
        let left = left.join(",");
        if left == granted {
            return false;
        }
        if left.is_empty() {
            self.settings.remove(REGISTRY_PULL);
        } else {
            self.settings.insert(REGISTRY_PULL.to_owned(), left);
        }
        true
    }

    /// Who may see it beside its members.
    pub(crate) fn visibility(&self) -> Visibility {
        match self.setting("visibility") {
            "internal" => Visibility::Internal,
            "public" => Visibility::Public,
            _ => Visibility::Private,
        }
    }

    fn setting(&self, key: &'static str) -> &str {
        let declared = SETTINGS.iter().find(|setting| setting.key == key);
        let default = declared.map_or("", |setting| setting.default);
        self.settings.get(key).map_or(default, String::as_str)
    }

    /// Sets what is declared; an empty value, or the default, restores the default.
    ///
    /// # Errors
    /// [`Error::Invalid`]: a key that is not declared, or a value it does not take.
    /// Nothing is set then.
    pub(super) fn set<'a>(
        &mut self,
        settings: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Result<(), Error> {
        let mut changed = self.clone();
        for (key, value) in settings {
            let setting = find(key)?;
            let value = if value.is_empty() {
                setting.default.to_owned()
            } else {
                (setting.read)(value).map_err(|why| {
                    Error::Invalid(format!("`{key}` cannot be `{}`: {why}", shortened(value)))
                })?
            };
            if setting.key == DEFAULT_BRANCH {
                changed.default_branch = value;
            } else if value == setting.default {
                changed.settings.remove(setting.key);
            } else {
                changed.settings.insert(setting.key.to_owned(), value);
            }
        }
        *self = changed;
        Ok(())
    }
}

/// The default branch of a project that names none.
pub(super) fn default_branch() -> &'static str {
    let declared = SETTINGS
        .iter()
        .find(|setting| setting.key == DEFAULT_BRANCH);
    declared.map_or("main", |setting| setting.default)
}

fn find(key: &str) -> Result<&'static Setting, Error> {
    let found = SETTINGS.iter().find(|setting| setting.key == key);
    found.ok_or_else(|| {
        let near = suggest::nearest(key, SETTINGS.iter().map(|setting| setting.key))
            .map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
        let all: Vec<String> = SETTINGS
            .iter()
            .map(
                |Setting {
                     key, default, doc, ..
                 }| {
                    let default = if default.is_empty() { "none" } else { default };
                    format!("\n  {key} (default {default}): {doc}")
                },
            )
            .collect();
        Error::Invalid(format!(
            "a project has no setting `{}`{near}; there are:{}",
            shortened(key),
            all.concat()
        ))
    })
}

/// GitLab's bounds, in seconds.
const SHORTEST_TIMEOUT: f64 = 600.0;
const LONGEST_TIMEOUT: f64 = 30.0 * 86_400.0;

fn boolean(text: &str) -> Result<String, String> {
    match text {
        "true" | "yes" | "on" | "enabled" => Ok("true".into()),
        "false" | "no" | "off" | "disabled" => Ok("false".into()),
        _ => Err("it is `true` or `false`".into()),
    }
}

fn branch(text: &str) -> Result<String, String> {
    match protect::check_branch(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn config_path(text: &str) -> Result<String, String> {
    let inside = text
        .split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..");
    let is_yaml = text.ends_with(".yml") || text.ends_with(".yaml");
    if !inside || text.contains(char::is_control) || text.len() > 255 {
        Err("it is a path from the repository's root, as `ci/main.yml`".into())
    } else if text.contains("://") || text.contains('@') {
        Err("a configuration outside the project's own repository is not supported".into())
    } else if !is_yaml {
        Err("its name ends in `.yml` or `.yaml`".into())
    } else {
        Ok(text.to_owned())
    }
}

fn paths(text: &str) -> Result<String, String> {
    let all: Vec<&str> = text.split(',').map(str::trim).collect();
    if all.len() > MOST_PATHS {
        return Err(format!("there are at most {MOST_PATHS}"));
    }
    match all.iter().find_map(|one| path::check_group(one).err()) {
        // The default: nobody.
        _ if text.trim().is_empty() => Ok(String::new()),
        Some(error) => Err(error.to_string()),
        None => Ok(all.join(",")),
    }
}

fn git_depth(text: &str) -> Result<String, String> {
    match text.parse::<u32>() {
        Ok(depth) if depth <= 1000 => Ok(depth.to_string()),
        _ => Err("it is a number from 0 to 1000".into()),
    }
}

fn host_coupling(text: &str) -> Result<String, String> {
    match text {
        "mend" | "warn" | "deny" => Ok(text.to_owned()),
        _ => Err("it is `mend`, `warn` or `deny`".into()),
    }
}

fn timeout(text: &str) -> Result<String, String> {
    match duration::parse(text) {
        Ok(seconds) if (SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&seconds) => {
            Ok(text.trim().to_owned())
        }
        Ok(_) => Err("it is from `10m` to `30d`".into()),
        Err(error) => Err(format!("{error}; write it as `1h 30m`")),
    }
}

fn visibility(text: &str) -> Result<String, String> {
    let all = [
        Visibility::Private,
        Visibility::Internal,
        Visibility::Public,
    ];
    let found = all.into_iter().find(|known| known.as_str() == text);
    found
        .map(|known| known.as_str().to_owned())
        .ok_or_else(|| "it is `private`, `internal` or `public`".into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn project() -> Project {
        Project {
            id: fleet_model::ProjectId(1),
            path: "group/app".into(),
            default_branch: "main".into(),
            mirror: None,
            protected: Vec::new(),
            settings: BTreeMap::new(),
            environments: Vec::new(),
            next_iid: 1,
            created_at: 0,
        }
    }

    fn set(project: &mut Project, key: &str, value: &str) -> Result<(), String> {
        let (key, value) = (key.to_owned(), value.to_owned());
        let all = [(&key, &value)];
        project.set(all).map_err(|error| error.to_string())
    }

    #[test]
    fn every_default_is_a_value_of_its_setting_and_keys_are_in_order() {
        for setting in SETTINGS {
            assert_eq!(
                (setting.read)(setting.default).as_deref(),
                Ok(setting.default)
            );
        }
        assert!(SETTINGS.is_sorted_by_key(|setting| setting.key));
    }

    #[test]
    fn what_is_not_set_is_as_the_list_says() {
        let project = project();
        assert!(!project.retry_lost());
        assert!(project.auto_cancel_pending());
        assert_eq!(project.config_path(), ".gitlab-ci.yml");
        assert_eq!(project.git_depth(), 20);
        assert_eq!(project.host_coupling(), HostCoupling::Mend);
        assert_eq!(project.timeout(), Duration::from_secs(3600));
        assert_eq!(project.visibility(), Visibility::Private);
    }

    #[test]
    fn values_are_read_and_an_empty_one_restores_the_default() {
        let mut project = project();
        for (key, value) in [
            ("auto-cancel-pending", "off"),
            ("retry-lost", "yes"),
            ("config-path", "ci/main.yml"),
            ("git-depth", "0"),
            ("host-coupling", "deny"),
            ("timeout", "2h 30m"),
            ("visibility", "internal"),
            ("default-branch", "trunk"),
        ] {
            assert_eq!(set(&mut project, key, value), Ok(()));
        }
        assert!(!project.auto_cancel_pending());
        assert!(project.retry_lost());
        assert_eq!(project.config_path(), "ci/main.yml");
        assert_eq!(project.git_depth(), 0);
        assert_eq!(project.host_coupling(), HostCoupling::Deny);
        assert_eq!(project.timeout(), Duration::from_secs(9000));
        assert_eq!(project.visibility(), Visibility::Internal);
        assert_eq!(project.default_branch, "trunk");
        for setting in SETTINGS {
            assert_eq!(set(&mut project, setting.key, ""), Ok(()));
        }
        assert_eq!(project, self::project());
    }

    #[test]
    fn images_are_for_those_that_are_named_and_for_what_is_below_them() {
        let mut project = project();
        assert!(!project.grants_pull("group/other"));
        assert_eq!(
            set(&mut project, "registry-pull", "Web/shop, tools"),
            Ok(())
        );
        for (other, may) in [
            ("web/shop", true),
            ("web/shop/cart", true),
            ("web/shopping", false),
            ("web", false),
            ("tools/ci/images", true),
            ("toolsmith/ci", false),
            ("", false),
        ] {
            assert_eq!(project.grants_pull(other), may, "{other}");
        }
        assert!(!project.forget_grant("web"));
        assert!(project.forget_grant("web/shop"));
        assert!(!project.grants_pull("web/shop") && project.grants_pull("tools/x"));
        assert!(project.forget_grant("tools"));
        assert_eq!(project, self::project());
    }

    #[test]
    fn wrong_values_are_refused_in_words() {
        for (key, value, words) in [
            ("retry-lost", "maybe", "`true` or `false`"),
            ("config-path", "../x.yml", "from the repository's root"),
            ("config-path", "/x.yml", "from the repository's root"),
            ("config-path", "ci.yml@other/project", "not supported"),
            ("config-path", "ci.txt", "`.yml`"),
            ("registry-pull", "group/app,", "needs a path"),
            ("registry-pull", "group/..", "cannot be a path"),
            ("git-depth", "-1", "0 to 1000"),
            ("git-depth", "1001", "0 to 1000"),
            ("host-coupling", "off", "`mend`, `warn` or `deny`"),
            ("timeout", "9m", "from `10m`"),
            ("timeout", "soon", "invalid word"),
            ("visibility", "secret", "`internal`"),
            ("default-branch", "a b", "no name of a branch"),
        ] {
            let mut project = project();
            let refused = set(&mut project, key, value).expect_err(value);
            assert!(refused.contains(words), "{refused}");
            assert_eq!(project, self::project());
        }
    }

    #[test]
    fn an_unknown_key_gets_the_list_and_a_suggestion() {
        let refused = set(&mut project(), "git-dept", "3").expect_err("unknown");
        assert!(refused.contains("did you mean `git-depth`?"), "{refused}");
        for setting in SETTINGS {
            assert!(refused.contains(setting.doc), "{refused}");
        }
    }
}
