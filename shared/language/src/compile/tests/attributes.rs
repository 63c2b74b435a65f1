//! What GitLab makes of a right configuration, compared with ours: both sides
//! are brought into one form.

use std::time::Duration;

use fleet_model::{AllowFailure, Artifact, Image, Service, Variable, When};
use serde_json::{Map, Value as Json, json};

use crate::{
    Node, Value,
    config::{
        Cache, CacheKey, ChildFile, Config, CrossNeed, CrossSource, Downstream, InheritVariables,
        Job, Need, Policy, Rule, RuleWhen, Trigger, TriggerStrategy,
    },
    duration,
};

/// The first attribute that differs.
pub(super) fn difference(expected: &Json, config: &Config) -> Option<String> {
    let theirs = json!({
        "stages": or(&expected["stages"], json!([".pre", "build", "test", "deploy", ".post"])),
        "variables": their_variables(&expected["variables"]),
        "name": expected["workflow_name"],
        "rules": their_rules(&expected["workflow_rules"], true),
        "auto_cancel": their_auto_cancel(&expected["auto_cancel"]),
    });
    let ours = json!({
        "stages": config.stages,
        "variables": our_variables(&config.variables),
        "name": config.workflow.name,
        "rules": config.workflow.rules.as_ref().map(|rules| our_rules(rules)),
        "auto_cancel": config.workflow.auto_cancel,
    });
    let jobs = config.jobs.iter().map(|job| {
        let expected = &expected["jobs"][&job.name];
        compare(&job.name, &theirs_of(expected, job), &ours_of(job))
    });
    std::iter::once(compare("workflow", &theirs, &ours))
        .chain(jobs)
        .flatten()
        .next()
}

fn compare(of: &str, theirs: &Json, ours: &Json) -> Option<String> {
    let keys = theirs.as_object().unwrap().keys();
    let mut differing = keys.filter(|key| theirs[*key] != ours[*key]);
    differing
        .next()
        .map(|key| format!("{of} {key}: {}, not {}", ours[key], theirs[key]))
}

fn or(value: &Json, default: Json) -> Json {
    if value.is_null() {
        default
    } else {
        value.clone()
    }
}

fn theirs_of(job: &Json, ours: &Job) -> Json {
    let options = &job["options"];
    let mut script = or(&options["before_script"], json!([]))
        .as_array()
        .unwrap()
        .clone();
    // Left out where it is that one.
    let usual = match &job["execution_config"]["run_steps"] {
        Json::Array(steps) => steps.iter().map(their_step).collect(),
        _ if ours.trigger.is_some() => json!([]),
        _ => json!(["x"]),
    };
    script.extend(
        or(&options["script"], usual)
            .as_array()
            .unwrap()
            .iter()
            .cloned(),
    );
    let criteria = &options["allow_failure_criteria"];
    let environment = &options["environment"];
    let retry = &options["retry"];
    let artifacts = &options["artifacts"];
    let archive = !artifacts["paths"].is_null() || artifacts["untracked"] == true;
    // The default and none are both left out.
    let only = match &job["only"] {
        Json::Null => ours.only.as_ref().map(our_policy).unwrap_or_default(),
        only => their_policy(only),
    };
    json!({
        "stage": or(&job["stage"], json!("test")),
        "script": script,
        "after_script": or(&options["after_script"], json!([])),
        "tags": or(&job["tag_list"], json!([])),
        "when": or(&job["when"], json!("on_success")),
        "start_in": seconds(&options["start_in"]),
        "allow_failure": or(&job["allow_failure"], json!(false)),
        "exit_codes": if criteria.is_object() {
            or(&criteria["exit_codes"], json!([]))
        } else {
            Json::Null
        },
        "variables": their_variables(&job["job_variables"]),
        "inherit": or(&job["root_variables_inheritance"], json!(true)),
        "needs": if job["scheduling_type"] == "dag" {
            their_needs(&job["needs_attributes"])
        } else {
            Json::Null
        },
        "cross_needs": list(&options["cross_dependencies"], their_cross_need),
        "trigger": if options["trigger"].is_null() {
            Json::Null
        } else {
            their_trigger(&options["trigger"])
        },
        "dependencies": options["dependencies"],
        "image": their_image(&options["image"]),
        "services": list(&options["services"], their_service),
        "archive": if archive {
            json!({
                "paths": or(&artifacts["paths"], json!([])),
                "name": artifacts["name"],
                "untracked": or(&artifacts["untracked"], json!(false)),
                "exclude": or(&artifacts["exclude"], json!([])),
                "when": or(&artifacts["when"], json!("on_success")),
                "expire_in": artifacts["expire_in"],
            })
        } else {
            Json::Null
        },
        "reports": their_reports(&artifacts["reports"]),
        "caches": list(&job["cache"], their_cache).as_array().unwrap().iter()
            .filter(|it| !it.is_null()).cloned().collect::<Json>(),
        "retry": their_retry(retry),
        "timeout": options["job_timeout"].as_f64(),
        "interruptible": or(&job["interruptible"], json!(false)),
        "resource_group": job["resource_group_key"],
        "coverage": job["coverage_regex"],
        "environment": environment.is_object().then(|| json!({
            "name": environment["name"],
            "url": environment["url"],
            "action": or(&environment["action"], json!("start")),
            "on_stop": environment["on_stop"],
            "auto_stop_in": environment["auto_stop_in"],
            "deployment_tier": environment["deployment_tier"],
        })),
        "only": only,
        "except": if job["except"].is_null() { Json::Null } else { their_policy(&job["except"]) },
        "rules": their_rules(&job["rules"], false),
        "instance": options["instance"],
        "total": options["parallel"]["total"],
        "hooks": or(&options["hooks"], json!({})),
        "manual_confirmation": options["manual_confirmation"],
    })
}

