//! `fleetctl environment`.

use fleet_proto::v1;

use super::{job, scope};
use crate::cli::{EnvironmentVerb, InProject};
use crate::client::Client;
use crate::output::{Cell, Column, Fact, Json, Printer, Shown, fact, role_in_words, time};
use crate::view::clean;
use crate::{Exit, Failure};

pub(super) async fn run(
    verb: EnvironmentVerb,
    project: &InProject,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let project = scope::project(project)?;
    match verb {
        EnvironmentVerb::List => out.list(&list(project, client).await?),
        EnvironmentVerb::Show { name } => {
            let environment = find(&name, project, client).await?;
            out.item(&environment.json(), &facts(&environment))?;
            out.table(&environment.deployments)
        }
        EnvironmentVerb::Stop { name } => {
            let name = find(&name, project.clone(), client).await?.name;
            let request = v1::StopEnvironmentRequest { project, name };
            let answer = client
                .call(client.environments().stop_environment(request))
                .await?;
            stopped(&answer, out)
        }
        EnvironmentVerb::Rollback { name } => {
            let environment = find(&name, project, client).await?;
            let Some(before) = before_current(&environment) else {
                return Err(Failure::not_found(format!(
                    "environment {} has no good deployment before the current one. Try: fleetctl \
                     environment show",
                    clean(&environment.name)
                )));
            };
            out.hint(&format!(
                "deployment {} was of commit {} ({})",
                before.id,
                short(&before.sha),
                clean(&before.reference)
            ));
            let request = v1::RetryJobRequest { id: before.job };
            let job = client.call(client.jobs().retry_job(request)).await?;
            job::follow_up(&job, out)
        }
    }
}

async fn list(project: String, client: &Client) -> Result<Vec<v1::Environment>, Failure> {
    let request = v1::ListEnvironmentsRequest { project };
    let answer = client
        .call(client.environments().list_environments(request))
        .await?;
    Ok(answer.environments)
}

/// The environment that people mean, with all its deployments.
async fn find(name: &str, project: String, client: &Client) -> Result<v1::Environment, Failure> {
    let all = list(project.clone(), client).await?;
    let names = all.iter().map(|it| it.name.as_str());
    let index = scope::abbreviated(name, names, "environment", &clean(&project))?;
    let name = all[index].name.clone();
    let request = v1::GetEnvironmentRequest { project, name };
    client
        .call(client.environments().get_environment(request))
        .await
}

/// The good deployment before the one that is there now, of another job.
fn before_current(environment: &v1::Environment) -> Option<&v1::Deployment> {
    let current = environment.current.as_ref()?;
    environment
        .deployments
        .iter()
        .find(|it| it.id < current.id && it.status == "success" && it.job != current.job)
}

fn stopped(answer: &v1::StopEnvironmentResponse, out: &Printer) -> Result<Exit, Failure> {
    let name = answer.environment.as_ref().map_or("", |it| &it.name);
    let Some(job) = &answer.job else {
        return out.done(
            &answer.json(),
            name,
            &format!("environment {name} is stopped; no job ran for it"),
        );
    };
    let line = format!("job {} ({}) stops environment {name}", job.id, job.name);
    out.done(&answer.json(), name, &line)?;
    out.hint(&format!("Next: fleetctl job log {} -f", job.id));
    Ok(Exit::Done)
}

fn short(sha: &str) -> String {
    clean(sha.get(..8).unwrap_or(sha))
}

fn facts(environment: &v1::Environment) -> Vec<Fact> {
    let current = environment.current.as_ref();
    let current =
        current.map(|it| format!("{} ({}), by {}", short(&it.sha), it.reference, it.user));
    let deploy = match environment.protected {
        true => role_in_words(environment.deploy),
        false => "",
    };
    vec![
        fact("environment", &environment.name),
        fact("id", environment.id.to_string()),
        fact("project", &environment.project),
        fact("state", &environment.state),
        fact("tier", &environment.tier),
        fact("url", &environment.url),
        fact("deployed", current.unwrap_or_default()),
        fact("may deploy", deploy),
        fact("stopped by", &environment.on_stop),
        fact("auto stop in", &environment.auto_stop_in),
        fact("created", time::moment(environment.created_at)),
    ]
}

impl Shown for v1::Environment {
    const NOUN: &'static str = "environment";
    const COLUMNS: &'static [Column] = &[
        Column::right("ID").wide(),
        Column::left("NAME"),
        Column::left("STATE"),
        Column::left("TIER"),
        Column::left("COMMIT"),
        Column::left("REF"),
        Column::left("BY").wide(),
        Column::left("LATEST"),
        Column::left("URL"),
        Column::right("AGE"),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        let current = self.current.clone().unwrap_or_default();
        let latest = self.deployments.first();
        vec![
            Cell::plain(self.id),
            Cell::plain(&self.name),
            Cell::state(&self.state),
            Cell::plain(&self.tier),
            Cell::plain(short(&current.sha)),
            Cell::plain(&current.reference),
            Cell::plain(&current.user),
            Cell::state(latest.map_or("", |it| &it.status)),
            Cell::plain(&self.url),
            Cell::plain(time::ago(self.updated_at, now)),
        ]
    }
}

impl Shown for v1::Deployment {
    const NOUN: &'static str = "deployment";
    const COLUMNS: &'static [Column] = &[
        Column::right("DEPLOYMENT"),
        Column::left("STATUS"),
        Column::left("COMMIT"),
        Column::left("REF"),
        Column::right("JOB"),
        Column::left("NAME"),
        Column::right("PIPELINE").wide(),
        Column::left("BY"),
        Column::right("TOOK"),
        Column::right("AGE"),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        vec![
            Cell::plain(self.id),
            Cell::state(&self.status),
            Cell::plain(short(&self.sha)),
            Cell::plain(&self.reference),
            Cell::plain(self.job),
            Cell::plain(&self.job_name),
            Cell::plain(self.pipeline),
            Cell::plain(&self.user),
            Cell::plain(time::took(self.created_at, self.finished_at, now)),
            Cell::plain(time::ago(self.created_at, now)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(id: u64, job: u64, status: &str) -> v1::Deployment {
        v1::Deployment {
            id,
            job,
            status: status.into(),
            ..Default::default()
        }
    }

    #[test]
    fn rollback_takes_the_good_deployment_before_the_current_one() {
        let mut environment = v1::Environment {
            current: Some(deployment(6, 30, "success")),
            deployments: vec![
                deployment(7, 40, "failed"),
                deployment(6, 30, "success"),
                deployment(5, 30, "success"),
                deployment(4, 20, "canceled"),
                deployment(3, 10, "success"),
                deployment(2, 9, "success"),
            ],
            ..Default::default()
        };
        assert_eq!(before_current(&environment).unwrap().id, 3);
        environment.deployments.truncate(4);
        assert_eq!(before_current(&environment), None);
        assert_eq!(before_current(&v1::Environment::default()), None);
    }
}
