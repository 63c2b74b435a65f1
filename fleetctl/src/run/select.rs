//! Which jobs of a plan a local run takes.
//!
//! Without names: all but those that deploy (`environment`) or wait for a person
//! (`when: manual`), and those that need one of these. With names: these jobs,
//! and what they need: their `needs`, or the earlier jobs whose artifacts they
//! get. Other jobs of earlier stages, which a job without `needs` would wait for
//! on a server, give it nothing and are not run.

use std::collections::{BTreeMap, BTreeSet};

use fleet_language::suggest;
use fleet_model::{AllowFailure, Downstream, Plan, PlannedJob, Scheduling, Trigger, When};

/// What a person asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// These jobs; none: all.
    pub(crate) names: Vec<String>,
    /// The jobs of this stage.
    pub(crate) stage: Option<String>,
    /// Whether what they need is left out.
    pub(crate) alone: bool,
    /// Whether jobs that deploy or wait for a person are taken too.
    pub(crate) deploy: bool,
}

/// What is run of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// The jobs that are run, in the order of the plan.
    pub(crate) plan: Plan,
    /// The names of the jobs that were not asked for in other words but are left
    /// out, with the reason.
    pub(crate) left_out: Vec<(String, String)>,
    /// What else people should know.
    pub(crate) notes: Vec<String>,
}

/// Takes what is asked for out of a plan.
///
/// # Errors
/// A text for people where a job or stage does not exist.
pub(crate) fn select(plan: &Plan, wish: &Wish) -> Result<Selection, String> {
    let mut named = BTreeSet::new();
    for name in &wish.names {
        named.extend(find(plan, name)?);
    }
    let mut picked = Picked {
        plan,
        wish,
        named,
        taken: BTreeSet::new(),
        left_out: BTreeMap::new(),
    };
    if !picked.named.is_empty() {
        picked.taken.clone_from(&picked.named);
    } else {
        picked.take_unnamed(stage(plan, wish)?);
    }
    let is_part = !picked.named.is_empty() || wish.stage.is_some();
    if is_part && !wish.alone {
        picked.take_needed();
    }
    Ok(picked.selection())
}

struct Picked<'a> {
    plan: &'a Plan,
    wish: &'a Wish,
    named: BTreeSet<usize>,
    taken: BTreeSet<usize>,
    left_out: BTreeMap<usize, String>,
}

