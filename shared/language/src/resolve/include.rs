//! `include`: the files a file names, merged under it.
//!
//! `entry` reads what an entry asks for, `source` gets it, `read` makes a tree of its
//! text, `origin` knows what the entries of that tree mean; here they are put together.

mod entry;
mod header;
mod integrity;
mod origin;
mod read;
mod record;
mod source;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use fleet_model::{IncludeKind as Kind, Included, Variable};

use self::{
    entry::Wanted,
    origin::Origin,
    source::{Key, Source},
};
use super::nearest::Nearest;
use crate::{
    Changes, Diagnostic, FileId, Node, Reach, Severity, Sources, Span, Value,
    expression::Lookup,
    fetch::{Failed, Why},
    inputs,
    others::Others,
    pattern::{self, Pattern},
    tree::Pile,
    variables::{Index, Unknown},
};

/// The code of files that are left out of an open world.
const UNKNOWN: &str = "include-unknown";

/// Files that one configuration may include; the same one twice counts twice.
const MAX_FILES: usize = 150;

/// Includes of all files, those that are left out too. GitLab counts only files;
/// each of these may look at all paths of the repository.
const MAX_ITEMS: usize = 1000;

/// All files of a configuration together, in bytes.
const MAX_BYTES: usize = 16 << 20;

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
    pub(crate) inputs: &'a [inputs::Given],
    /// Whether files that cannot be had here may be left out.
    pub(crate) world: World,
}

/// Whether all that a configuration includes has to be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    /// What cannot be had is an error.
    Closed,
    /// What may well be had elsewhere is only told of, and what it could explain is not
    /// held against the rest.
    Open,
}

/// What came of the root file and all that it includes.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The merged map, `include` taken out; none where that cannot be had.
    pub(crate) tree: Option<Node>,
    /// The files that were included, in the order they were read.
    pub(crate) included: Vec<Included>,
    /// Whether a file is missing that may well be had elsewhere.
    pub(crate) is_partial: bool,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Reads the root file and everything it includes. There is no tree where anything of it
/// is wrong.
pub(crate) fn load(sources: &mut Sources, root: FileId, includes: Includes<'_>) -> Loaded {
    let bytes = sources.get(root).map_or(0, |file| file.text.len());
    let mut loader = Loader {
        sources,
        includes,
        lookup: Variables {
            index: Index::new(includes.variables),
            patterns: pattern::Cache::default(),
        },
        others: Others::new(includes.reach),
        origins: 1,
        projects: HashMap::new(),
        nearest: Nearest::default(),
        read: BTreeMap::new(),
        count: 0,
        items: 0,
        bytes,
        loaded: Loaded::default(),
    };
    let origin = Rc::new(Origin::root(includes.reach.files));
    let tree = match loader.root(root, &origin) {
        Ok(Some(body)) => loader.with_includes(body, &origin),
        other => other,
    };
    match tree {
        Ok(tree) => loader.loaded.tree = tree,
        Err(diagnostic) => loader.loaded.diagnostics.push(diagnostic),
    }
    let mut found = loader.loaded.diagnostics.iter();
    if found.any(|it| it.severity == Severity::Error) {
        loader.loaded.tree = None;
    }
    if loader.lookup.patterns.is_exhausted() {
        let message = "the regular expressions in the rules of includes are too large together";
        let diagnostic = Diagnostic::error("patterns-too-large", message, None);
        loader.loaded.diagnostics.push(diagnostic);
    }
    loader.loaded
}

struct Loader<'a> {
    sources: &'a mut Sources,
    includes: Includes<'a>,
    lookup: Variables<'a>,
    /// What rules ask of other commits.
    others: Others<'a>,
    /// Repositories that files come from; the root's is the first.
    origins: usize,
    /// The projects that were asked for, at their refs.
    projects: HashMap<(String, Option<String>), Result<Rc<Origin<'a>>, Failed>>,
    nearest: Nearest,
    /// The files that were read; none where that failed, which was told.
    read: BTreeMap<Key, Option<Source<'a>>>,
    count: usize,
    items: usize,
    bytes: usize,
    loaded: Loaded,
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

/// A value, or none where a mistake was told. The error ends everything.
type Perhaps<T> = Result<Option<T>, Diagnostic>;

