//! `spec:inputs`: what a file asks for, what it is given, and `$[[ inputs.x ]]`.
//!
//! ```text
//! header --header--> declared inputs --resolve (given values, defaults, rules)--> values
//! body --interpolate (values, component)--> body
//! ```
//!
//! A file without a header is left as it is.

mod function;
mod header;
mod interpolate;
mod resolve;
mod value;

use std::collections::BTreeMap;

use crate::variables::Index;
use crate::yaml::Document;
use crate::{Diagnostic, Entry, Map, Node, Span, Value};

pub(crate) use value::{Constraints, InputKind};

/// The code of what is wrong with a header.
pub(crate) const HEADER: &str = "invalid-header";
/// The code of what is wrong with a value for an input, or its default.
pub(crate) const INPUT: &str = "invalid-input";
/// The code of what is wrong with a `$[[ ]]`.
pub(crate) const INTERPOLATION: &str = "invalid-interpolation";

/// A value for an input, from wherever the file is used.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Given {
    /// The input.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: Value,
    /// Where it stands, if it stands in a file.
    pub(crate) span: Option<Span>,
}

impl Given {
    /// The values a pipeline is started with.
    pub(crate) fn to_pipeline(inputs: &[(String, serde_json::Value)]) -> Vec<Given> {
        let given = |(name, value): &(String, serde_json::Value)| Given {
            name: name.clone(),
            value: value::of_json(value),
            span: None,
        };
        inputs.iter().map(given).collect()
    }

    /// The values of an `inputs` map.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn of(inputs: &Node) -> Result<Vec<Given>, Diagnostic> {
        let Value::Map(map) = &inputs.value else {
            let message = "Given inputs must be a hash";
            return Err(Diagnostic::error(INPUT, message, Some(inputs.span)));
        };
        let given = |entry: &Entry| Given {
            name: entry.key.to_text().unwrap_or_else(|| entry.key.inspect()),
            value: entry.value.value.clone(),
            span: Some(entry.key.span),
        };
        Ok(map.entries.iter().map(given).collect())
    }
}

/// What a file gets from whoever uses it.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings<'a> {
    /// Values for its inputs.
    pub(crate) given: &'a [Given],
    /// What the files hold that its header includes.
    pub(crate) specs: &'a [Node],
    /// Where they were given, if in a file.
    pub(crate) span: Option<Span>,
    /// What a component may know of itself, by field: `name`, `sha`, `version`,
    /// `reference`.
    pub(crate) component: BTreeMap<&'static str, Value>,
    /// What `expand_vars` knows.
    pub(crate) variables: &'a Index<'a>,
}

/// The body of a file with its inputs in their places.
///
/// # Errors
/// All mistakes of the header and of the given values; or else those of the blocks.
pub(crate) fn apply(
    document: Document,
    surroundings: &Surroundings<'_>,
) -> Result<Node, Vec<Diagnostic>> {
    let Some(header) = &document.header else {
        if surroundings.given.is_empty() {
            return Ok(document.body);
        }
        let message = "Given inputs not defined in the `spec` section of the included \
                       configuration file";
        let told = Diagnostic::error(INPUT, message, surroundings.span)
            .help("the file needs a header: `spec: {inputs: {..}}`, then a line `---`");
        return Err(vec![told]);
    };
    let header = header::declared(header, surroundings.specs)?;
    let values = resolve::values(&header, surroundings.given, surroundings.span)?;
    let component = header
        .component
        .iter()
        .filter_map(|field| Some((*field, surroundings.component.get(field)?.clone())))
        .collect();
    let mut interpolation =
        interpolate::Interpolation::new(values, component, surroundings.variables);
    interpolation.node(document.body)
}

/// A map without entries.
fn nothing(span: Span) -> Node {
    Node {
        span,
        value: Value::Map(Map::default()),
    }
}
