//! A file's text becomes the tree that is merged: with the inputs it is given.

use std::{collections::BTreeMap, rc::Rc};

use super::{Loader, Perhaps, entry::Wanted, origin::Origin, source::Source};
use crate::{
    Diagnostic, FileId, Node, Severity, Value, inputs,
    yaml::{self, Document},
};

/// What a file gets from whoever includes it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given<'n> {
    /// The values for its inputs, as they are written; none: those of the pipeline.
    pub(super) inputs: Option<&'n Node>,
    /// What `spec:component` asks for.
    pub(super) component: Option<&'n ComponentFacts>,
}

/// What a component may know of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ComponentFacts {
    /// `name` of its address.
    pub(super) name: String,
    /// The commit.
    pub(super) sha: String,
    /// The release; none for branches and commits.
    pub(super) version: Option<String>,
    /// What stands behind the `@`.
    pub(super) reference: String,
}

impl ComponentFacts {
    /// By the names of `spec:component`.
    fn fields(&self) -> BTreeMap<&'static str, Value> {
        let text = |text: &str| Value::String(text.into());
        let version = self.version.as_deref().map_or(Value::Null, text);
        BTreeMap::from([
            ("name", text(&self.name)),
            ("sha", text(&self.sha)),
            ("version", version),
            ("reference", text(&self.reference)),
        ])
    }
}

impl<'a> Loader<'a> {
    /// Parses the root file, and gives it the inputs of the pipeline.
    pub(super) fn root(&mut self, file: FileId, origin: &Rc<Origin<'a>>) -> Perhaps<Node> {
        match self.document(file, None) {
            Some(document) => self.with_inputs(document, None, Given::default(), origin),
            None => Ok(None),
        }
    }

    /// Parses a file; an included one is named in the sentences about it.
    pub(super) fn document(&mut self, file: FileId, location: Option<&str>) -> Option<Document> {
        let (document, diagnostics) = yaml::parse(self.sources, file);
        let _: Option<()> = self.tell_of(location, diagnostics);
        document
    }

    /// The body of an included file, with the inputs of this include.
    pub(super) fn body(&mut self, source: &Source<'a>, wanted: &Wanted<'_>) -> Perhaps<Node> {
        let Some(document) = source.document.as_deref().cloned() else {
            return Ok(None);
        };
        let given = Given {
            inputs: wanted.inputs,
            component: source.component.as_deref(),
        };
        let location = self.shown(wanted.what.location());
        let body = self.with_inputs(document, Some(&location), given, &source.origin)?;
        let body = body.filter(|body| {
            let is_empty = body.as_map().is_some_and(|map| map.entries.is_empty());
            if is_empty {
                let message =
                    format!("Included file `{location}` does not have valid YAML syntax!");
                self.tell::<()>("include", message, wanted.span);
            }
            !is_empty
        });
        Ok(body)
    }

    /// Puts inputs in their places: the one place where a file gets them.
    fn with_inputs(
        &mut self,
        document: Document,
        location: Option<&str>,
        given: Given<'_>,
        origin: &Rc<Origin<'a>>,
    ) -> Perhaps<Node> {
        let specs = match &document.header {
            Some(header) => self.specs(header, given.component.is_some(), location, origin)?,
            None => Some(Vec::new()),
        };
        let Some(specs) = specs else {
            return Ok(None);
        };
        let written = match given.inputs.map(inputs::Given::of).transpose() {
            Ok(written) => written,
            Err(diagnostic) => return Ok(self.tell_of(location, vec![diagnostic])),
        };
        let values = match (&written, location) {
            (Some(written), _) => written.as_slice(),
            (None, None) => self.includes.inputs,
            (None, Some(_)) => &[],
        };
        let surroundings = inputs::Surroundings {
            given: values,
            specs: &specs,
            span: given.inputs.map(|inputs| inputs.span),
            component: given
                .component
                .map(ComponentFacts::fields)
                .unwrap_or_default(),
            variables: &self.lookup.index,
        };
        let body = inputs::apply(document, &surroundings);
        Ok(body.map_or_else(|wrong| self.tell_of(location, wrong), Some))
    }

    /// Tells what is wrong with a file, which is named if it is an included one.
    fn tell_of<T>(&mut self, location: Option<&str>, wrong: Vec<Diagnostic>) -> Option<T> {
        let named = wrong.into_iter().map(|mut diagnostic| {
            if let Some(location) = location.filter(|_| diagnostic.severity == Severity::Error) {
                diagnostic.message = format!("`{location}`: {}", diagnostic.message);
            }
            diagnostic
        });
        self.loaded.diagnostics.extend(named);
        None
    }
}
