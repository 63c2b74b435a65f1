//! The document before the `---`: what a file asks for.

use std::collections::BTreeSet;

use super::value::MAX_OPTIONS;
use super::{HEADER, InputKind, nothing};
use crate::tree::Entry;
use crate::{Diagnostic, Map, Node, Span, Value, suggest};

/// What `spec:component` may list.
const FIELDS: [&str; 4] = ["name", "sha", "version", "reference"];
const SPEC_KEYS: [&str; 4] = ["inputs", "include", "component", "description"];
const INPUT_KEYS: [&str; 6] = [
    "default",
    "description",
    "options",
    "regex",
    "type",
    "rules",
];
/// Characters of a description.
const MAX_DESCRIPTION: usize = 256;

/// A header that has the right shape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    /// What can be given, in the order it is written.
    pub(crate) inputs: Vec<Input>,
    /// What the file wants to know of itself as a component.
    pub(crate) component: Vec<&'static str>,
}

/// A declared input.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    /// Where its name stands.
    pub(crate) span: Span,
    /// Whether its name is text; numbers are names that no block finds, as in GitLab.
    pub(super) can_be_found: bool,
    pub(super) kind: InputKind,
    /// None: it has to be given.
    pub(super) default: Option<Node>,
    pub(super) options: Option<Vec<Node>>,
    pub(super) regex: Option<Node>,
    /// None: it has none.
    pub(super) rules: Option<Vec<Node>>,
}

/// Reads a header; `specs` is what the files hold that it includes, whose inputs come
/// first.
///
/// # Errors
/// All there is to say about its shape.
pub(crate) fn declared(header: &Node, specs: &[Node]) -> Result<Header, Vec<Diagnostic>> {
    let mut reader = Reader::default();
    let own = reader.header(header);
    let mut inputs: Vec<Input> = specs.iter().flat_map(|spec| reader.spec(spec)).collect();
    if !specs.is_empty() {
        reader.unique(inputs.iter().chain(&own.inputs));
    }
    inputs.extend(own.inputs);
    let header = Header { inputs, ..own };
    if reader.diagnostics.is_empty() {
        Ok(header)
    } else {
        Err(reader.diagnostics)
    }
}

#[derive(Default)]
struct Reader {
    diagnostics: Vec<Diagnostic>,
}

impl Reader {
    fn header(&mut self, header: &Node) -> Header {
        let Value::Map(map) = &header.value else {
            self.tell("header config should be a hash", header.span);
            return Header::default();
        };
        self.known(map, "header", &["spec"]);
        let Some(spec) = map.get("spec").filter(|spec| !spec.is_null()) else {
            return Header::default();
        };
        let Value::Map(spec_map) = &spec.value else {
            self.tell("header:spec config should be a hash", spec.span);
            return Header::default();
        };
        self.known(spec_map, "header:spec", &SPEC_KEYS);
        if let Some(description) = spec_map.get("description").filter(|it| !it.is_null()) {
            self.description(description);
        }
        let component = spec_map.get("component").filter(|it| !it.is_null());
        Header {
            inputs: self.inputs(spec_map, "header:spec"),
            component: component.map(|it| self.component(it)).unwrap_or_default(),
        }
    }

    /// A file that a header includes.
    fn spec(&mut self, spec: &Node) -> Vec<Input> {
        let Value::Map(map) = &spec.value else {
            self.tell("header:spec:include config should be a hash", spec.span);
            return Vec::new();
        };
        self.known(map, "header:spec:include", &["inputs"]);
        self.inputs(map, "header:spec")
    }

