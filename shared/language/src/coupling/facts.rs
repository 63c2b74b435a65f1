//! What one job's script does to the images of its host's engine.

use std::collections::{BTreeMap, BTreeSet};

use fleet_model::{Service, Variable};

use super::docker::{self, Action, Field, Pushed};
use super::image::{self, Image};
use super::shell::{self, Command, Joined, List, Part, Word};
use crate::variables::{self, Index, Unknown};

/// What is known of one job.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The images its engine has after it because of it, and whether it got them from a
    /// registry.
    pub(super) provides: BTreeMap<Image, Provided>,
    /// Images that are in a registry for certain once it has ended well.
    pub(super) pushed: BTreeSet<Image>,
    /// Images, without their tags, all of whose tags were pushed.
    pub(super) pushed_all: BTreeSet<Image>,
    /// Images that may have been pushed.
    pub(super) maybe_pushed: BTreeSet<Image>,
    /// It does something to Docker that cannot be read: it may push anything.
    pub(super) opaque: bool,
    /// The images it needs from its engine without getting them itself.
    pub(super) uses: Vec<Use>,
}

/// How an image came to an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provided {
    /// Built, tagged or committed there.
    Made,
    /// Pulled.
    Pulled,
}

/// The first need of an image in a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// Which.
    pub(super) image: Image,
    /// As it is written, quotes included.
    pub(super) raw: String,
    /// `docker` and its own options, and what stands before it, as written.
    pub(super) docker: String,
    /// The entry of the script.
    pub(super) entry: usize,
    /// Where in the entry its list starts, in bytes.
    pub(super) list: usize,
    /// Where in the entry its command starts, in bytes, if a login stands before it in
    /// the same list.
    pub(super) behind_login: Option<usize>,
    /// Docker would pull the image by itself.
    pub(super) pulls_itself: bool,
}

/// Reads a script, entry by entry.
pub(super) fn of(script: &[String], variables: &[Variable], services: &[Service]) -> Facts {
    let mut job = Job::new(variables);
    if !script.iter().any(|entry| entry.contains("docker")) || job.has_own_engine(services) {
        return job.facts;
    }
    for (index, entry) in script.iter().enumerate() {
        for list in shell::lists(entry) {
            match list {
                List::Read(commands) => job.list(index, entry, &commands),
                List::Unread { text, open } => job.unread(text, open),
            }
        }
    }
    job.facts
}

/// Commands after which a list goes on whenever a script goes on at all.
const STEADY: &[&str] = &[
    ".", "apk", "apt", "apt-get", "cat", "cd", "chmod", "cp", "docker", "echo", "export", "go",
    "make", "mkdir", "mv", "npm", "pip", "printf", "pushd", "rm", "set", "sleep", "source",
    "touch", "yarn",
];

/// Commands whose arguments nobody runs.
const QUIET: &[&str] = &[
    "apk",
    "apt",
    "apt-get",
    "cd",
    "chmod",
    "chown",
    "command",
    "cp",
    "curl",
    "dnf",
    "echo",
    "export",
    "mkdir",
    "mv",
    "pip",
    "printf",
    "rm",
    "service",
    "systemctl",
    "type",
    "usermod",
    "wget",
    "which",
    "yum",
];

/// Commands that run what stands behind them, as it stands.
const PREFIXES: &[&str] = &["command", "exec", "sudo", "time"];

struct Job {
    facts: Facts,
    /// The variables it starts with.
    known: Vec<Variable>,
    /// What its script assigned; none: it cannot be told.
    assigned: BTreeMap<String, Option<String>>,
    /// Images its engine has, or may have, because of itself.
    present: BTreeSet<Image>,
    /// It looks at another engine from here on.
    elsewhere: bool,
}

impl Job {
    fn new(known: &[Variable]) -> Job {
        let known = variables::expand_for_server(known, Unknown::Keep).unwrap_or_default();
        Job {
            facts: Facts::default(),
            known,
            assigned: BTreeMap::new(),
            present: BTreeSet::new(),
            elsewhere: false,
        }
    }

    /// Whether its commands go to an engine that is there for this job alone, or far away.
    fn has_own_engine(&self, services: &[Service]) -> bool {
        let known = Index::new(&self.known);
        let host = known.value("DOCKER_HOST").unwrap_or_default();
        let context = known.value("DOCKER_CONTEXT").unwrap_or_default();
        let remote = !host.is_empty() && !host.starts_with("unix://");
        remote
            || !(context.is_empty() || context == "default")
            || services
                .iter()
                .any(|service| service.image.name.contains("dind"))
    }

