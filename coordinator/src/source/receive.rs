//! A push: checked, recorded, carried out by git, and made into pipelines.
//!
//! ```text
//! lock of the repository ─► who may (again) ─► intent, durable ─► git receive-pack
//!   ─► which refs moved ─► a pipeline for each; its batch takes the ref from the intent
//!   ─► the answer
//! ```
//!
//! Whatever ends the process in between, what the intent still names is settled when
//! it comes back: a push and its pipelines never part, and none is made twice.

mod told;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::git::{self, Limits, visible};
use super::intent::{Intent, Move, has_moved};
use super::push::{Push, Refusal};
use super::repositories::{Ref, Repository};
use super::spool::Spool;
use super::{Sources, rules};
use crate::audit::{Entry, Verdict};
use crate::catalog::{Catalog, Principal, Project};
use crate::event::options::Options;
use crate::event::{Event, Kind, Outcome};
use crate::failpoint;
use told::Told;

/// Unpacking and checking a push is given up after this long.
const RECEIVE: Limits = Limits {
    deadline: Duration::from_secs(30 * 60),
    bytes: 8 << 20,
};

/// Who pushes what.
pub(super) struct Request {
    pub(super) project: Project,
    pub(super) principal: Principal,
    pub(super) from: Option<SocketAddr>,
    pub(super) push: Push,
}

/// Why nothing of a push is done, one for each of its commands.
pub(super) type Refusals = Vec<Option<Refusal>>;

impl Sources {
    /// Whether a push may be carried out as far as rules say; refusals are audited.
    pub(super) async fn check(&self, request: &Request) -> Result<Options, Refusals> {
        let (options, refusals) = self.judged(request);
        let Some(refusals) = refusals else {
            return Ok(options);
        };
        let reasons = request.push.commands.iter().zip(&refusals);
        let reasons = reasons.filter_map(|(command, refusal)| {
            Some(format!(
                "{}: {}",
                command.reference,
                refusal.as_ref()?.reason
            ))
        });
        let reasons = visible(&reasons.collect::<Vec<_>>().join("; "));
        // A refusal stands, whether it could be written down or not.
        let _logged = self.log(request, Verdict::Denied, reasons).await;
        Err(refusals)
    }

    fn judged(&self, request: &Request) -> (Options, Option<Refusals>) {
        let Request { push, project, .. } = request;
        let options = match Options::read(&push.options) {
            Ok(options) => options,
            Err(why) => {
                let refusals = all(push, "push option refused", &why);
                return (Options::default(), Some(refusals));
            }
        };
        let Some(role) = Catalog::role(&request.principal, project) else {
            let words = format!("Your token may not see {} any more.", project.path);
            return (options, Some(all(push, "not allowed", &words)));
        };
        let sets_variables = !options.variables.is_empty();
        let refusals = rules::refusals(push, project, role, sets_variables).or_else(|| {
            let no_room = self.0.journal.accepts_work().err()?;
            Some(all(
                push,
                "no room",
                &format!("{no_room}. Push again later."),
            ))
        });
        (options, refusals)
    }

    /// Carries out a push whose request is in `spool`, from its start; gives the answer
    /// for the pusher's git.
    ///
    /// It must not be dropped before its end.
    pub(super) async fn receive(&self, mut request: Request, spool: Spool) -> Vec<u8> {
        let _moving = self.0.repositories.lock(request.project.id).await;
        // All may have changed while the objects came.
        let refusals = match self.0.catalog.project_by_id(request.project.id) {
            Some(now) if self.0.catalog.is_live(&request.principal) => {
                request.project = now;
                None
            }
            Some(_) => Some(all(&request.push, "not allowed", "Your token has ended.")),
            None => Some(all(
                &request.push,
                "no such project",
                "The project was deleted.",
            )),
        };
        if let Some(refusals) = refusals {
            return request.push.refused(&refusals);
        }
        let options = match self.check(&request).await {
            Ok(options) => options,
            Err(refusals) => return request.push.refused(&refusals),
        };
        let done = match self.settle_project(&request.project).await {
            Ok(()) => self.carry_out(&request, &options, spool).await,
            Err(why) => Err(format!("an earlier push is not settled yet: {why}")),
        };
        done.unwrap_or_else(|why| {
            let project = request.project.path.as_str();
            tracing::error!(project, why, "a push could not be carried out");
            let words = format!("Nothing was done, for a fault of the coordinator: {why}.");
            request.push.refused(&all(&request.push, "not now", &words))
        })
    }

