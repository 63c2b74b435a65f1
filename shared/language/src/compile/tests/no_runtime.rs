//! Keywords that nothing carries out, and what becomes of `run`, `inputs` and
//! `secrets`.

use super::{errors, lint};
use crate::{Severity, config::Job};

/// The warnings of a file that is right: code and sentence.
fn warnings(yaml: &str) -> Vec<(&'static str, String)> {
    let (compiled, config) = lint(yaml);
    assert!(config.is_some(), "{yaml}: {:?}", compiled.diagnostics);
    let warnings = compiled
        .diagnostics
        .into_iter()
        .filter(|it| it.severity == Severity::Warning);
    warnings.map(|it| (it.code, it.message)).collect()
}

fn only_job(yaml: &str) -> Job {
    let (compiled, config) = lint(yaml);
    let mut config = config.unwrap_or_else(|| panic!("{yaml}: {:?}", compiled.diagnostics));
    config.jobs.remove(0)
}

#[test]
fn each_keyword_without_a_runtime_is_told_of_once() {
    for (yaml, code, sentence) in [
        (
            "{a: {script: x, release: {tag_name: v1, description: d}}}",
            "no-runtime/release",
            "jobs:a:release is not carried out: no release is created",
        ),
        (
            "{default: {id_tokens: {T: {aud: x}}}, a: {script: x, id_tokens: {U: {aud: y}}}}",
            "no-runtime/id-tokens",
            "default:id_tokens (and one more) is not carried out: the variables stay unset",
        ),
        (
            "{a: {script: x, identity: google_cloud}, b: {script: x, identity: google_cloud}, \
             c: {script: x, identity: google_cloud}}",
            "no-runtime/identity",
            "jobs:a:identity (and 2 more) is not carried out: the job is not logged in",
        ),
        (
            "{a: {script: x, dast_configuration: {site_profile: p}}}",
            "no-runtime/dast-configuration",
            "jobs:a:dast_configuration is not carried out: there are no profiles to take settings \
             from",
        ),
        (
            "{pages: {script: x}}",
            "no-runtime/pages",
            "jobs:pages is not carried out: the folder is kept as an artifact, and nothing is \
             published",
        ),
        (
            "{a: {run: [{name: s, step: ./p}]}}",
            "no-runtime/run-step",
            "jobs:a:run:step is not carried out: steps with a `script` run, the job fails at one \
             without",
        ),
        (
            "{a: {script: x, secrets: {A: {vault: a/b@c}}}}",
            "no-runtime/secrets",
            "jobs:a:secrets is not carried out: no provider of secrets is configured, so the job \
             fails before its script",
        ),
        (
            "{a: {script: x, artifacts: {paths: [p], access: none}}}",
            "no-runtime/artifact-access",
            "jobs:a:artifacts:access is not carried out: who may see a project may see its \
             artifacts",
        ),
        (
            "{a: {script: x, image: {name: i, kubernetes: {user: u}}}}",
            "no-runtime/kubernetes",
            "jobs:a:image:kubernetes is not carried out: there is no cluster",
        ),
    ] {
        assert_eq!(warnings(yaml), [(code, sentence.to_owned())], "{yaml}");
    }
}

#[test]
fn what_asks_for_nothing_is_not_told_of() {
    for yaml in [
        "{a: {script: x, release: , pages: , secrets: , id_tokens: , identity: }}",
        "{a: {script: x, secrets: {}, id_tokens: {}, dast_configuration: {}, inputs: {}}}",
        "{a: {script: x, pages: false}, pages: {script: x, pages: false}}",
        "{.h: {release: 5, run: x}, a: {script: x}}",
    ] {
        assert_eq!(warnings(yaml), [], "{yaml}");
    }
}

#[test]
fn steps_run_each_in_a_shell_of_its_own() {
    let job = only_job(
        "{a: {run: [{name: s, script: \"cd /\", env: {A: \"it's\"}}, {name: t, script: pwd}]}}",
    );
    assert_eq!(
        job.script,
        ["( # s\nexport A='it'\\''s'\ncd /\n)", "( # t\npwd\n)"]
    );
}

