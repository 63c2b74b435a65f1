//! Checked conversions between the wire's messages and `fleet-model`.

mod job;
mod outcome;

/// A message that says something it must not, or leaves out what it must say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field that must be there is not.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field holds what this version does not know.
    #[error("field `{field}` has the unknown value {value}")]
    Unknown {
        /// The field's name in the `.proto` file.
        field: &'static str,
        /// What it holds.
        value: String,
    },
}

/// The value of a field that must be there.
///
/// # Errors
/// [`Error::Missing`].
pub fn required<T>(value: Option<T>, field: &'static str) -> Result<T, Error> {
    value.ok_or(Error::Missing(field))
}