impl<'a> Loader<'a> {
    /// The content of a file over what it includes.
    fn with_includes(&mut self, mut body: Node, origin: &Rc<Origin<'a>>) -> Perhaps<Node> {
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
        let (items, alone) = match include.value.value {
            Value::Null => (Vec::new(), false),
            Value::Seq(items) => (items, false),
            _ => (vec![include.value], true),
        };
        let mut merged = Pile::default();
        for item in items.iter().filter(|item| !item.is_null()) {
            self.one_more(item)?;
            let wanted = self.entry(item, alone, origin);
            for wanted in wanted.into_iter().flatten() {
                if let Some(Node {
                    value: Value::Map(map),
                    ..
                }) = self.file(&wanted, origin)?
                {
                    merged.lay(map);
                }
            }
        }
        if let Value::Map(own) = body.value {
            merged.lay(own);
        }
        Ok(Some(Node {
            span: body.span,
            value: Value::Map(merged.finish()),
        }))
    }

    /// Counts an entry of `include`.
    fn one_more(&mut self, item: &Node) -> Result<(), Diagnostic> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            let message = format!("Maximum of {MAX_ITEMS} includes are allowed!");
            return Err(Diagnostic::error("include", message, Some(item.span)));
        }
        Ok(())
    }

    /// Gets a file, within the limits.
    fn open(&mut self, wanted: &Wanted<'_>, origin: &Rc<Origin<'a>>) -> Perhaps<Source<'a>> {
        self.count += 1;
        if self.count > MAX_FILES {
            let message = format!("Maximum of {MAX_FILES} nested includes are allowed!");
            return Err(Diagnostic::error("include", message, Some(wanted.span)));
        }
        let Some(source) = self.source(wanted, origin)? else {
            return Ok(None);
        };
        // A file that is included again is merged again.
        self.bytes = self.bytes.saturating_add(source.bytes);
        if self.bytes > MAX_BYTES {
            let message = "Total size of combined CI/CD configuration is too big";
            return Err(Diagnostic::error("too-big", message, Some(wanted.span)));
        }
        Ok(Some(source))
    }

    /// One file with everything it includes.
    fn file(&mut self, wanted: &Wanted<'_>, origin: &Rc<Origin<'a>>) -> Perhaps<Node> {
        let Some(source) = self.open(wanted, origin)? else {
            return Ok(None);
        };
        match self.body(&source, wanted)? {
            Some(body) => self.with_includes(body, &source.origin),
            None => Ok(None),
        }
    }

    fn expand(&self, text: &str) -> String {
        self.lookup.index.expand(text, Unknown::Empty)
    }

    /// A location as people may see it: without the values of masked variables.
    fn shown(&self, location: &str) -> String {
        let secrets = self.includes.variables.iter().filter(|it| it.masked);
        let mut shown = location.to_owned();
        for secret in secrets.filter(|it| !it.value.is_empty()) {
            if shown.contains(&secret.value) {
                shown = shown.replace(&secret.value, "[MASKED]");
            }
        }
        shown
    }

    fn tell<T>(&mut self, code: &'static str, message: String, span: Span) -> Option<T> {
        self.loaded
            .diagnostics
            .push(Diagnostic::error(code, message, Some(span)));
        None
    }

    /// Tells a failure to get something, in the words that go with its kind; what
    /// cannot go better with the next file ends everything.
    fn failed<T>(&mut self, failed: &Failed, message: String, span: Span) -> Perhaps<T> {
        if self.includes.world == World::Open && !failed.why.is_definite() {
            return Ok(self.unknown(message, failed.help.clone(), span));
        }
        let message = match &failed.why {
            Why::Deadline => "Request timed out when fetching configuration files.".to_owned(),
            _ => message,
        };
        let mut diagnostic = Diagnostic::error("include", message, Some(span));
        diagnostic.help.clone_from(&failed.help);
        if failed.why == Why::Deadline {
            return Err(diagnostic);
        }
        self.loaded.diagnostics.push(diagnostic);
        Ok(None)
    }
}

impl Loader<'_> {
    /// Goes on without a file that may well be had elsewhere.
    fn unknown<T>(&mut self, message: String, help: Option<String>, span: Span) -> Option<T> {
        let mut told = Diagnostic::warning(UNKNOWN, message, Some(span));
        told.help = help;
        let note = "what this file could bring is not missed in the rest of the configuration";
        self.loaded.diagnostics.push(told.note(note, None));
        self.loaded.is_partial = true;
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
