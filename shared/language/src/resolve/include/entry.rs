//! One entry of `include`: which files it asks for.

use std::{rc::Rc, time::Duration};

use super::{
    Kind, Loader, World, integrity, is_empty, origin::Origin, source::Key, source::not_found,
};
use crate::{
    Changes, Diagnostic, Entry, Map, Node, Span, Value,
    config::{self, Rule, RuleWhen},
    duration,
    evaluate::clause,
    resolve::location::{has_yaml_extension, is_project_path, is_url, wildcard},
    variables::Unknown,
};

/// The kinds of includes, as GitLab's sentences list them.
const KINDS: [&str; 6] = [
    "local",
    "project",
    "remote",
    "template",
    "artifact",
    "component",
];

/// What stands for the server in the addresses of components.
const SERVER: [&str; 2] = ["CI_SERVER_FQDN", "CI_SERVER_HOST"];

/// What `cache: true` means.
const HOUR: Duration = Duration::from_secs(60 * 60);
/// The least that may be written for it.
const MINUTE: Duration = Duration::from_secs(60);

/// A file that an entry asks for; all texts are expanded.
pub(super) struct Wanted<'n> {
    pub(super) what: What,
    /// The values for its inputs.
    pub(super) inputs: Option<&'n Node>,
    /// Where its location stands.
    pub(super) span: Span,
}

pub(super) enum What {
    Local {
        path: String,
    },
    Project {
        path: String,
        reference: Option<String>,
        file: String,
        /// Where project and ref stand.
        spans: (Span, Span),
    },
    Remote {
        url: String,
        integrity: Option<String>,
        /// How old a stored copy may be.
        cache: Option<Duration>,
    },
    Template {
        name: String,
    },
    Component {
        address: String,
    },
}

impl What {
    pub(super) fn kind(&self) -> Kind {
        match self {
            What::Local { .. } => Kind::Local,
            What::Project { .. } => Kind::Project,
            What::Remote { .. } => Kind::Remote,
            What::Template { .. } => Kind::Template,
            What::Component { .. } => Kind::Component,
        }
    }

    /// What GitLab's sentences call the file.
    pub(super) fn location(&self) -> &str {
        match self {
            What::Local { path } => path,
            What::Project { file, .. } => file,
            What::Remote { url, .. } => url,
            What::Template { name } => name,
            What::Component { address } => address,
        }
    }
}

