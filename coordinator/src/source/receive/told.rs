//! What whoever pushed is told, behind `remote:`.

use crate::event::{Error, Outcome};
use crate::source::git::visible;
use crate::source::names;
use crate::source::push::Push;

/// Refs of one push that are told of.
const MOST_REFS: usize = 20;
/// Lines of what the compiler says about one of them.
const MOST_LINES: usize = 10;
/// Characters of a line.
const LONGEST: usize = 300;

/// What became of a ref, by its full name.
pub(super) type Made = (String, Result<Outcome, Error>);

/// The lines, in order.
#[derive(Default)]
pub(super) struct Told(Vec<String>);

impl Told {
    pub(super) fn say(&mut self, line: impl AsRef<str>) {
        let line = visible(line.as_ref());
        self.0.push(line.chars().take(LONGEST).collect());
    }

    pub(super) fn words(&self) -> String {
        self.0.join("\n")
    }

    /// Says what to do about branches that git did not rewind.
    pub(super) fn not_rewound(
        &mut self,
        push: &Push,
        answer: &[u8],
        is_protected: impl Fn(&str) -> bool,
    ) {
        let was_denied = |name: &&str| {
            let line = format!("ng {name} non-fast-forward");
            let mut parts = answer.windows(line.len());
            parts.any(|part| part == line.as_bytes())
        };
        let names = push.commands.iter().map(|it| it.reference.as_str());
        for name in names.filter(was_denied).take(MOST_LINES) {
            let short = names::short(name);
            self.say(if is_protected(name) {
                format!(
                    "{short} is protected: its history cannot be rewritten. Fetch it, put your \
                     commits on top, and push again without --force."
                )
            } else {
                format!("{short} was forced beside a protected branch: push it alone.")
            });
        }
    }

    /// Says what became of the refs.
    pub(super) fn outcomes(&mut self, outcomes: &[Made]) {
        for (reference, outcome) in outcomes.iter().take(MOST_REFS) {
            let name = match outcomes.len() {
                1 => String::new(),
                _ => format!("{}: ", names::short(reference)),
            };
            self.outcome(&name, outcome);
        }
        if outcomes.len() > MOST_REFS {
            let more = outcomes.len() - MOST_REFS;
            self.say(format!("... and {more} more refs: fleetctl pipeline list"));
        }
    }

    fn outcome(&mut self, name: &str, outcome: &Result<Outcome, Error>) {
        match outcome {
            Ok(Outcome::Created {
                pipeline,
                jobs,
                warnings,
            }) => {
                self.findings(warnings);
                let jobs = match jobs {
                    1 => "1 job".to_owned(),
                    jobs => format!("{jobs} jobs"),
                };
                self.say(format!(
                    "{name}pipeline {pipeline}: {jobs}. Follow it with: fleetctl pipeline watch \
                     {pipeline}"
                ));
            }
            Ok(Outcome::Invalid { pipeline, errors }) => {
                self.say(format!(
                    "{name}pipeline {pipeline} failed: its configuration is in error."
                ));
                self.findings(errors);
                self.say("Mend it and push again; fleetctl lint shows the same.");
            }
            Ok(Outcome::Skipped { pipeline, why }) => {
                self.say(format!("{name}pipeline {pipeline} was skipped: {why}"));
            }
            Ok(Outcome::Nothing(why)) => self.say(format!("{name}no pipeline: {why}")),
            Err(error) => self.say(format!(
                "{name}no pipeline yet: {error}. It is made with the next push, or when the \
                 coordinator starts again."
            )),
        }
    }

    fn findings(&mut self, all: &[String]) {
        for finding in all.iter().take(MOST_LINES) {
            self.say(format!("  {finding}"));
        }
        if all.len() > MOST_LINES {
            self.say(format!("  ... and {} more", all.len() - MOST_LINES));
        }
    }
}

/// What a push asks for, for the audit log.
pub(super) fn commands(push: &Push) -> String {
    let short = |hash: &str| hash.get(..12).unwrap_or_default().to_owned();
    let commands = push.commands.iter().map(|command| {
        let (old, new) = (short(&command.old), short(&command.new));
        format!("{} {old}..{new}", command.reference)
    });
    visible(&commands.collect::<Vec<_>>().join("; "))
}