    /// A list that cannot be read.
    fn unread(&mut self, text: &str, open: bool) {
        if open || text.contains("docker") {
            self.facts.opaque = true;
        }
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '=')) {
            if let Some((name, _)) = word.split_once('=') {
                self.assigned.insert(name.to_owned(), None);
            }
        }
        // `for NAME in`, `read NAME`.
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            if matches!(word, "for" | "read")
                && let Some(name) = words.next()
            {
                self.assigned.insert(name.to_owned(), None);
            }
        }
    }

    fn list(&mut self, entry: usize, text: &str, commands: &[Command<'_>]) {
        let sure = certainty(commands);
        let mut login = false;
        for (command, sure) in commands.iter().zip(sure) {
            if self.assigns(command, sure) {
                continue;
            }
            let Some(first) = command.words.first() else {
                continue;
            };
            let name_at = command
                .words
                .iter()
                .position(|word| !word.literal().is_some_and(|it| PREFIXES.contains(&it)));
            let name_at = name_at.unwrap_or(0);
            let Some(name) = command.words.get(name_at).and_then(Word::literal) else {
                // A variable as a command may be docker.
                self.facts.opaque |= matches!(
                    command.words.get(name_at).map(|word| word.parts.as_slice()),
                    Some([Part::Variable { .. }])
                );
                self.look_inside(command);
                continue;
            };
            if name == "docker" || name.ends_with("/docker") {
                let step = Step {
                    entry,
                    text,
                    command,
                    sure,
                    behind_login: login,
                };
                login |= self.docker(name_at, &step);
            } else if name == "docker-compose" {
                self.facts.opaque = true;
            } else if name == "read" {
                for word in &command.words[1..] {
                    self.assigned.insert(word.raw.to_owned(), None);
                }
            } else if !first.literal().is_some_and(|first| QUIET.contains(&first)) {
                self.look_inside(command);
            } else {
                self.substitutions(command);
            }
        }
    }

    /// Takes in what a command assigns; whether it does nothing else.
    fn assigns(&mut self, command: &Command<'_>, sure: bool) -> bool {
        let exports = matches!(
            command.words.first().and_then(Word::literal),
            Some("export" | "readonly" | "local" | "declare" | "typeset")
        );
        self.substitutions(command);
        if !command.words.is_empty() && !exports {
            return false;
        }
        for (name, value) in &command.assignments {
            let value = self.value(value).filter(|_| sure);
            self.assign(name, value);
        }
        for word in command.words.iter().skip(1) {
            if let Some((name, _)) = word.raw.split_once('=') {
                let value = self.value(word).filter(|_| sure);
                let value =
                    value.and_then(|text| text.split_once('=').map(|(_, it)| it.to_owned()));
                self.assign(name, value);
            }
        }
        true
    }

    fn assign(&mut self, name: &str, value: Option<String>) {
        if matches!(name, "DOCKER_HOST" | "DOCKER_CONTEXT") {
            self.elsewhere = true;
        }
        self.assigned.insert(name.to_owned(), value);
    }

    /// Whether something in a substitution of a command calls docker to change images.
    fn substitutions(&mut self, command: &Command<'_>) {
        let words = command.assignments.iter().map(|(_, word)| word);
        for word in words.chain(&command.words) {
            let asks = [
                "docker ps",
                "docker images",
                "docker inspect",
                "docker image inspect",
            ];
            if word.unread
                && word.raw.contains("docker")
                && !asks.iter().any(|ask| word.raw.contains(ask))
                && (word.raw.contains("$(") || word.raw.contains('`'))
            {
                self.facts.opaque = true;
            }
        }
    }

    /// A command that may run docker itself: `xargs docker push`, `sh -c "docker ..."`.
    fn look_inside(&mut self, command: &Command<'_>) {
        let mut words = command.words.iter().skip(1);
        if words.any(|word| {
            word.raw == "docker" || word.raw.contains("docker ") || word.raw.ends_with("/docker")
        }) {
            self.facts.opaque = true;
        }
    }

    /// A docker command; whether it is a login.
    fn docker(&mut self, name_at: usize, step: &Step<'_, '_>) -> bool {
        let elsewhere = |(name, _): &(&str, Word<'_>)| {
            name.starts_with("DOCKER_") && *name != "DOCKER_CONFIG" && *name != "DOCKER_BUILDKIT"
        };
        if self.elsewhere || step.command.assignments.iter().any(elsewhere) {
            return false;
        }
        let fields = self.fields(&step.command.words[name_at..]);
        let at = match docker::subcommand(&fields) {
            Ok(at) => at,
            Err(action) => {
                self.facts.opaque |= action == Action::Unread;
                return false;
            }
        };
        if fields[at].text.as_deref() == Some("context") {
            self.elsewhere = true;
            return false;
        }
        let action = docker::action(&fields, at);
        let image = |index: usize| -> Option<Image> {
            let text = fields.get(index)?.text.as_deref()?;
            image::name(docker::tag_value(text))
        };
        let need = |index: usize, pulls_itself: bool| -> Option<Use> {
            let word = &step.command.words[name_at..][fields.get(index)?.word?];
            let before = fields.get(at.checked_sub(1)?)?;
            let end = step.command.words[name_at..][before.word?].end;
            let docker = &step.text[step.command.start..end];
            (step.sure && !word.raw.contains('\n') && !docker.contains('\n')).then_some(())?;
            Some(Use {
                image: image(index)?,
                raw: word.raw.to_owned(),
                docker: docker.to_owned(),
                entry: step.entry,
                list: step.command.list,
                behind_login: step.behind_login.then_some(step.command.start),
                pulls_itself,
            })
        };
        match action {
            Action::Build {
                images,
                pushed,
                kept,
            } => {
                for image in images.into_iter().filter_map(image) {
                    if kept {
                        self.provide(image.clone(), Provided::Made, step.sure);
                    } else {
                        self.present.insert(image.clone());
                    }
                    match pushed {
                        Pushed::Yes => self.push(image, step.sure),
                        Pushed::Unknown => self.push(image, false),
                        Pushed::No => {}
                    }
                }
            }
            Action::Tag { from, to } => {
                self.needs(need(from, false));
                if let Some(to) = image(to) {
                    self.provide(to, Provided::Made, step.sure);
                }
            }
            Action::Commit { to } => {
                if let Some(to) = image(to) {
                    self.provide(to, Provided::Made, step.sure);
                }
            }
            Action::Push { image: at, all } => match image(at) {
                Some(pushed) if all => {
                    let untagged = image::untagged(&pushed);
                    if step.sure {
                        self.facts.pushed_all.insert(untagged);
                    } else {
                        self.facts.opaque = true;
                    }
                }
                Some(pushed) => {
                    self.needs(need(at, false));
                    self.push(pushed, step.sure);
                }
                None => self.facts.opaque = true,
            },
            Action::Pull { image: at, all } => match image(at) {
                Some(pulled) if !all => self.provide(pulled, Provided::Pulled, step.sure),
                _ => self.facts.opaque = true,
            },
            Action::Run { image: at } => self.needs(need(at, true)),
            Action::Use { images } => {
                for at in images {
                    self.needs(need(at, false));
                }
            }
            Action::Remove { images } => {
                for image in images.into_iter().filter_map(image) {
                    self.facts.provides.remove(&image);
                    self.present.remove(&image);
                }
            }
            Action::RemoveAll => {
                self.facts.provides.clear();
                self.present.clear();
            }
            Action::Unread => self.facts.opaque = true,
            Action::Nothing | Action::Elsewhere => {}
        }
        fields[at].text.as_deref() == Some("login")
    }

    fn provide(&mut self, image: Image, how: Provided, sure: bool) {
        if sure {
            let known = self.facts.provides.entry(image.clone()).or_insert(how);
            if how == Provided::Made {
                *known = how;
            }
        }
        self.present.insert(image);
    }

    fn push(&mut self, image: Image, sure: bool) {
        if sure {
            self.facts.pushed.insert(image);
        } else {
            self.facts.maybe_pushed.insert(image);
        }
    }

    /// Takes in what it needs, unless it may have got it itself. Only the first need
    /// of an image counts: behind it, the image is there.
    fn needs(&mut self, need: Option<Use>) {
        if let Some(need) = need
            && !self.facts.opaque
            && self.present.insert(need.image.clone())
        {
            self.facts.uses.push(need);
        }
    }

    /// The arguments that words become.
    fn fields(&self, words: &[Word<'_>]) -> Vec<Field> {
        let mut fields = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let alone = |text| Field {
                text,
                word: Some(index),
                loose: false,
            };
            if word.unread {
                fields.push(alone(None));
                continue;
            }
            let bare = word
                .parts
                .iter()
                .any(|part| matches!(part, Part::Variable { quoted: false, .. }));
            let value = self.value(word);
            match value {
                Some(text) if bare && (text.is_empty() || text.contains(char::is_whitespace)) => {
                    let pieces = text.split_whitespace().map(|piece| Field {
                        text: Some(piece.to_owned()),
                        word: None,
                        loose: false,
                    });
                    fields.extend(pieces);
                }
                text => {
                    let loose = bare
                        && word.parts.len() == 1
                        && text.as_deref().is_none_or(|text| text.starts_with("${"));
                    fields.push(Field {
                        loose,
                        ..alone(text)
                    });
                }
            }
        }
        fields
    }

    /// The text of a word, with `${NAME}` for what is not known; none: it cannot be
    /// told, or is another one in every job.
    fn value(&self, word: &Word<'_>) -> Option<String> {
        if word.unread {
            return None;
        }
        let known = Index::new(&self.known);
        let mut text = String::new();
        for part in &word.parts {
            match part {
                Part::Text(piece) => text.push_str(piece),
                Part::Variable { name, .. } => match self.assigned.get(*name) {
                    Some(assigned) => text.push_str(assigned.as_deref()?),
                    None => match known.value(name) {
                        Some(value) => push_value(&mut text, value)?,
                        None => push_reference(&mut text, name)?,
                    },
                },
            }
        }
        Some(text)
    }
}

