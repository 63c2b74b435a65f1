//! How a job wants its sources.

use crate::expand::{self, Environment};

/// The `GIT_*` variables of a job, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `GIT_STRATEGY`.
    pub strategy: Strategy,
    /// `GIT_CHECKOUT`.
    pub checkout: bool,
    /// `GIT_CLEAN_FLAGS`; none: files of earlier jobs stay.
    pub clean: Option<Vec<String>>,
    /// `GIT_FETCH_EXTRA_FLAGS`.
    pub fetch_flags: Vec<String>,
    /// `GIT_LFS_SKIP_SMUDGE`: pointers to large files stay pointers.
    pub skip_large_files: bool,
    /// `GIT_SUBMODULE_STRATEGY` and its kin; none: submodules stay empty.
    pub submodules: Option<Submodules>,
}

/// How the project folder is brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// What an earlier job left is used.
    Fetch,
    /// The folder is made anew.
    Clone,
    /// The folder stays as it is.
    None,
    /// The folder is empty.
    Empty,
}

/// How submodules are checked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submodules {
    /// Also those of submodules.
    pub recursive: bool,
    /// `GIT_SUBMODULE_DEPTH`; none: the project's.
    pub depth: Option<u32>,
    /// `GIT_SUBMODULE_PATHS`.
    pub paths: Vec<String>,
    /// `GIT_SUBMODULE_UPDATE_FLAGS`.
    pub update_flags: Vec<String>,
}

impl Options {
    /// Reads them; what cannot be understood is named in a warning and has its
    /// default.
    ///
    /// # Errors
    /// A submodule setting that cannot be followed, in words for the user.
    pub fn read(variables: &Environment, warnings: &mut Vec<String>) -> Result<Options, String> {
        let strategy = strategy(variables.get("GIT_STRATEGY").unwrap_or_default(), warnings);
        let flag = |name, default, warnings: &mut Vec<String>| match variables.flag(name) {
            Ok(value) => value.unwrap_or(default),
            Err(text) => {
                warnings.push(format!(
                    "{name}: expected bool, got {text:?}, using {default}"
                ));
                default
            }
        };
        Ok(Options {
            strategy,
            checkout: flag("GIT_CHECKOUT", true, warnings),
            clean: words(variables, "GIT_CLEAN_FLAGS", "-ffdx"),
            fetch_flags: words(variables, "GIT_FETCH_EXTRA_FLAGS", "--prune --quiet")
                .unwrap_or_default(),
            skip_large_files: flag("GIT_LFS_SKIP_SMUDGE", false, warnings),
            submodules: submodules(variables)?,
        })
    }
}

fn strategy(text: &str, warnings: &mut Vec<String>) -> Strategy {
    match text {
        "fetch" | "" => Strategy::Fetch,
        "clone" => Strategy::Clone,
        "none" => Strategy::None,
        "empty" => Strategy::Empty,
        other => {
            warnings.push(format!(
                "GIT_STRATEGY: expected clone, fetch, none or empty, got {other:?}, using fetch"
            ));
            Strategy::Fetch
        }
    }
}

/// Words are separated by blanks; quotes mean nothing. `none` is none.
fn words(variables: &Environment, name: &str, default: &str) -> Option<Vec<String>> {
    let text = variables
        .get(name)
        .filter(|text| !text.is_empty())
        .unwrap_or(default);
    (text != "none").then(|| text.split_whitespace().map(str::to_owned).collect())
}

fn submodules(variables: &Environment) -> Result<Option<Submodules>, String> {
    let recursive = match variables.get("GIT_SUBMODULE_STRATEGY").unwrap_or_default() {
        "" | "none" => return Ok(None),
        "normal" => false,
        "recursive" => true,
        other => return Err(format!("unknown GIT_SUBMODULE_STRATEGY {other:?}")),
    };
    let list = |name| words(variables, name, "").unwrap_or_default();
    let paths = list("GIT_SUBMODULE_PATHS");
    if paths.iter().any(|path| path == ":(exclude)") {
        return Err(
            "GIT_SUBMODULE_PATHS: `:(exclude)` stands before a path, without a blank".into(),
        );
    }
    let depth = variables
        .get("GIT_SUBMODULE_DEPTH")
        .and_then(|depth| depth.parse().ok());
    Ok(Some(Submodules {
        recursive,
        depth,
        paths,
        update_flags: list("GIT_SUBMODULE_UPDATE_FLAGS"),
    }))
}

/// Whether git may see a job's variable: not what would change which programs
/// it runs or which files it reads as its own.
pub(super) fn is_harmless_to_git(name: &str) -> bool {
    const NAMES: [&str; 6] = [
        "PATH",
        "BASH_ENV",
        "ENV",
        "SHELLOPTS",
        "NODE_OPTIONS",
        "HOME",
    ];
    const FAMILIES: [&str; 6] = ["GIT_", "LD_", "DYLD_", "PYTHON", "FLEET_", "XDG_"];
    expand::exportable(name)
        && !NAMES.contains(&name)
        && !FAMILIES.iter().any(|family| name.starts_with(family))
}

#[cfg(test)]
mod tests {
    use fleet_model::Variable;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Result<Options, String>, Vec<String>) {
        let variables: Vec<_> = variables
            .iter()
            .map(|(k, v)| Variable::new(*k, *v))
            .collect();
        let mut warnings = Vec::new();
        let environment = Environment::resolve(&variables, "/t").unwrap();
        (Options::read(&environment, &mut warnings), warnings)
    }

    #[test]
    fn without_variables_a_job_fetches_and_cleans() {
        let (options, warnings) = read(&[]);
        let options = options.unwrap();
        assert_eq!(
            (options.strategy, options.checkout),
            (Strategy::Fetch, true)
        );
        assert_eq!(options.clean.unwrap(), ["-ffdx"]);
        assert_eq!(options.fetch_flags, ["--prune", "--quiet"]);
        assert_eq!((options.submodules, warnings.len()), (None, 0));
    }

    #[test]
    fn none_means_no_flags_and_blanks_separate_words() {
        let (options, _) = read(&[
            ("GIT_CLEAN_FLAGS", "none"),
            ("GIT_FETCH_EXTRA_FLAGS", " --tags  -j 'a b'"),
        ]);
        let options = options.unwrap();
        assert_eq!(options.clean, None);
        assert_eq!(options.fetch_flags, ["--tags", "-j", "'a", "b'"]);
    }

    #[test]
    fn what_makes_no_sense_is_warned_of_and_has_its_default() {
        let (options, warnings) = read(&[("GIT_STRATEGY", "Fetch"), ("GIT_CHECKOUT", "no")]);
        let options = options.unwrap();
        assert_eq!(
            (options.strategy, options.checkout),
            (Strategy::Fetch, true)
        );
        assert_eq!(warnings.len(), 2);
        assert!(read(&[("GIT_SUBMODULE_STRATEGY", "all")]).0.is_err());
        let alone = [
            ("GIT_SUBMODULE_STRATEGY", "normal"),
            ("GIT_SUBMODULE_PATHS", "a :(exclude) b"),
        ];
        assert!(read(&alone).0.is_err());
    }

    #[test]
    fn variables_that_steer_git_are_kept_from_it() {
        for name in ["GIT_SSH_COMMAND", "LD_PRELOAD", "PATH", "HOME", "a b", "1A"] {
            assert!(!is_harmless_to_git(name), "{name}");
        }
        assert!(is_harmless_to_git("HTTPS_PROXY"));
    }
}