fn ours_of(job: &Job) -> Json {
    let (when, start_in) = our_when(job.when);
    let codes = match &job.allow_failure {
        Some(AllowFailure::ExitCodes(codes)) => Some(codes),
        _ => None,
    };
    let allowed = match &job.allow_failure {
        None => job.when == When::Manual,
        Some(allow) => *allow == AllowFailure::Yes,
    };
    let archive = job
        .artifacts
        .iter()
        .find(|artifact| artifact.kind == "archive");
    let reports = job
        .artifacts
        .iter()
        .filter(|artifact| artifact.kind != "archive");
    json!({
        "stage": job.stage,
        "script": job.script,
        "after_script": job.after_script,
        "tags": job.tags,
        "when": when,
        "start_in": start_in,
        "allow_failure": allowed,
        "exit_codes": codes,
        "variables": our_variables(&job.variables),
        "inherit": match &job.inherit_variables {
            InheritVariables::All => json!(true),
            InheritVariables::Nothing => json!(false),
            InheritVariables::Only(names) => json!(names),
        },
        "needs": job.needs.as_ref().map(|needs| our_needs(needs)),
        "cross_needs": job.cross_needs.iter().map(our_cross_need).collect::<Json>(),
        "trigger": job.trigger.as_ref().map(our_trigger),
        "dependencies": job.dependencies,
        "image": job.image.as_ref().map(our_image),
        "services": job.services.iter().map(our_service).collect::<Json>(),
        "archive": archive.map(our_archive),
        "reports": reports.map(|it| (it.kind.clone(), json!(it.paths))).collect::<Map<_, _>>(),
        "caches": job.caches.iter().map(our_cache).collect::<Json>(),
        "retry": {
            "max": job.retry.max,
            "when": job.retry.when,
            "exit_codes": job.retry.exit_codes,
        },
        "timeout": job.timeout.map(|timeout| timeout.as_secs_f64()),
        "interruptible": job.interruptible,
        "resource_group": job.resource_group,
        "coverage": job.coverage,
        "environment": job.environment.as_ref().map(|it| json!({
            "name": it.name,
            "url": it.url,
            "action": it.action,
            "on_stop": it.on_stop,
            "auto_stop_in": it.auto_stop_in,
            "deployment_tier": it.deployment_tier,
        })),
        "only": job.only.as_ref().map(our_policy),
        "except": job.except.as_ref().map(our_policy),
        "rules": job.rules.as_ref().map(|rules| our_rules(rules)),
        "instance": job.parallel.as_ref().map(|it| it.index),
        "total": job.parallel.as_ref().map(|it| it.total),
        "hooks": job.hooks.iter().map(|it| (it.name.clone(), json!(it.script)))
            .collect::<Map<_, _>>(),
        "manual_confirmation": job.manual_confirmation,
    })
}

fn list(value: &Json, each: fn(&Json) -> Json) -> Json {
    value.as_array().into_iter().flatten().map(each).collect()
}

fn number(value: &Json) -> Json {
    match value {
        Json::Null => json!(0),
        Json::String(text) => json!(text.parse::<u32>().unwrap()),
        number => number.clone(),
    }
}

fn their_retry(retry: &Json) -> Json {
    if retry.is_null() {
        return json!({"max": 0, "when": [], "exit_codes": []});
    }
    let when = if retry["exit_codes"].is_null() {
        json!(["always"])
    } else {
        json!([])
    };
    json!({
        "max": number(&retry["max"]),
        "when": or(&retry["when"], when),
        "exit_codes": or(&retry["exit_codes"], json!([])),
    })
}

fn seconds(text: &Json) -> Json {
    json!(text.as_str().map(|text| duration::parse(text).unwrap()))
}