    /// The error says why nothing was done.
    async fn carry_out(
        &self,
        request: &Request,
        options: &Options,
        spool: Spool,
    ) -> Result<Vec<u8>, String> {
        let Request { project, push, .. } = request;
        let repository = self
            .0
            .repositories
            .of(project.id, &project.default_branch)
            .await
            .map_err(|error| error.to_string())?;
        let names = push.commands.iter().map(|it| it.reference.as_str());
        let before = current(&repository, names)
            .await
            .map_err(|error| error.to_string())?;
        let intent = Intent {
            project: project.id,
            number: self.0.intents.number(),
            refs: moves(push, &before),
            user: request.principal.user.clone(),
            user_id: request.principal.user_id,
            token: request.principal.token.clone(),
            options: push.options.clone(),
            from: request.from,
            at: u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default(),
        };
        let logged = self.log(request, Verdict::Ok, told::commands(push)).await;
        logged.map_err(|error| {
            tracing::error!(%error, "the audit log cannot be written");
            "it cannot be written down in the audit log".to_owned()
        })?;
        let mark = self.0.intents.record(&intent);
        self.0.journal.durable(mark).await;
        failpoint::reach("push.intent-durable");

        let is_protected = |name: &str| Catalog::is_protected(project, name);
        let protected = push.commands.iter().any(|it| is_protected(&it.reference));
        let answer = git_receives(&repository, spool, protected).await;
        failpoint::reach("push.ref-moved");

        let mut told = Told::default();
        match &answer {
            Ok(answer) => told.not_rewound(push, answer, is_protected),
            Err(error) => told.say(format!("The push broke off: {error}.")),
        }
        for name in &options.unknown {
            told.say(format!(
                "The push option {name} is not known here: it was ignored."
            ));
        }
        // Whatever git said: the refs tell what it did.
        match self.moved(&repository, &intent, &[]).await {
            Ok(moved) => {
                let outcomes = self
                    .make_pipelines(project, &repository, moved, options)
                    .await;
                told.outcomes(&outcomes);
            }
            // The intent stays: it is settled when the repository can be read.
            Err(error) => told.say(format!(
                "It is not known yet which refs moved ({error}): their pipelines are made later."
            )),
        }
        failpoint::reach("push.pipeline-durable");
        let (repositories, id) = (self.0.repositories.clone(), project.id);
        self.0
            .tasks
            .spawn(async move { repositories.tidy(id).await });
        Ok(match answer {
            Ok(answer) => push.answered(answer, &told.words()),
            Err(_) => push.refused(&all(push, "the push broke off", &told.words())),
        })
    }

    /// What of an intent happened: only refs that moved are left in it.
    async fn moved(
        &self,
        repository: &Repository,
        intent: &Intent,
        later: &[Intent],
    ) -> Result<Intent, git::Error> {
        let names = intent.refs.iter().map(|it| it.reference.as_str());
        let now = current(repository, names).await?;
        let mut moved = intent.clone();
        moved.refs.retain_mut(|asked| {
            let now = now.get(&asked.reference).map(String::as_str);
            asked.moved = has_moved(asked, now, later);
            asked.moved
        });
        Ok(moved)
    }

    /// Makes the pipelines of refs that moved. What of the intent could not be done
    /// stays on record, as moved.
    async fn make_pipelines(
        &self,
        project: &Project,
        repository: &Repository,
        mut intent: Intent,
        options: &Options,
    ) -> Vec<told::Made> {
        let intents = &self.0.intents;
        let mut outcomes = Vec::new();
        // Of refs that did not move nothing is kept.
        let mut mark = intents.record(&intent);
        for asked in intent.refs.clone() {
            let mut rest = intent.clone();
            rest.refs.retain(|it| it.reference != asked.reference);
            let event = Event {
                project: project.clone(),
                reference: asked.reference.clone(),
                object: asked.new,
                kind: Kind::Push {
                    old: asked.old,
                    skip: options.skip.clone(),
                },
                user: intent.user.clone(),
                user_id: intent.user_id,
                token: intent.token.clone(),
                variables: options.variables.clone(),
                inputs: options.inputs.clone(),
            };
            let with = || intents.change(&rest);
            let outcome = self.0.events.handle(repository, &event, &with).await;
            match &outcome {
                Ok(Outcome::Nothing(_)) => {
                    mark = intents.record(&rest);
                    intent = rest;
                }
                // The store has it so, by the batch of the pipeline.
                Ok(_) => {
                    intents.note(&rest);
                    intent = rest;
                }
                Err(error) => {
                    let (project, reference) = (&project.path, &asked.reference);
                    tracing::error!(project, reference, %error,
                        "the pipeline of a push could not be made yet");
                }
            }
            outcomes.push((asked.reference, outcome));
        }
        self.0.journal.durable(mark).await;
        outcomes
    }