    fn unique<'i>(&mut self, inputs: impl Iterator<Item = &'i Input>) {
        let mut names = BTreeSet::new();
        for input in inputs {
            if !names.insert(&input.name) {
                let message = "Input keys must be unique across all included files and inline \
                               specifications.";
                self.tell(message, input.span);
            }
        }
    }

    /// The `inputs` of a map.
    fn inputs(&mut self, map: &Map, place: &str) -> Vec<Input> {
        let Some(inputs) = map.get("inputs").filter(|inputs| !inputs.is_null()) else {
            return Vec::new();
        };
        let Value::Map(inputs) = &inputs.value else {
            let message = format!("{place}:inputs config should be a hash");
            self.tell(message, inputs.span);
            return Vec::new();
        };
        let place = format!("{place}:inputs");
        let inputs = inputs.entries.iter();
        inputs.map(|entry| self.input(entry, &place)).collect()
    }

    fn input(&mut self, entry: &Entry, place: &str) -> Input {
        let name = entry.key.to_text().unwrap_or_else(|| entry.key.inspect());
        let place = format!("{place}:{name}");
        let empty = nothing(entry.value.span);
        let value = if entry.value.is_null() {
            &empty
        } else {
            &entry.value
        };
        let none = Map::default();
        let map = match &value.value {
            Value::Map(map) => map,
            _ => {
                self.tell(format!("{place} config should be a hash"), value.span);
                &none
            }
        };
        self.known(map, &place, &INPUT_KEYS);
        self.together(map, &place);
        let rules = map.get("rules").filter(|rules| !rules.is_null());
        let rules = rules.and_then(|rules| match rules.as_seq() {
            Some(items) => Some(items.to_vec()),
            None => {
                let message = format!("{place}:rules config should be an array");
                self.tell(message, rules.span);
                None
            }
        });
        Input {
            kind: self.kind(map, &place),
            default: map.get("default").cloned(),
            options: self.options(map, &place),
            regex: self.regex(map, &place),
            rules,
            name,
            span: entry.key.span,
            can_be_found: entry.key.as_str().is_some(),
        }
    }

    fn kind(&mut self, map: &Map, place: &str) -> InputKind {
        let Some(node) = map.get("type").filter(|node| !node.is_null()) else {
            return InputKind::String;
        };
        node.as_str().and_then(InputKind::named).unwrap_or_else(|| {
            let shown = node.to_text().unwrap_or_else(|| node.inspect());
            let message = format!("{place} input type unknown value: {shown}");
            self.tell(message, node.span)
                .help("it is one of: array, boolean, number, string");
            InputKind::String
        })
    }

    fn options(&mut self, map: &Map, place: &str) -> Option<Vec<Node>> {
        let node = map.get("options").filter(|node| !node.is_null())?;
        let Some(options) = node.as_seq() else {
            let message = format!("{place} input options should be an array");
            self.tell(message, node.span);
            return None;
        };
        if options.len() > MAX_OPTIONS {
            let message = format!("{place} config cannot define more than {MAX_OPTIONS} options");
            self.tell(message, node.span);
        }
        if let Some(null) = options.iter().find(|option| option.is_null()) {
            let message = format!("{place} config options array cannot contain null values");
            self.tell(message, null.span);
        }
        Some(options.to_vec())
    }

    fn regex(&mut self, map: &Map, place: &str) -> Option<Node> {
        let node = map.get("regex").filter(|node| !node.is_null())?;
        if node.as_str().is_none() {
            self.tell(format!("{place} input regex should be a string"), node.span);
            return None;
        }
        Some(node.clone())
    }

    fn description(&mut self, node: &Node) {
        match node.as_str() {
            None => {
                let message = "header:spec config description should be a string";
                self.tell(message, node.span);
            }
            Some(text) if text.chars().count() > MAX_DESCRIPTION => {
                let message = "header:spec config description is too long (maximum is 256 \
                               characters)";
                self.tell(message, node.span);
            }
            Some(_) => {}
        }
    }

    fn component(&mut self, node: &Node) -> Vec<&'static str> {
        let Some(items) = node.as_seq() else {
            self.tell("header:spec:component config should be an array", node.span);
            let message = "header:spec:component config should be an array of strings";
            self.tell(message, node.span);
            return Vec::new();
        };
        let known = |item: &Node| FIELDS.iter().find(|field| item.as_str() == Some(field));
        let unknown: Vec<String> = items
            .iter()
            .filter(|item| known(item).is_none())
            .map(|item| item.to_text().unwrap_or_else(|| item.inspect()))
            .collect();
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            let message =
                format!("header:spec:component config contains unknown values: {unknown}");
            self.tell(message, node.span)
                .help("a component knows its name, sha, version and reference");
        }
        items.iter().filter_map(known).copied().collect()
    }

    /// Keys that a rule takes the place of.
    fn together(&mut self, map: &Map, place: &str) {
        let Some(rules) = map.entry("rules") else {
            return;
        };
        let excluded = ["options", "default"];
        let keys = map.entries.iter().filter_map(|entry| entry.key.as_str());
        let found: Vec<&str> = keys.filter(|key| excluded.contains(key)).collect();
        if !found.is_empty() {
            let found = found.join(", ");
            let message =
                format!("{place} config these keys cannot be used together: {found}, rules");
            self.tell(message, rules.key.span)
                .help("put `options` and `default` into a rule");
        }
    }

    fn known(&mut self, map: &Map, place: &str, keys: &[&str]) {
        let shown = |entry: &Entry| entry.key.to_text().unwrap_or_else(|| entry.key.inspect());
        let unknown: Vec<&Entry> = map
            .entries
            .iter()
            .filter(|entry| entry.key.as_str().is_none_or(|key| !keys.contains(&key)))
            .collect();
        let Some(first) = unknown.first() else { return };
        let names: Vec<String> = unknown.iter().map(|entry| shown(entry)).collect();
        let message = format!("{place} config contains unknown keys: {}", names.join(", "));
        let near = suggest::nearest(&names[0], keys.iter().copied());
        let told = self.tell(message, first.key.span);
        if let Some(near) = near {
            told.help(format!("did you mean `{near}`?"));
        }
    }

    fn tell(&mut self, message: impl Into<String>, span: Span) -> Told<'_> {
        let diagnostic = Diagnostic::error(HEADER, message, Some(span));
        self.diagnostics.push(diagnostic);
        Told(self.diagnostics.last_mut())
    }
}

/// What was told last.
struct Told<'a>(Option<&'a mut Diagnostic>);

impl Told<'_> {
    fn help(self, help: impl Into<String>) {
        if let Some(diagnostic) = self.0 {
            diagnostic.help = Some(help.into());
        }
    }
}