fn our_when(when: When) -> (&'static str, Json) {
    let delay = |it: Duration| json!(it.as_secs_f64());
    match when {
        When::OnSuccess => ("on_success", Json::Null),
        When::OnFailure => ("on_failure", Json::Null),
        When::Always => ("always", Json::Null),
        When::Manual => ("manual", Json::Null),
        When::Delayed(after) => ("delayed", delay(after)),
    }
}

fn their_variables(variables: &Json) -> Json {
    list(variables, |it| {
        json!([it["key"], it["value"], it["raw"] == true])
    })
}

fn our_variables(variables: &[Variable]) -> Json {
    variables
        .iter()
        .map(|it| json!([it.key, it.value, it.raw]))
        .collect()
}

fn their_needs(needs: &Json) -> Json {
    list(needs, |it| {
        json!([it["name"], it["artifacts"], it["optional"]])
    })
}

fn our_needs(needs: &[Need]) -> Json {
    needs
        .iter()
        .map(|it| json!([it.job, it.artifacts, it.optional]))
        .collect()
}

/// A step as the command that carries it out here.
fn their_step(step: &Json) -> Json {
    let name = step["name"].as_str().unwrap();
    match step["script"].as_str() {
        Some(script) => json!(format!("( # {name}\n{script}\n)")),
        None => json!(format!(
            "( echo 'ERROR: the step `{name}` of `run` is no script, and nothing here runs other \
             steps' >&2; exit 1 )"
        )),
    }
}

fn their_cross_need(need: &Json) -> Json {
    json!({
        "pipeline": need["pipeline"],
        "job": need["job"],
        "artifacts": need["artifacts"],
        "optional": need["optional"] == true,
    })
}

fn our_cross_need(need: &CrossNeed) -> Json {
    let CrossSource::Pipeline(pipeline) = &need.source else {
        panic!("GitLab's free edition knows no others: {need:?}");
    };
    json!({
        "pipeline": pipeline,
        "job": need.job,
        "artifacts": need.artifacts,
        "optional": need.optional,
    })
}

fn their_trigger(trigger: &Json) -> Json {
    let forward = &trigger["forward"];
    let include = match &trigger["include"] {
        Json::Null => json!([]),
        Json::Array(all) => json!(all),
        one => json!([one]),
    };
    json!({
        "project": trigger["project"],
        "branch": trigger["branch"],
        "inputs": or(&trigger["inputs"], json!({})),
        "include": include,
        "strategy": trigger["strategy"],
        "yaml_variables": or(&forward["yaml_variables"], json!(true)),
        "pipeline_variables": or(&forward["pipeline_variables"], json!(false)),
    })
}

fn our_trigger(trigger: &Trigger) -> Json {
    let json = |node: &Node| node.to_json();
    let inputs_json = |map: &crate::Map| {
        json(&Node {
            span: trigger.span,
            value: Value::Map(map.clone()),
        })
    };
    let (project, branch, inputs, include) = match &trigger.downstream {
        Downstream::Project {
            project,
            branch,
            inputs,
        } => (
            Some(project),
            branch.as_ref(),
            inputs_json(inputs),
            json!([]),
        ),
        Downstream::Child(files) => {
            let file = |file: &ChildFile| match file {
                ChildFile::Include(node) => json(node),
                ChildFile::Artifact { path, job, .. } => json!({"artifact": path, "job": job}),
            };
            let include = files.iter().map(file).collect();
            (None, None, json!({}), include)
        }
    };
    json!({
        "project": project,
        "branch": branch,
        "inputs": inputs,
        "include": include,
        "strategy": trigger.strategy.map(|strategy| match strategy {
            TriggerStrategy::Depend => "depend",
            TriggerStrategy::Mirror => "mirror",
        }),
        "yaml_variables": trigger.forward.yaml_variables,
        "pipeline_variables": trigger.forward.pipeline_variables,
    })
}

fn their_image(image: &Json) -> Json {
    if image.is_null() {
        return Json::Null;
    }
    let docker = &image["executor_opts"]["docker"];
    json!({
        "name": image["name"],
        "entrypoint": image["entrypoint"],
        "pull_policy": or(&image["pull_policy"], json!([])),
        "platform": docker["platform"],
        "user": docker["user"],
    })
}

fn our_image(image: &Image) -> Json {
    json!({
        "name": image.name,
        "entrypoint": image.entrypoint,
        "pull_policy": image.pull_policy,
        "platform": image.platform,
        "user": image.user,
    })
}

fn their_service(service: &Json) -> Json {
    json!({
        "image": their_image(service),
        "alias": service["alias"],
        "command": service["command"],
        "variables": or(&service["variables"], json!({})),
    })
}

fn our_service(service: &Service) -> Json {
    let variables = service
        .variables
        .iter()
        .map(|it| (it.key.clone(), json!(it.value)));
    json!({
        "image": our_image(&service.image),
        "alias": service.alias,
        "command": service.command,
        "variables": variables.collect::<Map<_, _>>(),
    })
}

