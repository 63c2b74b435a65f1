//! `include`: the files a file names, merged under it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use fleet_model::Variable;

use super::{
    location::{has_yaml_extension, is_url, wildcard},
    nearest::Nearest,
};
use crate::{
    Changes, Diagnostic, Entry, FileId, Map, Node, Reach, Severity, Sources, Span, Value,
    config::{self, Rule, RuleWhen},
    evaluate::clause,
    expression::Lookup,
    inputs::{self, Given},
    pattern::{self, Pattern},
    tree::Pile,
    variables::{Index, Unknown},
    yaml,
};

/// Files that one configuration may include; the same one twice counts twice.
const MAX_FILES: usize = 150;

/// Includes of all files, those that are left out too. GitLab counts only files;
/// each of these may look at all paths of the repository.
const MAX_ITEMS: usize = 1000;

/// All files of a configuration together, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// The kinds of includes, as GitLab's sentences list them.
const KINDS: [&str; 6] = [
    "local",
    "project",
    "remote",
    "template",
    "artifact",
    "component",
];

/// What includes are looked up in.
#[derive(Clone, Copy)]
pub(crate) struct Includes<'a> {
    /// The commit, and all else that may be named.
    pub(crate) reach: Reach<'a>,
    /// What paths and rules may refer to, lowest precedence first.
    pub(crate) variables: &'a [Variable],
    /// What the event changed.
    pub(crate) changes: &'a Changes,
    /// Values for the root file's inputs.
    pub(crate) inputs: &'a [Given],
}

/// Reads the root file and everything it includes.
///
/// Returns the merged map, `include` taken out; none where that cannot be had.
pub(crate) fn load(
    sources: &mut Sources,
    root: FileId,
    includes: Includes<'_>,
) -> (Option<Node>, Vec<Diagnostic>) {
    let bytes = sources.get(root).map_or(0, |file| file.text.len());
    let mut loader = Loader {
        sources,
        includes,
        lookup: Variables {
            index: Index::new(includes.variables),
            patterns: pattern::Cache::default(),
        },
        paths: None,
        nearest: Nearest::default(),
        read: BTreeMap::new(),
        count: 0,
        items: 0,
        bytes,
        diagnostics: Vec::new(),
    };
    let tree = match loader.parse(root, None) {
        Some(body) => loader.with_includes(body),
        None => Ok(None),
    };
    let tree = tree.unwrap_or_else(|diagnostic| {
        loader.diagnostics.push(diagnostic);
        None
    });
    if loader.lookup.patterns.is_exhausted() {
        let message = "the regular expressions in the rules of includes are too large together";
        let diagnostic = Diagnostic::error("patterns-too-large", message, None);
        loader.diagnostics.push(diagnostic);
    }
    (tree, loader.diagnostics)
}

struct Loader<'a> {
    sources: &'a mut Sources,
    includes: Includes<'a>,
    lookup: Variables<'a>,
    paths: Option<BTreeSet<String>>,
    nearest: Nearest,
    /// The files that were read, by path.
    read: BTreeMap<String, ReadFile>,
    count: usize,
    items: usize,
    bytes: usize,
    diagnostics: Vec<Diagnostic>,
}

/// An included file.
#[derive(Clone)]
struct ReadFile {
    /// None: it could not be read, which was told.
    body: Option<Node>,
    bytes: usize,
}

/// What the rules of includes see. Patterns are compiled once, and not too many.
struct Variables<'a> {
    index: Index<'a>,
    patterns: pattern::Cache,
}

impl Lookup for Variables<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        self.index.variable(name)
    }

    fn is_match(&self, pattern: &Pattern, text: &str) -> bool {
        self.patterns.is_match(pattern, text)
    }
}

/// A map, or none where a mistake was told. The error ends everything.
type Loaded = Result<Option<Node>, Diagnostic>;