impl Picked<'_> {
    /// Takes all jobs, or those of one stage, that a local run takes by itself.
    fn take_unnamed(&mut self, stage: Option<usize>) {
        for (index, job) in self.plan.jobs.iter().enumerate() {
            if stage.is_some_and(|stage| stage != job.stage) {
                continue;
            }
            match self.guard(index) {
                None => {
                    self.taken.insert(index);
                }
                Some(why) => {
                    self.left_out.insert(index, why);
                }
            }
        }
        if stage.is_some() {
            return;
        }
        // What needs a job that is left out cannot do its work. Needs point
        // backwards only within the graph, not in the list: until nothing changes.
        loop {
            let orphan = self.taken.iter().find_map(|&index| {
                let Scheduling::Dag(needs) = &self.plan.jobs[index].scheduling else {
                    return None;
                };
                let missing = needs.iter().find(|need| self.left_out.contains_key(need))?;
                Some((index, format!("needs {}", self.plan.jobs[*missing].name)))
            });
            let Some((index, why)) = orphan else { break };
            self.taken.remove(&index);
            self.left_out.insert(index, why);
        }
    }

    /// Takes what the taken jobs need, and what that needs.
    fn take_needed(&mut self) {
        let mut open: Vec<usize> = self.taken.iter().copied().collect();
        while let Some(index) = open.pop() {
            for need in needed(self.plan, &self.plan.jobs[index]) {
                if self.taken.contains(&need) {
                    continue;
                }
                match self.guard(need) {
                    None => {
                        self.taken.insert(need);
                        open.push(need);
                    }
                    Some(why) => {
                        let name = &self.plan.jobs[index].name;
                        self.left_out
                            .insert(need, format!("{why}, though {name} needs it"));
                    }
                }
            }
        }
    }

    /// Why a job is not run unless somebody names it.
    fn guard(&self, index: usize) -> Option<String> {
        let trigger = self.plan.jobs[index].trigger.as_ref();
        let elsewhere = trigger.and_then(|trigger| match &trigger.downstream {
            Downstream::Project { path, .. } => Some(format!("starts a pipeline of {path}")),
            Downstream::Newest { path } => Some(format!("has the status of a pipeline of {path}")),
            Downstream::Child { .. } => None,
        });
        if let Some(elsewhere) = elsewhere
            && !self.named.contains(&index)
        {
            return Some(format!("{elsewhere}, which is not here"));
        }
        if self.wish.deploy || self.named.contains(&index) {
            return None;
        }
        let job = &self.plan.jobs[index];
        match &job.environment {
            Some(environment) => Some(format!("deploys to {}", environment.name)),
            None => (job.when == When::Manual).then(|| "manual".to_owned()),
        }
    }

    fn selection(self) -> Selection {
        let mut notes = Vec::new();
        let places: BTreeMap<usize, usize> = self.taken.iter().copied().zip(0..).collect();
        let remap = |indexes: &[usize]| -> Vec<usize> {
            indexes
                .iter()
                .filter_map(|index| places.get(index).copied())
                .collect()
        };
        let stages: BTreeSet<usize> = self
            .taken
            .iter()
            .map(|&index| self.plan.jobs[index].stage)
            .collect();
        let stage_places: BTreeMap<usize, usize> = stages.iter().copied().zip(0..).collect();
        let mut jobs = Vec::new();
        for &index in &self.taken {
            let mut job = self.plan.jobs[index].clone();
            job.stage = stage_places[&job.stage];
            job.artifacts_from = remap(&job.artifacts_from);
            job.pinned_to = job.pinned_to.and_then(|to| places.get(&to).copied());
            if let Scheduling::Dag(needs) = &job.scheduling {
                job.scheduling = Scheduling::Dag(remap(needs));
            }
            let is_named = self.named.contains(&index);
            if job.when == When::Manual && job.allow_failure == AllowFailure::Yes {
                // GitLab lets an optional manual job fail for the sake of those who did
                // not ask for it; here somebody did.
                job.allow_failure = AllowFailure::No;
            }
            job.when = match job.when {
                // Who names a job, or asks for all of them, is the person it waits for.
                When::Manual => When::OnSuccess,
                When::Delayed(_) if is_named => When::OnSuccess,
                When::OnFailure if is_named => When::Always,
                When::Delayed(delay) => {
                    let delay = crate::view::duration(delay);
                    notes.push(format!(
                        "{} starts after {delay}; name it to start it at once",
                        job.name
                    ));
                    job.when
                }
                other => other,
            };
            jobs.push(job);
        }
        let plan = Plan {
            name: self.plan.name.clone(),
            stages: stages
                .into_iter()
                .map(|stage| self.plan.stages[stage].clone())
                .collect(),
            jobs,
            auto_cancel: self.plan.auto_cancel,
            predefined: self.plan.predefined.clone(),
            user: self.plan.user.clone(),
        };
        let left_out = self
            .left_out
            .into_iter()
            .filter(|(index, _)| !self.taken.contains(index))
            .map(|(index, why)| (self.plan.jobs[index].name.clone(), why))
            .collect();
        Selection {
            plan,
            left_out,
            notes,
        }
    }
}

/// Jobs without which a job lacks something.
fn needed(plan: &Plan, job: &PlannedJob) -> Vec<usize> {
    let mut needed = job.artifacts_from.clone();
    if let Scheduling::Dag(needs) = &job.scheduling {
        needed.extend(needs);
    }
    if let Some(Trigger {
        downstream: Downstream::Child { artifacts, .. },
        ..
    }) = &job.trigger
    {
        let makes = |name: &str| plan.jobs.iter().position(|job| job.name == name);
        needed.extend(artifacts.iter().filter_map(|file| makes(&file.job)));
    }
    needed
}

/// The jobs of a name; all instances where it is the name of a parallel job.
fn find(plan: &Plan, name: &str) -> Result<Vec<usize>, String> {
    if let Some(index) = plan.jobs.iter().position(|job| job.name == name) {
        return Ok(vec![index]);
    }
    let instances: Vec<usize> = (0..plan.jobs.len())
        .filter(|&index| group(&plan.jobs[index].name) == Some(name))
        .collect();
    if !instances.is_empty() {
        return Ok(instances);
    }
    let names = plan
        .jobs
        .iter()
        .flat_map(|job| [Some(job.name.as_str()), group(&job.name)]);
    Err(unknown("job", name, names.flatten()))
}

/// What a parallel job's instance is one of: `test 1/3`, `test: [a, b]`.
fn group(name: &str) -> Option<&str> {
    if let Some((group, values)) = name.split_once(": [")
        && values.ends_with(']')
    {
        return Some(group);
    }
    let (group, place) = name.rsplit_once(' ')?;
    let (index, total) = place.split_once('/')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(index) && is_number(total)).then_some(group)
}

