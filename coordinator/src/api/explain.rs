//! Why a job is where it is, in words.

use std::collections::BTreeMap;

use fleet_model::{AgentName, FailureReason, JobId, JobState};
use fleet_proto::v1;
use fleet_queue::{AgentStatus, Explanation, Obstacle, Why};

/// Says in words what the queue says of a job; `name` names other jobs.
pub(super) fn explain(
    explanation: Explanation,
    name: impl Fn(JobId) -> Option<String>,
) -> v1::Explanation {
    let Explanation {
        job,
        state,
        waited,
        why,
    } = explanation;
    let said = say(job, why, &name);
    v1::Explanation {
        job: job.0,
        status: state.to_string(),
        waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        why: said.why,
        details: said.details,
        remedies: said.remedies,
        until: said.until,
    }
}

#[derive(Default)]
struct Said {
    why: String,
    details: Vec<String>,
    remedies: Vec<String>,
    until: u64,
}

fn say(job: JobId, why: Why, name: &dyn Fn(JobId) -> Option<String>) -> Said {
    let list = |jobs: Vec<(JobId, JobState)>| -> Vec<String> {
        jobs.into_iter()
            .map(|(id, state)| match name(id) {
                Some(name) => format!("job {id} ({name}) is {state}"),
                None => format!("job {id} is {state}"),
            })
            .collect()
    };
    let is_lost = |reason: &FailureReason| *reason == FailureReason::HOST_COUPLING_LOST;
    let lost = matches!(&why, Why::Ended { reason: Some(reason) } if is_lost(reason));
    match why {
        Why::Needs { jobs } => Said {
            why: format!("waits for {} it needs", count(jobs.len(), "job")),
            details: list(jobs),
            ..Said::default()
        },
        Why::EarlierStages { jobs } => Said {
            why: format!("waits for {} of earlier stages", count(jobs.len(), "job")),
            details: list(jobs),
            ..Said::default()
        },
        Why::Skipped { previous, jobs } => Said {
            why: format!("was skipped: what it waits for ended as {previous}"),
            details: list(jobs),
            ..Said::default()
        },
        Why::Resource {
            group,
            holder,
            ahead,
        } => Said {
            why: match holder {
                Some(holder) => {
                    format!("waits for resource group {group:?}, which job {holder} has")
                }
                None => format!("waits for resource group {group:?}"),
            },
            details: match ahead {
                0 => Vec::new(),
                ahead => vec![format!("{} come first", count(ahead, "job"))],
            },
            ..Said::default()
        },
        Why::Person => Said {
            why: "waits for a person to start it".to_owned(),
            remedies: vec![format!("fleetctl job play {job}")],
            ..Said::default()
        },
        Why::Admission => Said {
            why: "it is being decided whether it may start".to_owned(),
            ..Said::default()
        },
        Why::Downstream { pipeline: None } => Said {
            why: "its pipeline is being created".to_owned(),
            ..Said::default()
        },
        Why::Downstream {
            pipeline: Some(pipeline),
        } => Said {
            why: format!("waits for the end of pipeline {pipeline}"),
            remedies: vec![format!("fleetctl pipeline show {pipeline}")],
            ..Said::default()
        },
        Why::Delay { until } => Said {
            why: "waits for its time".to_owned(),
            remedies: vec![format!("fleetctl job play {job}")],
            until: until.0,
            ..Said::default()
        },
        Why::Slot {
            ahead,
            agents,
            bound: Some((holder, agent)),
            gives_up,
        } => Said {
            until: gives_up.0,
            ..bound(ahead, &agents, &agent, holder, name(holder))
        },
        Why::Slot {
            ahead,
            agents,
            bound: None,
            gives_up,
        } => Said {
            until: gives_up.0,
            ..slot(ahead, agents)
        },
        Why::Leased {
            agent,
            status,
            lost,
            started,
        } => leased(&agent, status, lost.0, started),
        Why::LastAttempt {
            agent,
            status,
            lost,
        } => last_attempt(&agent, status, lost.0),
        Why::Ended { reason } => Said {
            why: match &reason {
                Some(reason) => format!("has ended: {reason}"),
                None => "has ended".to_owned(),
            },
            details: if lost {
                vec![LOST.to_owned()]
            } else {
                Vec::new()
            },
            remedies: vec![format!("fleetctl job log {job}")],
            ..Said::default()
        },
    }
}

/// What became of a job whose agent is gone, and what to do.
pub(super) const LOST: &str = "the job counts on an image that only the Docker engine of one agent had, and that agent is \
     gone: push the image in the job that builds it and pull it in this one; or retry the job that \
     builds it, then this one";

