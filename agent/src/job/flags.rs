//! `FF_*`: what users know from gitlab-runner to switch on and off.

use fleet_model::Variable;

use crate::expand::boolean;

/// Every known flag with its default. Those that change nothing here are
/// accepted and shown to the job all the same.
const FLAGS: [(&str, bool); 24] = [
    ("FF_CLEAN_UP_FAILED_CACHE_EXTRACT", false),
    ("FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR", false),
    ("FF_ENABLE_BASH_EXIT_CODE_CHECK", false),
    ("FF_ENABLE_JOB_CLEANUP", false),
    ("FF_GIT_URLS_WITHOUT_TOKENS", false),
    ("FF_HASH_CACHE_KEYS", false),
    ("FF_MASK_ALL_DEFAULT_TOKENS", true),
    ("FF_NETWORK_PER_BUILD", false),
    ("FF_POSIXLY_CORRECT_ESCAPES", false),
    ("FF_RESOLVE_FULL_TLS_CHAIN", false),
    ("FF_SCRIPT_SECTIONS", false),
    ("FF_SECRET_RESOLVING_FAILS_IF_MISSING", true),
    ("FF_TIMESTAMPS", true),
    ("FF_USE_DIRECT_DOWNLOAD", true),
    ("FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY", true),
    ("FF_USE_FASTZIP", true),
    ("FF_USE_GITALY_CORRELATION_ID", true),
    ("FF_USE_GIT_BUNDLE_URIS", true),
    ("FF_USE_GIT_NATIVE_CLONE", false),
    ("FF_USE_GIT_PROACTIVE_AUTH", false),
    ("FF_USE_INIT_WITH_DOCKER_EXECUTOR", false),
    ("FF_USE_LEGACY_BASH_EVAL", false),
    ("FF_USE_NATIVE_CONTAINER_STOP", false),
    ("FF_USE_NEW_BASH_EVAL_STRATEGY", false),
];

/// The flags of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flags([bool; FLAGS.len()]);

impl Flags {
    /// Reads them from a job's variables, the last of a name; a value that is
    /// no boolean is warned of and changes nothing.
    pub(super) fn read(variables: &[Variable], warnings: &mut Vec<String>) -> Flags {
        Flags(FLAGS.map(|(name, default)| {
            let variable = variables.iter().rfind(|variable| variable.key == name);
            let Some(text) = variable
                .map(|v| v.value.as_str())
                .filter(|text| !text.is_empty())
            else {
                return default;
            };
            boolean(text).unwrap_or_else(|| {
                warnings.push(format!(
                    "{name}: expected bool, got {text:?}, using {default}"
                ));
                default
            })
        }))
    }

    /// A known flag's value.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.pairs().any(|(known, on)| known == name && on)
    }

    fn pairs(&self) -> impl Iterator<Item = (&'static str, bool)> {
        FLAGS.iter().zip(self.0).map(|((name, _), on)| (*name, on))
    }

    /// All of them, as the job sees them.
    pub(super) fn variables(&self) -> impl Iterator<Item = Variable> {
        self.pairs()
            .map(|(name, on)| Variable::new(name, if on { "true" } else { "false" }).raw())
    }

    /// Those that differ from their default, as the log's header has them; none
    /// where there are none.
    pub(super) fn unusual(&self) -> Option<String> {
        let different = FLAGS
            .iter()
            .zip(self.0)
            .filter(|((_, default), on)| default != on);
        let list: Vec<_> = different
            .map(|((name, _), on)| format!("{name}:{on}"))
            .collect();
        (!list.is_empty()).then(|| list.join(", "))
    }
}
