//! The next job and the agent that gets it.
//!
//! Pending jobs are grouped by what they ask of an agent, agents by what they
//! offer. A choice looks at groups, never at single jobs: first come jobs of the
//! project with the fewest running, then the oldest. Of the agents that fit, the
//! least sought-after get work first, and of those the emptiest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use fleet_model::{AgentName, JobId, ProjectId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Obstacle;

/// What a job asks of its agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Requirements {
    pub(crate) tags: BTreeSet<String>,
    pub(crate) protected: bool,
    /// The only agent that may run it.
    pub(crate) agent: Option<AgentName>,
}

/// What an agent offers. Fewer tags come first: who offers less is asked first,
/// so that rarer abilities stay free for the jobs that need them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capability {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) tags: BTreeSet<String>,
    pub(crate) run_untagged: bool,
    pub(crate) protected_only: bool,
    /// None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) projects: Option<BTreeSet<ProjectId>>,
}

impl Capability {
    /// What about this offer keeps a job of a project away.
    pub(crate) fn obstacle(&self, job: &Requirements, project: ProjectId) -> Option<Obstacle> {
        if !self.admits(project) {
            return Some(Obstacle::OtherProjects);
        }
        self.mismatch(job)
    }

    fn admits(&self, project: ProjectId) -> bool {
        let projects = self.projects.as_ref();
        projects.is_none_or(|projects| projects.contains(&project))
    }

    /// What keeps such a job away, of whichever project it is.
    fn mismatch(&self, job: &Requirements) -> Option<Obstacle> {
        if job.tags.is_empty() && !self.run_untagged {
            return Some(Obstacle::TakesNoUntagged);
        }
        let missing: Vec<String> = job.tags.difference(&self.tags).cloned().collect();
        if !missing.is_empty() {
            return Some(Obstacle::MissingTags(missing));
        }
        if self.protected_only && !job.protected {
            return Some(Obstacle::ProtectedOnly);
        }
        None
    }

    fn fits(&self, job: &Requirements) -> bool {
        self.mismatch(job).is_none()
    }
}

impl Ord for Capability {
    fn cmp(&self, other: &Capability) -> std::cmp::Ordering {
        let key = |c: &Capability| {
            let open = c.projects.is_none();
            (c.tags.len(), open, !c.protected_only, c.run_untagged)
        };
        key(self)
            .cmp(&key(other))
            .then_with(|| self.tags.cmp(&other.tags))
            .then_with(|| self.projects.cmp(&other.projects))
    }
}

impl PartialOrd for Capability {
    fn partial_cmp(&self, other: &Capability) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Pending jobs that ask for the same.
#[derive(Clone, Debug, Default)]
struct Class {
    /// Offers of present agents that fit, if they are for the job's project.
    served_by: BTreeSet<Capability>,
    jobs: BTreeMap<ProjectId, Waiting>,
    /// The oldest job of each project behind the number of jobs the project has
    /// running.
    heads: BTreeSet<(u32, JobId, ProjectId)>,
    /// Of each project that no present agent serves, the job that has waited longest
    /// for one, and since when.
    unserved: BTreeSet<(Timestamp, JobId, ProjectId)>,
}

/// The jobs of a class that are of one project.
#[derive(Clone, Debug, Default)]
struct Waiting {
    jobs: BTreeSet<JobId>,
    /// By how long they have been pending.
    by_wait: BTreeSet<(Timestamp, JobId)>,
    /// Since when no present agent fits; none: one does.
    unserved: Option<Timestamp>,
}

impl Waiting {
    /// The job that has waited longest without any agent that fits, and since when.
    fn longest_unserved(&self) -> Option<(Timestamp, JobId)> {
        let (since, job) = self.by_wait.first()?;
        Some((self.unserved?.max(*since), *job))
    }
}

/// Present agents that offer the same.
#[derive(Clone, Debug, Default)]
struct Group {
    /// All of them.
    agents: BTreeSet<AgentName>,
    /// Those with free slots, the most first.
    free: BTreeSet<(Reverse<u32>, AgentName)>,
}

/// Who waits for an agent and which agents wait for work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scheduler {
    classes: BTreeMap<Requirements, Class>,
    groups: BTreeMap<Capability, Group>,
    agents: BTreeMap<AgentName, (Capability, u32)>,
    /// Classes of jobs that only this agent may run.
    bound: BTreeMap<AgentName, BTreeSet<Requirements>>,
    running: BTreeMap<ProjectId, u32>,
}

