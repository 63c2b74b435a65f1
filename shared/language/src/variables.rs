//! Variables: references and their expansion, whole sets, inheritance, derived
//! names, and the predefined ones.
//!
//! A list of variables is in order of precedence, lowest first: the last of a
//! name wins.

mod bridge;
mod expand;
mod inherit;
pub mod predefined;
mod set;
pub mod slug;

pub use bridge::Bridge;
pub use expand::{Unknown, expand, references};
pub use inherit::{inherit, merge};
pub use set::{Error, check_for_job, expand_for_job, expand_for_server};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use fleet_model::Variable;

use crate::expression::Lookup;

/// A list of variables by name; the last of a name wins.
#[derive(Clone, Debug, Default)]
pub struct Index<'a>(BTreeMap<&'a str, &'a Variable>);

impl<'a> Index<'a> {
    /// Indexes a list, lowest precedence first.
    pub fn new(variables: impl IntoIterator<Item = &'a Variable>) -> Index<'a> {
        Index(
            variables
                .into_iter()
                .map(|variable| (variable.key.as_str(), variable))
                .collect(),
        )
    }

    /// The winning value of a name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|variable| variable.value.as_str())
    }

    /// Expands one text in one pass; all kinds of variables insert their values.
    #[must_use]
    pub fn expand(&self, text: &str, unknown: Unknown) -> String {
        expand(text, unknown, |name| self.value(name))
    }

    /// Expands one text for people to read (`$[[ inputs.x | expand_vars ]]`);
    /// unknown references stay.
    ///
    /// # Errors
    /// [`Masked`] if it refers to a masked variable.
    pub fn expand_unmasked(&self, text: &str) -> Result<String, Masked> {
        let mut masked = None;
        let expanded = expand(text, Unknown::Keep, |name| {
            let variable = self.0.get(name)?;
            if variable.masked {
                masked = Some(Masked);
            }
            Some(variable.value.as_str())
        });
        masked.map_or(Ok(expanded), Err)
    }
}

/// A masked variable where its value would show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masked;

impl fmt::Display for Masked {
    /// GitLab's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("masked variables cannot be expanded")
    }
}

impl std::error::Error for Masked {}

impl Lookup for Index<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        self.value(name).map(Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests;
