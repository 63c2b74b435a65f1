//! `fleetctl agent`.

use std::time::Duration;

use fleet_proto::v1;
use tokio::time::sleep_until;

use super::scope;
use crate::cli::{AgentVerb, JoinToken};
use crate::client::Client;
use crate::output::{Cell, Column, Fact, Json, Printer, Shown, fact, time};
use crate::view::clean;
use crate::{Exit, Failure};

/// Between two looks at an agent that drains.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn run(verb: AgentVerb, client: &Client, out: &Printer) -> Result<Exit, Failure> {
    match verb {
        AgentVerb::List { watch } => {
            out.list_or_watch(client, watch, async || agents(client).await)
                .await
        }
        AgentVerb::Show { name } => {
            let agent = match get(&name, client).await {
                Err(failure) if failure.exit() == Exit::NotFound => {
                    get(&whole(&name, client).await?, client).await?
                }
                answer => answer?,
            };
            out.item(&agent.json(), &facts(&agent))
        }
        AgentVerb::JoinToken(arguments) => join_token(arguments, client, out).await,
        AgentVerb::Drain { name, wait } => {
            let name = whole(&name, client).await?;
            let request = v1::DrainAgentRequest { name };
            let agent = client.call(client.fleet().drain_agent(request)).await?;
            if wait {
                return drained(agent, client, out).await;
            }
            told(&agent, out)
        }
        AgentVerb::Resume { name } => {
            let name = whole(&name, client).await?;
            let request = v1::ResumeAgentRequest { name };
            let agent = client.call(client.fleet().resume_agent(request)).await?;
            told(&agent, out)
        }
        AgentVerb::ConfirmDead { name, yes } => {
            let shown = clean(&name);
            out.confirm(
                &format!("Is the host of {shown} off, and will it not come back by itself? If its jobs still run, they run twice."),
                yes,
            )?;
            let request = v1::ConfirmDeadRequest { name };
            let agent = client.call(client.fleet().confirm_dead(request)).await?;
            told(&agent, out)
        }
        AgentVerb::Revoke { name, yes } => {
            let shown = clean(&name);
            out.confirm(
                &format!("Stop the jobs of {shown} and trust it no longer?"),
                yes,
            )?;
            revoke(name, client, out).await
        }
    }
}

async fn agents(client: &Client) -> Result<Vec<v1::Agent>, Failure> {
    let request = v1::ListAgentsRequest {};
    let answer = client.call(client.fleet().list_agents(request)).await?;
    Ok(answer.agents)
}

async fn get(name: &str, client: &Client) -> Result<v1::Agent, Failure> {
    let request = v1::GetAgentRequest {
        name: name.to_owned(),
    };
    client.call(client.fleet().get_agent(request)).await
}

/// The whole name of an agent.
async fn whole(name: &str, client: &Client) -> Result<String, Failure> {
    let mut agents = agents(client).await?;
    let names = agents.iter().map(|agent| agent.name.as_str());
    let index = scope::abbreviated(name, names, "agent", "the fleet")?;
    Ok(agents.swap_remove(index).name)
}

async fn join_token(arguments: JoinToken, client: &Client, out: &Printer) -> Result<Exit, Failure> {
    let ttl = arguments.ttl.unwrap_or_default();
    let request = v1::CreateJoinTokenRequest {
        tags: arguments.tags,
        ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
        name: arguments.name.unwrap_or_default(),
        no_untagged: arguments.no_untagged,
        protected_only: arguments.protected_only,
        projects: arguments.projects,
    };
    let answer = client
        .call(client.fleet().create_join_token(request))
        .await?;
    out.hint(&format!(
        "On the host that joins, once, {}:",
        time::ahead(answer.expires_at, time::now()).replacen("in ", "within ", 1)
    ));
    out.done(
        &answer.json(),
        &answer.token,
        &format!(
            "fleet-agent join --server {} --token {} --ca-pin {}",
            answer.server, answer.token, answer.ca_pin
        ),
    )
}