impl Scheduler {
    /// Adds a job that became pending at `since`.
    pub(crate) fn add(
        &mut self,
        since: Timestamp,
        job: JobId,
        project: ProjectId,
        requirements: &Requirements,
    ) {
        if !self.classes.contains_key(requirements) {
            let class = Class {
                served_by: self.offers_for(requirements),
                ..Class::default()
            };
            self.classes.insert(requirements.clone(), class);
            if let Some(agent) = &requirements.agent {
                let bound = self.bound.entry(agent.clone()).or_default();
                bound.insert(requirements.clone());
            }
        }
        let running = self.running_of(project);
        if let Some(class) = self.classes.get_mut(requirements) {
            let served = class.serves(project);
            class.change(project, running, running, |waiting| {
                if waiting.jobs.is_empty() {
                    waiting.unserved = (!served).then_some(since);
                }
                waiting.jobs.insert(job);
                waiting.by_wait.insert((since, job));
            });
        }
    }

    /// The offers of present agents that fit.
    fn offers_for(&self, requirements: &Requirements) -> BTreeSet<Capability> {
        let fits = |offer: &&Capability| offer.fits(requirements);
        match &requirements.agent {
            Some(agent) => {
                let offer = self.agents.get(agent).map(|(capability, _)| capability);
                offer.filter(fits).cloned().into_iter().collect()
            }
            None => self.groups.keys().filter(fits).cloned().collect(),
        }
    }

    /// Takes out a job that is no longer pending.
    pub(crate) fn remove(
        &mut self,
        since: Timestamp,
        job: JobId,
        project: ProjectId,
        requirements: &Requirements,
    ) {
        let running = self.running_of(project);
        if let Some(class) = self.classes.get_mut(requirements) {
            class.change(project, running, running, |waiting| {
                waiting.jobs.remove(&job);
                waiting.by_wait.remove(&(since, job));
            });
            if class.jobs.is_empty() {
                self.classes.remove(requirements);
                if let Some(agent) = &requirements.agent
                    && let Some(bound) = self.bound.get_mut(agent)
                {
                    bound.remove(requirements);
                    if bound.is_empty() {
                        self.bound.remove(agent);
                    }
                }
            }
        }
    }

    /// Notes that a project has one more job running.
    pub(crate) fn started(&mut self, project: ProjectId) {
        self.set_running(project, self.running_of(project) + 1);
    }

    /// Notes that a project has one job less running.
    pub(crate) fn ended(&mut self, project: ProjectId) {
        self.set_running(project, self.running_of(project).saturating_sub(1));
    }

    fn running_of(&self, project: ProjectId) -> u32 {
        self.running.get(&project).copied().unwrap_or(0)
    }

    fn set_running(&mut self, project: ProjectId, running: u32) {
        let before = self.running_of(project);
        if running == 0 {
            self.running.remove(&project);
        } else {
            self.running.insert(project, running);
        }
        for class in self.classes.values_mut() {
            if class.jobs.contains_key(&project) {
                class.change(project, before, running, |_| {});
            }
        }
    }