    /// Settles what pushes of a project left; the caller has its lock.
    pub(super) async fn settle_project(&self, project: &Project) -> Result<(), String> {
        let left = self.0.intents.of(project.id);
        for (index, intent) in left.iter().enumerate() {
            let repository = self
                .0
                .repositories
                .of(project.id, &project.default_branch)
                .await
                .map_err(|error| error.to_string())?;
            let moved = self
                .moved(&repository, intent, &left[index + 1..])
                .await
                .map_err(|error| error.to_string())?;
            // They could be read when the push came.
            let options = Options::read(&intent.options).unwrap_or_default();
            let outcomes = self
                .make_pipelines(project, &repository, moved, &options)
                .await;
            tracing::info!(
                project = project.path,
                asked = intent.refs.len(),
                moved = outcomes.len(),
                "a push that was cut off is settled"
            );
            for (_, outcome) in outcomes {
                outcome.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Writes into the audit log, on a thread that may wait for the disk.
    async fn log(&self, request: &Request, verdict: Verdict, reason: String) -> io::Result<()> {
        let actor = format!("user:{}", request.principal.user);
        let object = format!("project:{}", request.project.path);
        let (audit, from) = (self.0.audit.clone(), request.from);
        let write = move || {
            audit.log(Entry {
                actor: &actor,
                action: "push",
                object: &object,
                verdict,
                reason: &reason,
                from,
            })
        };
        let written = tokio::task::spawn_blocking(write).await;
        written.map_err(io::Error::other)?
    }
}

/// The same refusal for all refs of a push.
fn all(push: &Push, reason: &str, advice: &str) -> Refusals {
    let refusal = Refusal {
        reason: reason.to_owned(),
        advice: Some(advice.to_owned()),
    };
    vec![Some(refusal); push.commands.len()]
}

/// What the refs of these names are now.
async fn current<'a>(
    repository: &Repository,
    names: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, String>, git::Error> {
    let names: Vec<&str> = names.collect();
    let refs = repository.refs(Some(&names)).await?;
    let pairs = refs.into_iter().map(|Ref { name, object }| (name, object));
    Ok(pairs.collect())
}

/// What a push can move: a ref that is not as its pusher takes it to be is refused by
/// git, and one that is where it should go does not move. Refs that go away get no
/// pipeline.
fn moves(push: &Push, before: &BTreeMap<String, String>) -> Vec<Move> {
    let commands = push.commands.iter().filter(|command| {
        let known = before.get(&command.reference);
        let agrees = match known {
            Some(object) => *object == command.old,
            None => command.makes(),
        };
        agrees && !command.removes() && known != Some(&command.new)
    });
    commands
        .map(|command| Move {
            reference: command.reference.clone(),
            old: command.old.clone(),
            new: command.new.clone(),
            moved: false,
        })
        .collect()
}

/// Has git carry out the request in `spool`; it works on nothing any more when this
/// returns.
async fn git_receives(
    repository: &Repository,
    spool: Spool,
    protected: bool,
) -> Result<Vec<u8>, git::Error> {
    const NAME: &str = "receive-pack";
    let path = repository.path();
    let failed = || git::Error::file("read a push to", path);
    let mut command = git::service(path);
    if protected {
        command.args(["-c", "receive.denyNonFastForwards=true"]);
    }
    command
        .args([NAME, "--stateless-rpc"])
        .arg(path)
        .stdin(spool.stdin().map_err(failed())?);
    let answer = git::run(NAME, command, &[], RECEIVE).await;
    // After its deadline it was killed, which need not have happened yet.
    spool.ended().await.map_err(failed())?;
    let answer = answer?;
    if !answer.status.success() {
        let words = git::one_line(&answer.words, answer.status);
        if answer.stdout.is_empty() {
            return Err(git::Error::Failed {
                command: NAME,
                words,
            });
        }
        tracing::info!(words, "git receive-pack ended with an error");
    }
    Ok(answer.stdout)
}