impl Loader<'_> {
    /// Parses a file; an included one is named in the sentences about it.
    fn parse(&mut self, file: FileId, included: Option<&str>) -> Option<Node> {
        let (document, mut diagnostics) = yaml::parse(self.sources, file);
        if let Some(path) = included {
            for diagnostic in &mut diagnostics {
                if diagnostic.severity == Severity::Error {
                    diagnostic.message = format!("`{path}`: {}", diagnostic.message);
                }
            }
        }
        self.diagnostics.extend(diagnostics);
        let document = document?;
        let given = match included {
            Some(_) => &[][..],
            None => self.includes.inputs,
        };
        let surroundings = inputs::Surroundings {
            given,
            span: None,
            component: BTreeMap::new(),
            variables: &self.lookup.index,
        };
        match inputs::apply(document, &surroundings) {
            Ok(body) => Some(body),
            Err(mut found) => {
                if let Some(path) = included {
                    for told in &mut found {
                        told.message = format!("`{path}`: {}", told.message);
                    }
                }
                self.diagnostics.extend(found);
                None
            }
        }
    }

    /// The content of a file over what it includes.
    fn with_includes(&mut self, mut body: Node) -> Loaded {
        let Value::Map(own) = &mut body.value else {
            return Ok(Some(body));
        };
        let place = own
            .entries
            .iter()
            .position(|entry| entry.key.as_str() == Some("include"));
        let Some(include) = place.map(|place| own.entries.remove(place)) else {
            return Ok(Some(body));
        };
        let items = match include.value.value {
            Value::Null => Vec::new(),
            Value::Seq(items) => items,
            _ => vec![include.value],
        };
        let mut merged = Pile::default();
        let mut complete = true;
        for item in items.iter().filter(|item| !item.is_null()) {
            self.items += 1;
            if self.items > MAX_ITEMS {
                let message = format!("Maximum of {MAX_ITEMS} includes are allowed!");
                return Err(Diagnostic::error("include", message, Some(item.span)));
            }
            match self.item(item)? {
                Some(included) => {
                    for tree in included {
                        if let Value::Map(map) = tree.value {
                            merged.lay(map);
                        }
                    }
                }
                None => complete = false,
            }
        }
        if let Value::Map(own) = body.value {
            merged.lay(own);
        }
        Ok(complete.then(|| Node {
            span: body.span,
            value: Value::Map(merged.finish()),
        }))
    }

    /// The files of one include.
    fn item(&mut self, item: &Node) -> Result<Option<Vec<Node>>, Diagnostic> {
        match &item.value {
            Value::String(text) => {
                let location = self.expand(text);
                if is_url(&location) {
                    return Ok(self.refuse(item.span, "include:remote"));
                }
                self.local(&location, item.span)
            }
            Value::Map(map) => self.described(map, item),
            _ => {
                let message = "Each include must be a hash or a string".to_owned();
                Ok(self.tell("include", message, item.span))
            }
        }
    }

    /// The form `{local: ..., rules: ...}`.
    fn described(&mut self, map: &Map, item: &Node) -> Result<Option<Vec<Node>>, Diagnostic> {
        let kinds: Vec<&Entry> = map
            .entries
            .iter()
            .filter(|entry| entry.key.as_str().is_some_and(|key| KINDS.contains(&key)))
            .filter(|entry| !is_empty(&entry.value))
            .collect();
        let listed = KINDS.map(|kind| format!("`{kind}`")).join(", ");
        let entry = match kinds[..] {
            [entry] => entry,
            [] => {
                let message = format!(
                    "`{}` does not have a valid subkey for include. Valid subkeys are: {listed}",
                    item.to_json()
                );
                return Ok(self.tell("include", message, item.span));
            }
            [_, second, ..] => {
                let message = format!("Each include must use only one of: {listed}");
                return Ok(self.tell("include", message, second.key.span));
            }
        };
        if let Some(rules) = map.get("rules").filter(|node| !node.is_null()) {
            let (rules, diagnostics) = config::include_rules(self.sources, rules);
            self.diagnostics.extend(diagnostics);
            match rules {
                None => return Ok(None),
                Some(rules) if !self.admits(&rules) => return Ok(Some(Vec::new())),
                Some(_) => {}
            }
        }
        match entry.key.as_str().unwrap_or_default() {
            "local" => {}
            "artifact" => {
                let message = "Including configs from artifacts is only allowed when triggering \
                               child pipelines";
                return Ok(self.tell("include", message.to_owned(), entry.key.span));
            }
            kind => return Ok(self.refuse(entry.key.span, &format!("include:{kind}"))),
        }
        if let Some(inputs) = map.entry("inputs").filter(|entry| !is_empty(&entry.value)) {
            return Ok(self.refuse(inputs.key.span, "include:inputs"));
        }
        match entry.value.as_str() {
            Some(path) => {
                let path = self.expand(path);
                self.local(&path, entry.value.span)
            }
            None => {
                let shown = entry
                    .value
                    .to_text()
                    .unwrap_or_else(|| entry.value.inspect());
                let message = format!("Included file `{shown}` needs to be a string");
                Ok(self.tell("include", message, entry.value.span))
            }
        }
    }

    /// Whether an include's rules let it in: the first that matches decides,
    /// none leaves it out.
    fn admits(&mut self, rules: &[Rule]) -> bool {
        let mut admitted = false;
        for rule in rules {
            let condition = rule.condition.as_ref();
            let changes = rule.changes.as_ref();
            let holds = condition.is_none_or(|it| it.truthful(&self.lookup))
                && changes.is_none_or(|it| clause::changed(&it.paths, self.includes.changes));
            let holds = holds
                && match &rule.exists {
                    None => true,
                    Some(exists) => {
                        let globs: Vec<String> =
                            exists.paths.iter().map(|path| self.expand(path)).collect();
                        clause::exists(&globs, self.paths())
                    }
                };
            if holds {
                admitted = rule.when != Some(RuleWhen::Never);
                break;
            }
        }
        admitted
    }

    /// A local file, or all that match.
    fn local(&mut self, location: &str, span: Span) -> Result<Option<Vec<Node>>, Diagnostic> {
        if !location.contains('*') {
            let loaded = self.local_file(location, span)?;
            return Ok(loaded.map(|tree| vec![tree]));
        }
        let matching: Vec<String> = match wildcard(location) {
            None => Vec::new(),
            Some(pattern) => {
                self.paths();
                let all = self.paths.iter().flatten();
                let new = |path: &&String| pattern.is_match(path) && !self.read.contains_key(*path);
                all.filter(new).cloned().collect()
            }
        };
        let mut trees = Vec::new();
        let mut complete = true;
        for path in matching {
            match self.local_file(&path, span)? {
                Some(tree) => trees.push(tree),
                None => complete = false,
            }
        }
        Ok(complete.then_some(trees))
    }

    fn local_file(&mut self, location: &str, span: Span) -> Loaded {
        self.count += 1;
        if self.count > MAX_FILES {
            let message = format!("Maximum of {MAX_FILES} nested includes are allowed!");
            return Err(Diagnostic::error("include", message, Some(span)));
        }
        if !has_yaml_extension(location) {
            let message = format!("Included file `{location}` does not have YAML extension!");
            return Ok(self.tell("include", message, span));
        }
        let path = location.trim_start_matches('/');
        let file = match self.read.get(path) {
            Some(file) => file.clone(),
            None => {
                let file = self.read_file(location, path, span);
                self.read.insert(path.to_owned(), file.clone());
                file
            }
        };
        // A file that is included again is merged again.
        self.bytes = self.bytes.saturating_add(file.bytes);
        if self.bytes > MAX_BYTES {
            let message = "Total size of combined CI/CD configuration is too big";
            return Err(Diagnostic::error("too-big", message, Some(span)));
        }
        match file.body {
            Some(body) => self.with_includes(body),
            None => Ok(None),
        }
    }

    fn read_file(&mut self, location: &str, path: &str, span: Span) -> ReadFile {
        let Some(content) = self.includes.reach.files.read(path) else {
            self.paths();
            let paths = self.paths.iter().flatten();
            let names: Vec<&str> = paths.map(String::as_str).collect();
            let near = self.nearest.find(path, names.into_iter());
            let message = format!("Local file `{location}` does not exist!");
            let mut diagnostic = Diagnostic::error("include", message, Some(span));
            diagnostic.help = near.map(|near| format!("a file `{near}` exists"));
            self.diagnostics.push(diagnostic);
            return ReadFile {
                body: None,
                bytes: 0,
            };
        };
        let bytes = content.len();
        let body = self.read_content(location, path, content, span);
        ReadFile { body, bytes }
    }

    fn read_content(
        &mut self,
        location: &str,
        path: &str,
        content: Vec<u8>,
        span: Span,
    ) -> Option<Node> {
        let Ok(text) = String::from_utf8(content) else {
            return self.tell(
                "include",
                format!("`{location}`: Invalid YAML syntax"),
                span,
            );
        };
        if text.trim().is_empty() {
            let message = format!("Local file `{location}` is empty!");
            return self.tell("include", message, span);
        }
        let file = self.sources.include(path, text, span);
        let body = self.parse(file, Some(location))?;
        if body.as_map().is_some_and(|map| map.entries.is_empty()) {
            let message = format!("Included file `{location}` does not have valid YAML syntax!");
            return self.tell("include", message, span);
        }
        Some(body)
    }

    fn paths(&mut self) -> &BTreeSet<String> {
        let files = self.includes.reach.files;
        self.paths
            .get_or_insert_with(|| files.paths().into_iter().collect())
    }

    fn expand(&self, text: &str) -> String {
        self.lookup.index.expand(text, Unknown::Empty)
    }

    fn refuse<T>(&mut self, span: Span, what: &str) -> Option<T> {
        self.tell(
            "not-supported",
            format!("{what} is not supported yet"),
            span,
        )
    }

    fn tell<T>(&mut self, code: &'static str, message: String, span: Span) -> Option<T> {
        self.diagnostics
            .push(Diagnostic::error(code, message, Some(span)));
        None
    }
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Seq(items) => items.is_empty(),
        Value::Map(map) => map.entries.is_empty(),
        _ => false,
    }
}