fn stage(plan: &Plan, wish: &Wish) -> Result<Option<usize>, String> {
    let Some(name) = &wish.stage else {
        return Ok(None);
    };
    match plan.stages.iter().position(|stage| stage == name) {
        Some(index) => Ok(Some(index)),
        None => Err(unknown(
            "stage",
            name,
            plan.stages.iter().map(String::as_str),
        )),
    }
}

fn unknown<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: BTreeSet<&str> = names.collect();
    let hint = match suggest::nearest(name, names.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "`fleetctl run --list` lists what there is".to_owned(),
    };
    format!("this pipeline has no {what} `{name}`; {hint}")
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use fleet_model::{AutoCancel, Environment, EnvironmentAction, Retry};

    use super::*;

    /// A plan in short: `name stage [needs…] [@manual|@env|@delayed|@on_failure] [<giver…]`.
    fn plan(lines: &[&str]) -> Plan {
        let mut plan = Plan {
            name: None,
            stages: Vec::new(),
            jobs: Vec::new(),
            auto_cancel: AutoCancel::default(),
            predefined: Vec::new(),
            user: Vec::new(),
        };
        for line in lines {
            let mut words = line.split(',').map(str::trim);
            let (name, stage) = (words.next().unwrap().to_owned(), words.next().unwrap());
            let at = plan.stages.iter().position(|known| known == stage);
            let stage = at.unwrap_or_else(|| {
                plan.stages.push(stage.to_owned());
                plan.stages.len() - 1
            });
            let mut job = job(name, stage);
            let index = |name: &str| {
                plan.jobs
                    .iter()
                    .position(|job: &PlannedJob| job.name == name)
                    .unwrap()
            };
            for word in words {
                match word {
                    "@manual" => {
                        job.when = When::Manual;
                        job.allow_failure = AllowFailure::Yes;
                    }
                    "@delayed" => job.when = When::Delayed(Duration::from_secs(60)),
                    "@on_failure" => job.when = When::OnFailure,
                    "@env" => job.environment = Some(environment()),
                    "@dag" => job.scheduling = Scheduling::Dag(Vec::new()),
                    _ => match word.strip_prefix('<') {
                        Some(giver) => job.artifacts_from.push(index(giver)),
                        None => match &mut job.scheduling {
                            Scheduling::Dag(needs) => needs.push(index(word)),
                            Scheduling::Stage => {
                                job.scheduling = Scheduling::Dag(vec![index(word)])
                            }
                        },
                    },
                }
            }
            plan.jobs.push(job);
        }
        plan
    }

    pub(crate) fn job(name: String, stage: usize) -> PlannedJob {
        PlannedJob {
            name,
            stage,
            scheduling: Scheduling::Stage,
            artifacts_from: Vec::new(),
            when: When::OnSuccess,
            allow_failure: AllowFailure::No,
            retry: Retry::default(),
            timeout: None,
            tags: Vec::new(),
            interruptible: false,
            resource_group: None,
            environment: None,
            coverage: None,
            manual_confirmation: None,
            variables: Vec::new(),
            image: None,
            services: Vec::new(),
            script: Vec::new(),
            pinned_to: None,
            after_script: Vec::new(),
            artifacts: Vec::new(),
            caches: Vec::new(),
            hooks: Vec::new(),
            cross_needs: Vec::new(),
            trigger: None,
            overriding: Vec::new(),
        }
    }

    fn environment() -> Environment {
        Environment {
            name: "prod".into(),
            slug: "prod".into(),
            url: None,
            action: EnvironmentAction::Start,
            on_stop: None,
            auto_stop_in: None,
            deployment_tier: "production".into(),
        }
    }

    fn taken(selection: &Selection) -> Vec<&str> {
        selection
            .plan
            .jobs
            .iter()
            .map(|job| job.name.as_str())
            .collect()
    }

    fn by_name(names: &[&str]) -> Wish {
        Wish {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Wish::default()
        }
    }

    const SHOP: [&str; 7] = [
        "build, build",
        "lint, build",
        "unit, test, <build",
        "approve, test, @manual",
        "deploy, ship, @env, <build",
        "check, ship, deploy",
        "late, ship, @delayed",
    ];

    #[test]
    fn unnamed_deployments_manual_jobs_and_what_needs_them_stay_out() {
        let selection = select(&plan(&SHOP), &Wish::default()).unwrap();
        assert_eq!(taken(&selection), ["build", "lint", "unit", "late"]);
        let left_out: Vec<String> = selection
            .left_out
            .iter()
            .map(|(name, why)| format!("{name}: {why}"))
            .collect();
        assert_eq!(
            left_out,
            [
                "approve: manual",
                "deploy: deploys to prod",
                "check: needs deploy"
            ]
        );
        assert_eq!(
            selection.notes,
            ["late starts after 1m00s; name it to start it at once"]
        );
        assert_eq!(selection.plan.stages, ["build", "test", "ship"]);
        assert_eq!(selection.plan.jobs[3].stage, 2);
    }

    #[test]
    fn deploy_takes_them_all_and_starts_them() {
        let wish = Wish {
            deploy: true,
            ..Wish::default()
        };
        let selection = select(&plan(&SHOP), &wish).unwrap();
        assert_eq!(selection.plan.jobs.len(), SHOP.len());
        assert!(
            selection
                .plan
                .jobs
                .iter()
                .all(|job| job.when != When::Manual)
        );
        assert!(selection.left_out.is_empty());
    }

    #[test]
    fn named_job_brings_what_it_needs_and_nothing_else() {
        let plan = plan(&SHOP);
        assert_eq!(
            taken(&select(&plan, &by_name(&["unit"])).unwrap()),
            ["build", "unit"]
        );
        let deploy = select(&plan, &by_name(&["deploy"])).unwrap();
        assert_eq!(taken(&deploy), ["build", "deploy"]);
        assert_eq!(deploy.plan.stages, ["build", "ship"]);
        assert_eq!(
            (
                deploy.plan.jobs[1].stage,
                &deploy.plan.jobs[1].artifacts_from
            ),
            (1, &vec![0])
        );
        let check = select(&plan, &by_name(&["check", "deploy"])).unwrap();
        assert_eq!(taken(&check), ["build", "deploy", "check"]);
        assert_eq!(check.plan.jobs[2].scheduling, Scheduling::Dag(vec![1]));
    }

    #[test]
    fn deployment_is_not_started_because_a_named_job_needs_it() {
        let selection = select(&plan(&SHOP), &by_name(&["check"])).unwrap();
        assert_eq!(taken(&selection), ["check"]);
        assert_eq!(
            selection.plan.jobs[0].scheduling,
            Scheduling::Dag(Vec::new())
        );
        assert_eq!(
            selection.left_out[0].1,
            "deploys to prod, though check needs it"
        );
    }

    #[test]
    fn alone_is_alone() {
        let wish = Wish {
            alone: true,
            ..by_name(&["unit"])
        };
        let selection = select(&plan(&SHOP), &wish).unwrap();
        assert_eq!(taken(&selection), ["unit"]);
        assert!(selection.plan.jobs[0].artifacts_from.is_empty());
    }

    #[test]
    fn stage_takes_its_jobs_and_what_they_need_but_deploys_nothing() {
        let wish = Wish {
            stage: Some("test".into()),
            ..Wish::default()
        };
        let selection = select(&plan(&SHOP), &wish).unwrap();
        assert_eq!(taken(&selection), ["build", "unit"]);
        assert_eq!(
            selection.left_out,
            [("approve".to_owned(), "manual".to_owned())]
        );
    }

    #[test]
    fn who_names_a_job_wants_it_now() {
        let plan = plan(&["a, s, @manual", "b, s, @delayed", "c, s, @on_failure"]);
        let selection = select(&plan, &by_name(&["a", "b", "c"])).unwrap();
        let when: Vec<When> = selection.plan.jobs.iter().map(|job| job.when).collect();
        assert_eq!(when, [When::OnSuccess, When::OnSuccess, When::Always]);
        assert_eq!(selection.plan.jobs[0].allow_failure, AllowFailure::No);
        assert!(selection.notes.is_empty());
    }

    #[test]
    fn parallel_jobs_are_named_together_or_one_by_one() {
        let plan = plan(&[
            "unit 1/2, s",
            "unit 2/2, s",
            "os: [linux], s",
            "os: [mac], s",
        ]);
        let names = |name: &str| {
            let selection = select(&plan, &by_name(&[name])).unwrap();
            selection
                .plan
                .jobs
                .into_iter()
                .map(|job| job.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("unit"), ["unit 1/2", "unit 2/2"]);
        assert_eq!(names("os"), ["os: [linux]", "os: [mac]"]);
        assert_eq!(names("unit 2/2"), ["unit 2/2"]);
    }

    #[test]
    fn unknown_names_get_a_suggestion() {
        let plan = plan(&SHOP);
        let error = select(&plan, &by_name(&["biuld"])).unwrap_err();
        assert_eq!(
            error,
            "this pipeline has no job `biuld`; did you mean `build`?"
        );
        let wish = Wish {
            stage: Some("tset".into()),
            ..Wish::default()
        };
        assert!(
            select(&plan, &wish)
                .unwrap_err()
                .contains("did you mean `test`?")
        );
        let error = select(&plan, &by_name(&["something else"])).unwrap_err();
        assert!(
            error.ends_with("`fleetctl run --list` lists what there is"),
            "{error}"
        );
    }
}