fn slot(ahead: usize, agents: Vec<(AgentName, Obstacle)>) -> Said {
    if agents.is_empty() {
        return match ahead {
            0 => Said {
                why: "waits for an agent: none has joined the fleet".to_owned(),
                remedies: vec!["fleetctl agent join-token".to_owned()],
                ..Said::default()
            },
            ahead => Said {
                why: format!("is next after {}", count(ahead, "job")),
                ..Said::default()
            },
        };
    }
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut details = Vec::new();
    let mut remedies = Vec::new();
    for (agent, obstacle) in &agents {
        let reason = obstacle_in_words(obstacle);
        details.push(format!("agent {agent}: {reason}"));
        *reasons.entry(reason).or_default() += 1;
        let remedy = match obstacle {
            Obstacle::Draining => format!("fleetctl agent resume {agent}"),
            _ => format!("fleetctl agent show {agent}"),
        };
        if remedies.is_empty() {
            remedies.push(remedy);
        }
    }
    let reasons: Vec<String> = reasons
        .into_iter()
        .map(|(reason, agents)| format!("{agents} {reason}"))
        .collect();
    let before = match ahead {
        0 => String::new(),
        ahead => format!(", after {}", count(ahead, "other job")),
    };
    Said {
        why: format!(
            "waits for a slot{before}: none of {} can take it now ({})",
            count(agents.len(), "agent"),
            reasons.join(", ")
        ),
        details,
        remedies,
        until: 0,
    }
}

/// Only one agent has what the job needs.
fn bound(
    ahead: usize,
    agents: &[(AgentName, Obstacle)],
    agent: &AgentName,
    holder: JobId,
    name: Option<String>,
) -> Said {
    let holder = match name {
        Some(name) => format!("job {holder} ({name})"),
        None => format!("job {holder}"),
    };
    let obstacle = agents.iter().find(|(name, _)| name == agent);
    let state = match obstacle {
        Some((_, obstacle)) => format!(", which is {}", obstacle_in_words(obstacle)),
        None => String::new(),
    };
    let before = match ahead {
        0 => String::new(),
        ahead => format!(", after {}", count(ahead, "other job")),
    };
    let remedy = match obstacle {
        Some((_, Obstacle::Draining)) => format!("fleetctl agent resume {agent}"),
        _ => format!("fleetctl agent show {agent}"),
    };
    Said {
        why: format!(
            "waits for agent {agent}{state}{before}: its Docker engine has an image of {holder} \
             that was not pushed"
        ),
        details: vec![
            "to let it run anywhere, push the image in that job and pull it in this one".to_owned(),
        ],
        remedies: vec![remedy],
        until: 0,
    }
}

fn obstacle_in_words(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::MissingTags(tags) => format!("without tag {}", tags.join(", ")),
        Obstacle::TakesNoUntagged => "takes only jobs with tags".to_owned(),
        Obstacle::ProtectedOnly => "takes only jobs of protected refs".to_owned(),
        Obstacle::OtherProjects => "takes only jobs of other projects".to_owned(),
        Obstacle::OtherHost => "without the image of an earlier job".to_owned(),
        Obstacle::Offline => "offline".to_owned(),
        Obstacle::Lost => "lost".to_owned(),
        Obstacle::Draining => "draining".to_owned(),
        Obstacle::Revoked => "revoked".to_owned(),
        Obstacle::Busy => "busy".to_owned(),
    }
}

fn leased(agent: &AgentName, status: AgentStatus, lost: u64, started: bool) -> Said {
    let doing = if started {
        "runs on"
    } else {
        "is being started on"
    };
    match status {
        AgentStatus::Online => Said {
            why: format!("{doing} agent {agent}"),
            ..Said::default()
        },
        AgentStatus::Lost | AgentStatus::Offline => Said {
            why: format!("{doing} agent {agent}, which is not heard of (agent lost)"),
            details: vec![
                "the job goes on there; it is called lost if the agent is not back in time"
                    .to_owned(),
            ],
            remedies: vec![format!("fleetctl agent confirm-dead {agent}")],
            until: lost,
        },
    }
}

/// No other attempt may begin before the last one is over for certain.
fn last_attempt(agent: &AgentName, status: AgentStatus, lost: u64) -> Said {
    let there = match status {
        AgentStatus::Online => "is there",
        AgentStatus::Lost | AgentStatus::Offline => "is not heard of",
    };
    Said {
        why: format!(
            "waits until its last attempt is over for certain, on agent {agent}, which {there}"
        ),
        details: Vec::new(),
        remedies: vec![format!("fleetctl agent confirm-dead {agent}")],
        until: lost,
    }
}

fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}