impl<'a> Loader<'a> {
    /// What one entry asks for; none where a mistake was told. `alone`: it is no item
    /// of a list.
    pub(super) fn entry<'n>(
        &mut self,
        item: &'n Node,
        alone: bool,
        origin: &Rc<Origin<'a>>,
    ) -> Option<Vec<Wanted<'n>>> {
        if self.includes.world == World::Open
            && let Some(text) = self.unset(item)
        {
            let message = format!("`{text}` is not looked for: its variables are not set here");
            self.unknown::<()>(message, None, item.span);
            return Some(Vec::new());
        }
        let wanted = match &item.value {
            Value::String(text) => {
                let text = self.expand(text);
                if is_url(&text) {
                    let what = What::Remote {
                        url: text,
                        integrity: None,
                        cache: None,
                    };
                    vec![Wanted {
                        what,
                        inputs: None,
                        span: item.span,
                    }]
                } else {
                    self.local(text, None, item.span, origin)
                }
            }
            Value::Map(map) => self.described(map, item, alone, origin)?,
            _ => {
                let message = "Each include must be a hash or a string".to_owned();
                return self.tell("include", message, item.span);
            }
        };
        let mut complete = true;
        for wanted in &wanted {
            let location = wanted.what.location();
            if wanted.what.kind() != Kind::Component && !has_yaml_extension(location) {
                let shown = self.shown(location);
                let message = format!("Included file `{shown}` does not have YAML extension!");
                let _: Option<()> = self.tell("include", message, wanted.span);
                complete = false;
            }
        }
        complete.then_some(wanted)
    }

    /// What of an entry says where its file is and has variables that nobody set. A
    /// server's own name is no matter: components are found without.
    fn unset<'n>(&self, item: &'n Node) -> Option<&'n str> {
        let places = item.as_map().map_or(&[][..], |map| &map.entries);
        let places = places.iter().filter(|entry| {
            let key = entry.key.as_str().unwrap_or_default();
            KINDS.contains(&key) || ["ref", "file"].contains(&key)
        });
        let values = places.map(|entry| &entry.value).chain([item]);
        let texts = values.flat_map(|value| match value.as_seq() {
            Some(items) => items,
            None => std::slice::from_ref(value),
        });
        texts.filter_map(Node::as_str).find(|text| {
            let rest = SERVER.iter().fold((*text).to_owned(), |text, name| {
                text.replace(&format!("${{{name}}}"), "")
                    .replace(&format!("${name}"), "")
            });
            let index = &self.lookup.index;
            index.expand(&rest, Unknown::Keep) != index.expand(&rest, Unknown::Empty)
        })
    }

    /// The form `{local: ..., rules: ...}`.
    fn described<'n>(
        &mut self,
        map: &'n Map,
        item: &Node,
        alone: bool,
        origin: &Rc<Origin<'a>>,
    ) -> Option<Vec<Wanted<'n>>> {
        let entry = self.kind(map, item)?;
        let kind = entry.key.as_str().unwrap_or_default();
        if kind == "artifact" {
            let message = "Including configs from artifacts is only allowed when triggering \
                           child pipelines";
            return self.tell("include", message.to_owned(), entry.key.span);
        }
        if let Some(rules) = map.get("rules").filter(|node| !node.is_null()) {
            let (rules, diagnostics) = config::include_rules(self.sources, rules);
            self.loaded.diagnostics.extend(diagnostics);
            if !self.admits(&rules?, origin) {
                return Some(Vec::new());
            }
        }
        let integrity = self.integrity(map, kind)?;
        let cache = self.cache(map, kind)?;
        let inputs = map.get("inputs").filter(|inputs| !inputs.is_null());
        if kind == "project" {
            return self.project_files(map, entry, inputs, alone);
        }
        let Some(text) = entry.value.as_str() else {
            let shown = entry.value.to_text();
            let shown = shown.unwrap_or_else(|| entry.value.inspect());
            let message = format!("Included file `{shown}` needs to be a string");
            return self.tell("include", message, entry.value.span);
        };
        let text = self.expand(text);
        let span = entry.value.span;
        let what = match kind {
            "local" => return Some(self.local(text, inputs, span, origin)),
            "remote" => What::Remote {
                url: text,
                integrity,
                cache,
            },
            "template" => What::Template { name: text },
            _ => What::Component { address: text },
        };
        Some(vec![Wanted { what, inputs, span }])
    }

    /// The one key that says which form of include it is.
    fn kind<'n>(&mut self, map: &'n Map, item: &Node) -> Option<&'n Entry> {
        let kinds: Vec<&Entry> = map
            .entries
            .iter()
            .filter(|entry| entry.key.as_str().is_some_and(|key| KINDS.contains(&key)))
            .filter(|entry| !is_empty(&entry.value))
            .collect();
        let listed = KINDS.map(|kind| format!("`{kind}`")).join(", ");
        match kinds[..] {
            [entry] => Some(entry),
            [] => {
                let message = format!(
                    "`{}` does not have a valid subkey for include. Valid subkeys are: {listed}",
                    item.to_json()
                );
                self.tell("include", message, item.span)
            }
            [_, second, ..] => {
                let message = format!("Each include must use only one of: {listed}");
                self.tell("include", message, second.key.span)
            }
        }
    }

    /// Whether an include's rules let it in: the first that matches decides,
    /// none leaves it out.
    fn admits(&mut self, rules: &[Rule], origin: &Rc<Origin<'a>>) -> bool {
        for rule in rules {
            match self.holds(rule, origin) {
                Ok(true) => return rule.when != Some(RuleWhen::Never),
                Ok(false) => {}
                // Here there may be less than where the pipeline runs.
                Err(_) if self.includes.world == World::Open => {}
                Err(problem) => {
                    let message = format!("Failed to parse rule for include: {problem}");
                    self.tell::<()>("rule", message, rule.span);
                }
            }
        }
        false
    }

    /// Whether all clauses of a rule hold.
    fn holds(&self, rule: &Rule, origin: &Rc<Origin<'a>>) -> Result<bool, String> {
        let condition = rule.condition.as_ref();
        if !condition.is_none_or(|it| it.truthful(&self.lookup)) {
            return Ok(false);
        }
        if let Some(changes) = &rule.changes {
            let changed = match &changes.compare_to {
                Some(reference) => {
                    let paths = self.others.changed(&self.expand(reference))?;
                    clause::changed(&changes.paths, &Changes::Known(paths.to_vec()))
                }
                None => clause::changed(&changes.paths, self.includes.changes),
            };
            if !changed {
                return Ok(false);
            }
        }
        let Some(exists) = &rule.exists else {
            return Ok(true);
        };
        let globs: Vec<String> = exists.paths.iter().map(|path| self.expand(path)).collect();
        let Some(project) = &exists.project else {
            return Ok(clause::exists(&globs, origin.paths()));
        };
        let reference = exists.reference.as_ref().map(|it| self.expand(it));
        let paths = self
            .others
            .paths(&self.expand(project), reference.as_deref())?;
        Ok(clause::exists(&globs, &paths))
    }

    /// A local file, or all that match.
    fn local<'n>(
        &mut self,
        text: String,
        inputs: Option<&'n Node>,
        span: Span,
        origin: &Rc<Origin<'a>>,
    ) -> Vec<Wanted<'n>> {
        let paths = if !text.contains('*') || origin.files().is_none() {
            vec![text]
        } else {
            let pattern = wildcard(&text);
            let new = |path: &&String| {
                pattern.as_ref().is_some_and(|it| it.is_match(path))
                    && !self
                        .read
                        .contains_key(&Key::File(origin.id, (*path).clone()))
            };
            origin.paths().iter().filter(new).cloned().collect()
        };
        paths
            .into_iter()
            .map(|path| Wanted {
                what: What::Local { path },
                inputs,
                span,
            })
            .collect()
    }

    /// The form `{project: ..., ref: ..., file: ...}`.
    fn project_files<'n>(
        &mut self,
        map: &'n Map,
        entry: &Entry,
        inputs: Option<&'n Node>,
        alone: bool,
    ) -> Option<Vec<Wanted<'n>>> {
        let text = |node: &Node| node.to_text().unwrap_or_else(|| node.inspect());
        let written = text(&entry.value);
        let path = self.expand(&written).to_lowercase();
        if path == written.to_lowercase() && !is_project_path(&path) {
            let message = not_found(&path);
            let told = Diagnostic::error("include", message, Some(entry.value.span))
                .help("a project is named by its whole path: `group/project`");
            self.loaded.diagnostics.push(told);
            return None;
        }
        let reference = map.get("ref").filter(|node| !is_empty(node));
        let reference_span = reference.map_or(entry.value.span, |node| node.span);
        let reference = reference.map(|node| self.expand(&text(node)));
        let reference = reference.filter(|text| !text.is_empty());
        let files: Vec<&Node> = match map.get("file") {
            None => Vec::new(),
            Some(node) if is_empty(node) => Vec::new(),
            Some(Node {
                value: Value::Seq(items),
                ..
            }) => items.iter().collect(),
            Some(node) => vec![node],
        };
        if files.is_empty() {
            // GitLab does not take a map apart that is in no list.
            let message = if alone {
                "include config should be an array or a string"
            } else {
                "include config must specify the file where to fetch the config from"
            };
            let told = Diagnostic::error("include", message, Some(entry.key.span))
                .help("say which file of the project: `file: /path/to/it.yml`");
            self.loaded.diagnostics.push(told);
            return None;
        }
        let wanted = files.into_iter().map(|file| Wanted {
            what: What::Project {
                path: path.clone(),
                reference: reference.clone(),
                file: self.expand(&text(file)),
                spans: (entry.value.span, reference_span),
            },
            inputs,
            span: file.span,
        });
        Some(wanted.collect())
    }

    /// None: a mistake was told.
    fn integrity(&mut self, map: &Map, kind: &str) -> Option<Option<String>> {
        let Some(node) = map.get("integrity").filter(|node| !node.is_null()) else {
            return Some(None);
        };
        if kind != "remote" {
            self.idle("integrity", node.span);
            return Some(None);
        }
        let text = node.to_text().unwrap_or_default();
        match integrity::problem(&text) {
            None => Some(Some(text)),
            Some(problem) => {
                let message = format!("include config {problem}");
                self.tell("include", message, node.span)
            }
        }
    }

    /// None: a mistake was told.
    fn cache(&mut self, map: &Map, kind: &str) -> Option<Option<Duration>> {
        let Some(node) = map.get("cache").filter(|node| !node.is_null()) else {
            return Some(None);
        };
        if kind != "remote" {
            self.idle("cache", node.span);
            return Some(None);
        }
        let text = match &node.value {
            Value::Bool(cached) => return Some(cached.then_some(HOUR)),
            _ => node.to_text().unwrap_or_default(),
        };
        let age = duration::parse(&text).ok();
        let age = age.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let problem = match age {
            Some(age) if age >= MINUTE => return Some(Some(age)),
            Some(_) => "must be at least 1 minute",
            None => "should be a duration or a boolean value",
        };
        self.tell("include", format!("include cache {problem}"), node.span)
    }

    /// GitLab takes these keys anywhere, and ignores them.
    fn idle(&mut self, key: &str, span: Span) {
        let message = format!("include: `{key}` has a meaning for remote files alone");
        let found = Diagnostic::warning("include", message, Some(span));
        self.loaded.diagnostics.push(found);
    }
}