/// Waits until an agent has no job left.
async fn drained(mut agent: v1::Agent, client: &Client, out: &Printer) -> Result<Exit, Failure> {
    let name = agent.name.clone();
    out.on_interrupt(format!(
        "{} goes on draining. Next: fleetctl agent show {}",
        clean(&name),
        clean(&name)
    ));
    let what = format!(
        "the last job of {} to end; it goes on draining",
        clean(&name)
    );
    let mut patience = client.patience();
    let mut shown = None;
    loop {
        if agent.busy == 0 {
            return told(&agent, out);
        }
        if !agent.draining {
            return Err(Failure::new(
                Exit::Canceled,
                format!("{} was resumed by somebody else", clean(&name)),
            ));
        }
        if shown != Some(agent.busy) {
            let jobs: Vec<String> = agent.jobs.iter().map(u64::to_string).collect();
            let plural = if agent.busy == 1 { "" } else { "s" };
            out.hint(&format!(
                "{} job{plural} left on {}: {}",
                agent.busy,
                clean(&name),
                jobs.join(", ")
            ));
            shown = Some(agent.busy);
        }
        client.pause(LOOK, &what).await?;
        let request = v1::GetAgentRequest { name: name.clone() };
        match client.attempt(client.fleet().get_agent(request)).await {
            Ok(now) => {
                if let Some(back) = patience.answered() {
                    out.hint(back);
                }
                agent = now;
            }
            Err(unanswered) => {
                let retry = patience.after(client, &unanswered)?;
                if let Some(note) = retry.note {
                    out.hint(&note);
                }
                sleep_until(retry.at).await;
            }
        }
    }
}

async fn revoke(name: String, client: &Client, out: &Printer) -> Result<Exit, Failure> {
    let request = v1::RevokeAgentRequest { name: name.clone() };
    let answer = client.call(client.fleet().revoke_agent(request)).await?;
    out.done(
        &answer.json(),
        &name,
        &format!("{name} is trusted no longer"),
    )?;
    if !answer.exposed_variables.is_empty() {
        let names: Vec<String> = answer
            .exposed_variables
            .iter()
            .map(|name| clean(name))
            .collect();
        // With --quiet too: it is what is left to be done.
        eprintln!(
            "warning: its jobs had these secrets, change them: {}",
            names.join(", ")
        );
    }
    Ok(Exit::Done)
}

/// The state in a word, draining told apart.
fn state(agent: &v1::Agent) -> &str {
    match (agent.draining, agent.busy, agent.status.as_str()) {
        (true, 0, "online") => "drained",
        (true, _, "online") => "draining",
        (_, _, status) => status,
    }
}

fn told(agent: &v1::Agent, out: &Printer) -> Result<Exit, Failure> {
    out.done(
        &agent.json(),
        &agent.name,
        &format!(
            "{} is {}, {} of {} slots busy",
            agent.name,
            state(agent),
            agent.busy,
            agent.slots
        ),
    )
}

fn facts(agent: &v1::Agent) -> Vec<Fact> {
    let now = time::now();
    let yes_no = |is: bool| if is { "yes" } else { "no" };
    let jobs: Vec<String> = agent.jobs.iter().map(u64::to_string).collect();
    let heard = match time::ago(agent.last_heard, now).as_str() {
        "" => String::new(),
        ago => format!("{ago} ago"),
    };
    vec![
        fact("agent", &agent.name),
        fact("status", state(agent)),
        fact("slots", format!("{} of {} busy", agent.busy, agent.slots)),
        fact("jobs", jobs.join(", ")),
        fact("tags", agent.tags.join(", ")),
        fact("runs untagged", yes_no(agent.run_untagged)),
        fact("protected only", yes_no(agent.protected_only)),
        fact("projects", agent.projects.join(", ")),
        fact("executors", agent.executors.join(", ")),
        fact("host", &agent.host),
        fact("platform", &agent.platform),
        fact("version", &agent.version),
        fact("last heard", heard),
        fact("joined", time::moment(agent.joined_at)),
        fact(
            "certificate",
            match time::ahead(agent.certificate_expires_at, now).as_str() {
                "" => String::new(),
                ends => format!("ends {ends}"),
            },
        ),
    ]
}

impl Shown for v1::Agent {
    const NOUN: &'static str = "agent";
    const COLUMNS: &'static [Column] = &[
        Column::left("NAME"),
        Column::left("STATUS"),
        Column::right("BUSY"),
        Column::right("SLOTS"),
        Column::left("TAGS"),
        Column::left("HOST"),
        Column::left("PLATFORM").wide(),
        Column::left("EXECUTORS").wide(),
        Column::left("PROJECTS").wide(),
        Column::left("VERSION"),
        Column::left("JOBS").wide(),
        Column::right("CERTIFICATE").wide(),
        Column::right("HEARD"),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        let jobs: Vec<String> = self.jobs.iter().map(u64::to_string).collect();
        vec![
            Cell::plain(&self.name),
            Cell::state(state(self)),
            Cell::plain(self.busy),
            Cell::plain(self.slots),
            Cell::plain(self.tags.join(",")),
            Cell::plain(&self.host),
            Cell::plain(&self.platform),
            Cell::plain(self.executors.join(",")),
            Cell::plain(self.projects.join(",")),
            Cell::plain(&self.version),
            Cell::plain(jobs.join(",")),
            Cell::plain(time::ahead(self.certificate_expires_at, now)),
            Cell::plain(time::ago(self.last_heard, now)),
        ]
    }
}