#[test]
fn a_job_with_secrets_fails_before_its_script() {
    let job = only_job(
        "{a: {before_script: [p], script: x, secrets: {A: {vault: a/b@c}, B: {azure_key_vault: {name: n}}}}}",
    );
    assert_eq!(
        job.script,
        [
            "( echo 'ERROR: no provider of secrets is configured for A, B' >&2; exit 1 )",
            "p",
            "x"
        ]
    );
    assert_eq!(job.script.len(), job.places.len());
}

#[test]
fn inputs_of_a_job_have_their_defaults() {
    let job = only_job(
        "{a: {inputs: {s: {default: x y}, n: {type: number, default: 5}, l: {type: array, default: \
         [1, b]}}, before_script: ['${{ job.inputs.s }}'], script: ['e ${{job.inputs.n}} ${{ \
         job.inputs.l }} ${{ job.inputs.nope }}'], after_script: ['${{ job.inputs.s }}']}}",
    );
    assert_eq!(job.script, ["x y", "e 5 [1,\"b\"] ${{ job.inputs.nope }}"]);
    assert_eq!(job.after_script, ["x y"]);
}

#[test]
fn inputs_of_a_job_cannot_make_a_configuration_huge() {
    let long = "x".repeat(100_000);
    let use_it = "${{ job.inputs.i }} ".repeat(100);
    let yaml = format!("{{a: {{inputs: {{i: {{default: {long}}}}}, script: ['{use_it}']}}}}");
    assert_eq!(
        errors(&yaml),
        ["jobs:a: a command is too large once its inputs are filled in"]
    );
}

#[test]
fn a_published_folder_is_kept_as_an_artifact() {
    for (yaml, paths) in [
        ("{a: {script: x, pages: true}}", &["public"][..]),
        ("{a: {script: x, pages: {publish: dist}}}", &["dist"]),
        (
            "{pages: {script: x, artifacts: {paths: [a]}, publish: b}}",
            &["a", "b"],
        ),
    ] {
        assert_eq!(only_job(yaml).artifacts[0].paths, paths, "{yaml}");
    }
}

#[test]
fn secrets_have_one_provider_and_what_it_needs() {
    let of = |secret: &str| errors(&format!("{{a: {{script: x, secrets: {{A: {secret}}}}}}}"));
    let providers = "vault, azure_key_vault, gcp_secret_manager, aws_secrets_manager, akeyless, \
                     gitlab_secrets_manager";
    let one = format!("jobs:a:secrets:a config must use exactly one of these keys: {providers}");
    assert_eq!(of("{token: t}"), [one.as_str()]);
    assert_eq!(of("{vault: a/b, akeyless: {name: n}}"), [one]);
    assert_eq!(of("5"), ["jobs:a:secrets:a config should be a hash"]);
    assert_eq!(
        of("{vault: {path: p, field: f}}"),
        ["jobs:a:secrets:a:vault engine can't be blank"]
    );
    assert_eq!(
        of("{azure_key_vault: {name: n, foo: x}}"),
        ["jobs:a:secrets:a:azure_key_vault config contains unknown keys: foo"]
    );
    assert_eq!(
        of("{gcp_secret_manager: {name: n, version: 2}}"),
        ["jobs:a:secrets:a token can't be blank"]
    );
    assert_eq!(of("{aws_secrets_manager: s, token: $T}"), [""; 0]);
}

#[test]
fn steps_say_one_thing_each() {
    let of = |step: &str| errors(&format!("{{a: {{run: [{step}]}}}}"));
    let one = "jobs:a:run:step config must use exactly one of these keys: script, step, action, \
               exec, run";
    assert_eq!(of("{name: s}"), [one]);
    assert_eq!(of("{name: s, script: x, step: y}"), [one]);
    assert_eq!(
        of("{name: s, step: {git: {url: u}}}"),
        [
            "jobs:a:run:step:step:git rev should be a string",
            "jobs:a:run:step:step:git rev can't be blank"
        ]
    );
    assert_eq!(
        of("{name: s, script: x, env: [a]}"),
        ["jobs:a:run:step env should be a hash of names and strings"]
    );
    assert_eq!(of("{name: s, action: a/b@c, inputs: {x: 1}}"), [""; 0]);
    assert_eq!(of("{exec: {command: [ls]}}"), [""; 0]);
}