    /// Says what an agent offers and how many of its slots are free; none: it
    /// gets no leases.
    pub(crate) fn set_agent(
        &mut self,
        now: Timestamp,
        agent: &AgentName,
        offer: Option<(Capability, u32)>,
    ) {
        if self.agents.get(agent) == offer.as_ref() {
            return;
        }
        let before = self.agents.remove(agent);
        if let Some((capability, free)) = &before
            && let Some(group) = self.groups.get_mut(capability)
        {
            group.agents.remove(agent);
            group.free.remove(&(Reverse(*free), agent.clone()));
        }
        if let Some((capability, free)) = offer {
            if !self.groups.contains_key(&capability) {
                self.serve(now, &capability);
            }
            let group = self.groups.entry(capability.clone()).or_default();
            group.agents.insert(agent.clone());
            if free > 0 {
                group.free.insert((Reverse(free), agent.clone()));
            }
            self.agents.insert(agent.clone(), (capability, free));
        }
        if let Some((capability, _)) = before {
            self.drop_if_empty(now, &capability);
        }
        for requirements in self.bound.get(agent).cloned().unwrap_or_default() {
            let offers = self.offers_for(&requirements);
            if let Some(class) = self.classes.get_mut(&requirements) {
                class.served_by = offers;
                class.look_who_is_served(now, &self.running);
            }
        }
    }

    /// The agents that are the only ones to run some pending job.
    pub(crate) fn bound_agents(&self) -> impl Iterator<Item = &AgentName> {
        self.bound.keys()
    }

    /// A pending job that only this agent may run.
    pub(crate) fn bound_to(&self, agent: &AgentName) -> Option<JobId> {
        let class = self.classes.get(self.bound.get(agent)?.first()?)?;
        class.heads.first().map(|(_, job, _)| *job)
    }

    fn serve(&mut self, now: Timestamp, capability: &Capability) {
        for (requirements, class) in &mut self.classes {
            if requirements.agent.is_none() && capability.fits(requirements) {
                class.served_by.insert(capability.clone());
                if !class.unserved.is_empty() {
                    class.look_who_is_served(now, &self.running);
                }
            }
        }
    }

    fn drop_if_empty(&mut self, now: Timestamp, capability: &Capability) {
        match self.groups.get(capability) {
            Some(group) if group.agents.is_empty() => self.groups.remove(capability),
            _ => return,
        };
        for (requirements, class) in &mut self.classes {
            if requirements.agent.is_none() && class.served_by.remove(capability) {
                class.look_who_is_served(now, &self.running);
            }
        }
    }

    /// The next job to lease and its agent, if there are both.
    pub(crate) fn next(&self) -> Option<(JobId, AgentName)> {
        self.classes
            .iter()
            .filter_map(|(requirements, class)| {
                let Some(agent) = &requirements.agent else {
                    return self.best(class);
                };
                let (offer, free) = self.agents.get(agent)?;
                let (running, job, _) = self.head(class, offer)?;
                let takes = *free > 0 && class.served_by.contains(offer);
                takes.then_some(((running, job), agent))
            })
            .min_by_key(|(order, _)| *order)
            .map(|((_, job), agent)| (job, agent.clone()))
    }