/// A docker command, and where it stands.
struct Step<'s, 't> {
    entry: usize,
    text: &'t str,
    command: &'s Command<'t>,
    sure: bool,
    behind_login: bool,
}

/// Appends a value; what in it is not known, as `${NAME}`.
fn push_value(text: &mut String, value: &str) -> Option<()> {
    let mut of_one_job = false;
    let normal: Vec<(String, String)> = variables::references(value)
        .map(|name| (name.to_owned(), format!("${{{name}}}")))
        .collect();
    let expanded = variables::expand(value, Unknown::Keep, |name| {
        of_one_job |= is_of_one_job(name);
        let found = normal.iter().find(|(known, _)| known == name);
        found.map(|(_, reference)| reference.as_str())
    });
    text.push_str(&expanded);
    (!of_one_job).then_some(())
}

fn push_reference(text: &mut String, name: &str) -> Option<()> {
    if is_of_one_job(name) {
        return None;
    }
    text.push_str("${");
    text.push_str(name);
    text.push('}');
    Some(())
}

/// Whether an unknown variable has another value in every job.
fn is_of_one_job(name: &str) -> bool {
    const PREFIXES: [&str; 6] = [
        "CI_BUILD_",
        "CI_CONCURRENT_",
        "CI_ENVIRONMENT_",
        "CI_JOB_",
        "CI_NODE_",
        "CI_RUNNER_",
    ];
    const NAMES: [&str; 9] = [
        "BASHPID",
        "EPOCHSECONDS",
        "HOME",
        "HOSTNAME",
        "OLDPWD",
        "PPID",
        "PWD",
        "RANDOM",
        "SECONDS",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

/// Of each command of a list, whether it runs, and has to end well, wherever the script
/// goes on behind the list.
fn certainty(commands: &[Command<'_>]) -> Vec<bool> {
    let gives_up = |command: &Command<'_>| {
        let name = command.words.first().and_then(Word::literal);
        matches!(name, Some("exit" | "false" | "return"))
    };
    let mut alternatives = commands
        .iter()
        .filter(|command| command.joined == Joined::Or);
    let may_fail = !alternatives.all(gives_up);
    let mut guarded = false;
    let mut sure = Vec::with_capacity(commands.len());
    for (index, command) in commands.iter().enumerate() {
        guarded |= command.joined == Joined::Or;
        let conditional = guarded || command.negated || (command.tolerated && may_fail);
        sure.push(!conditional);
        let next = commands.get(index + 1).map(|next| next.joined);
        if next == Some(Joined::Pipe) {
            // The commands of a pipe all run.
            continue;
        }
        let name = command.words.first().and_then(Word::literal);
        let steady = match name {
            Some(name) => STEADY.contains(&name) || PREFIXES.contains(&name),
            None => command.words.is_empty(),
        };
        guarded |= !steady || asks(command);
    }
    sure
}

/// Whether a docker command is asked for its exit status.
fn asks(command: &Command<'_>) -> bool {
    let word = |index: usize| command.words.get(index).and_then(Word::literal);
    let of = |inner| matches!(inner, Some("inspect" | "images" | "ls" | "ps"));
    word(0) == Some("docker")
        && (of(word(1)) || matches!(word(1), Some("image" | "manifest")) && of(word(2)))
}