fn our_archive(archive: &Artifact) -> Json {
    json!({
        "paths": archive.paths,
        "name": archive.name,
        "untracked": archive.untracked,
        "exclude": archive.exclude,
        "when": archive.when,
        "expire_in": archive.expire_in,
    })
}

fn their_reports(reports: &Json) -> Json {
    let mut all = Map::new();
    for (kind, paths) in reports.as_object().into_iter().flatten() {
        match kind.as_str() {
            "coverage_report" => {
                let format = paths["coverage_format"].as_str().unwrap();
                all.insert(format.to_owned(), json!([paths["path"]]));
            }
            kind => {
                all.insert(kind.to_owned(), paths.clone());
            }
        }
    }
    Json::Object(all)
}

fn their_cache(cache: &Json) -> Json {
    if cache.is_null() {
        return Json::Null;
    }
    json!({
        "key": match &cache["key"] {
            Json::Object(files) => {
                let commits = files.get("files_commits");
                let paths = files.get("files").or(commits);
                json!([paths, commits.is_some(), files.get("prefix")])
            }
            key => key.clone(),
        },
        "paths": or(&cache["paths"], json!([])),
        "untracked": or(&cache["untracked"], json!(false)),
        "unprotect": cache["unprotect"],
        "policy": if cache["policy"] == "" { json!("pull-push") } else { cache["policy"].clone() },
        "when": cache["when"],
        "fallback_keys": cache["fallback_keys"],
    })
}

fn our_cache(cache: &Cache) -> Json {
    json!({
        "key": match &cache.key {
            CacheKey::Text(key) => json!(key),
            CacheKey::Files {
                files,
                by_commit,
                prefix,
            } => json!([files, by_commit, prefix]),
        },
        "paths": cache.paths,
        "untracked": cache.untracked,
        "unprotect": cache.unprotect,
        "policy": cache.policy,
        "when": cache.when,
        "fallback_keys": cache.fallback_keys,
    })
}

fn their_policy(policy: &Json) -> Json {
    json!({
        "refs": policy["refs"],
        "variables": policy["variables"],
        "changes": policy["changes"],
        "kubernetes": policy["kubernetes"] == "active",
    })
}

fn our_policy(policy: &Policy) -> Json {
    let variables = policy.variables.as_ref();
    json!({
        "refs": policy.refs,
        "variables": variables.map(|all| all.iter().map(|it| json!(it.text())).collect::<Json>()),
        "changes": policy.changes,
        "kubernetes": policy.kubernetes,
    })
}

fn their_rules(rules: &Json, of_workflow: bool) -> Json {
    if rules.is_null() {
        return Json::Null;
    }
    let rule = |rule: &Json| {
        json!({
            "if": rule["if"],
            "changes": rule["changes"]["paths"],
            "exists": rule["exists"]["paths"],
            "when": rule["when"],
            "start_in": seconds(&rule["start_in"]),
            "allow_failure": rule["allow_failure"],
            "interruptible": rule["interruptible"],
            "variables": or(&rule["variables"], json!({})),
            "needs": if of_workflow || rule["needs"].is_null() {
                Json::Null
            } else {
                their_needs(&rule["needs"]["job"])
            },
            "auto_cancel": if rule["auto_cancel"].is_null() {
                Json::Null
            } else {
                their_auto_cancel(&rule["auto_cancel"])
            },
        })
    };
    rules.as_array().unwrap().iter().map(rule).collect()
}

fn their_auto_cancel(written: &Json) -> Json {
    json!({
        "on_job_failure": or(&written["on_job_failure"], json!("none")),
        "on_new_commit": or(&written["on_new_commit"], json!("conservative")),
    })
}

fn our_rules(rules: &[Rule]) -> Json {
    let rule = |rule: &Rule| {
        let when = rule.when.map(|when| match when {
            RuleWhen::Never => ("never", Json::Null),
            RuleWhen::Run(when) => our_when(when),
        });
        let (when, start_in) = when.unzip();
        let variables = rule
            .variables
            .iter()
            .map(|it| (it.key.clone(), json!(it.value)));
        json!({
            "if": rule.condition.as_ref().map(|it| it.text().to_owned()),
            "changes": rule.changes.as_ref().map(|it| &it.paths),
            "exists": rule.exists.as_ref().map(|it| &it.paths),
            "when": when,
            "start_in": start_in,
            "allow_failure": rule.allow_failure,
            "interruptible": rule.interruptible,
            "variables": variables.collect::<Map<_, _>>(),
            "needs": rule.needs.as_ref().map(|needs| our_needs(needs)),
            "auto_cancel": rule.auto_cancel,
        })
    };
    rules.iter().map(rule).collect()
}