    /// The next job of a class and its agent. Of agents that the same job may go to,
    /// the first in the order of what they offer.
    fn best<'s>(&'s self, class: &Class) -> Option<((u32, JobId), &'s AgentName)> {
        let mut best: Option<((u32, JobId), &AgentName)> = None;
        for offer in &class.served_by {
            let free = self.groups.get(offer).and_then(|group| group.free.first());
            let Some(((_, agent), (running, job, _))) = free.zip(self.head(class, offer)) else {
                continue;
            };
            let order = (running, job);
            if best.is_none_or(|(before, _)| order < before) {
                best = Some((order, agent));
            }
            if offer.projects.is_none() {
                // Nobody is offered an earlier one.
                break;
            }
        }
        best
    }

    /// The first job of a class that is of a project an offer is for.
    fn head(&self, class: &Class, offer: &Capability) -> Option<(u32, JobId, ProjectId)> {
        let Some(projects) = &offer.projects else {
            return class.heads.first().copied();
        };
        let heads = projects.iter().filter_map(|project| {
            let job = class.jobs.get(project)?.jobs.first()?;
            Some((self.running_of(*project), *job, *project))
        });
        heads.min()
    }

    /// All jobs, in the order in which slots that fit them all would be given.
    pub(crate) fn order(&self) -> impl Iterator<Item = JobId> {
        let mut jobs: BTreeMap<ProjectId, BTreeSet<JobId>> = BTreeMap::new();
        for class in self.classes.values() {
            for (project, of_class) in &class.jobs {
                jobs.entry(*project).or_default().extend(&of_class.jobs);
            }
        }
        let head = |running, project, jobs: &BTreeSet<JobId>| {
            jobs.first().map(|job| (running, *job, project))
        };
        let mut heads: BTreeSet<(u32, JobId, ProjectId)> = jobs
            .iter()
            .filter_map(|(project, jobs)| head(self.running_of(*project), *project, jobs))
            .collect();
        std::iter::from_fn(move || {
            let (running, job, project) = heads.pop_first()?;
            let rest = jobs.get_mut(&project)?;
            rest.remove(&job);
            heads.extend(head(running + 1, project, rest));
            Some(job)
        })
    }

    /// How many jobs are running.
    pub(crate) fn running(&self) -> usize {
        self.running.values().map(|running| *running as usize).sum()
    }

    /// Nobody was there to be heard: no agent was missing before now.
    pub(crate) fn restart(&mut self, now: Timestamp) {
        for class in self.classes.values_mut() {
            let unserved: Vec<ProjectId> = class.unserved.iter().map(|entry| entry.2).collect();
            for project in unserved {
                let running = self.running.get(&project).copied().unwrap_or(0);
                class.change(project, running, running, |waiting| {
                    waiting.unserved = Some(now);
                });
            }
        }
    }

    /// Since when the longest-waiting job has waited without any present agent
    /// that could take it, and which job that is.
    pub(crate) fn longest_unserved(&self) -> Option<(Timestamp, JobId)> {
        self.classes
            .values()
            .filter_map(|class| class.unserved.first())
            .map(|(since, job, _)| (*since, *job))
            .min()
    }

    /// How many jobs of the project with the same requirements come before `job`.
    pub(crate) fn ahead(
        &self,
        job: JobId,
        project: ProjectId,
        requirements: &Requirements,
    ) -> usize {
        self.classes
            .get(requirements)
            .and_then(|class| class.jobs.get(&project))
            .map_or(0, |waiting| waiting.jobs.range(..job).count())
    }

    /// Since when no present agent fits; none: one does, or nobody asks.
    pub(crate) fn unserved(
        &self,
        requirements: &Requirements,
        project: ProjectId,
    ) -> Option<Timestamp> {
        let class = self.classes.get(requirements)?;
        class.jobs.get(&project)?.unserved
    }
}

impl Class {
    /// Whether a present agent takes jobs of a project.
    fn serves(&self, project: ProjectId) -> bool {
        self.served_by.iter().any(|offer| offer.admits(project))
    }

    /// Follows up on other offers.
    fn look_who_is_served(&mut self, now: Timestamp, running: &BTreeMap<ProjectId, u32>) {
        let open = self.served_by.iter().any(|offer| offer.projects.is_none());
        if open && self.unserved.is_empty() {
            return;
        }
        let changed: Vec<(ProjectId, bool)> = self
            .jobs
            .iter()
            .map(|(project, waiting)| (*project, waiting.unserved.is_none()))
            .filter(|(project, was)| (open || self.serves(*project)) != *was)
            .collect();
        for (project, was_served) in changed {
            let running = running.get(&project).copied().unwrap_or(0);
            self.change(project, running, running, |waiting| {
                waiting.unserved = was_served.then_some(now);
            });
        }
    }

    /// Changes the jobs of a project, or how many it has running; its place
    /// among the projects follows.
    fn change(
        &mut self,
        project: ProjectId,
        running_before: u32,
        running: u32,
        change: impl FnOnce(&mut Waiting),
    ) {
        let waiting = self.jobs.entry(project).or_default();
        if let Some(head) = waiting.jobs.first() {
            self.heads.remove(&(running_before, *head, project));
        }
        if let Some((since, job)) = waiting.longest_unserved() {
            self.unserved.remove(&(since, job, project));
        }
        change(waiting);
        if let Some((since, job)) = waiting.longest_unserved() {
            self.unserved.insert((since, job, project));
        }
        match waiting.jobs.first() {
            Some(head) => {
                self.heads.insert((running, *head, project));
            }
            None => {
                self.jobs.remove(&project);
            }
        }
    }
}
