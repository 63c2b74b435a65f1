//! Which keys, values and environment scopes a variable may have, and which scopes
//! an environment falls under.

use super::super::path::shortened;
use super::super::{Error, wildcard};
use super::NewVariable;

/// Characters of a masked value.
const LONGEST_MASKED: usize = 10_000;
/// Bytes of any other.
const LONGEST: usize = 700 * 1024;

impl NewVariable {
    /// What is to be kept of it, if it may be so.
    ///
    /// # Errors
    /// [`Error::Invalid`]. No text repeats the value.
    pub(super) fn checked(mut self) -> Result<NewVariable, Error> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if self.key.is_empty() || self.key.len() > 255 || !self.key.chars().all(is_word) {
            return Err(Error::Invalid(format!(
                "`{}` is no key of a variable: it can contain only letters, digits and '_', \
                 and at most 255 of them",
                shortened(&self.key)
            )));
        }
        self.environment = scope_or_all(&self.environment).to_owned();
        check_scope(&self.environment)?;
        self.masked |= self.hidden;
        let key = &self.key;
        if self.masked && !can_be_masked(&self.value, self.raw) {
            let rule = if self.raw {
                "at least 8 characters without whitespace, on one line"
            } else {
                "at least 8 characters out of letters, digits and '_+=/@:.~-', on one line \
                 (or, for a raw variable, out of all but whitespace)"
            };
            return Err(Error::Invalid(format!(
                "the value of `{key}` cannot be masked: it must be {rule}; choose another \
                 value, or leave it unmasked"
            )));
        }
        if self.masked && self.value.chars().count() > LONGEST_MASKED {
            return Err(Error::Invalid(format!(
                "the value of `{key}` is too long to be masked: at most {LONGEST_MASKED} \
                 characters"
            )));
        }
        if self.value.len() > LONGEST {
            return Err(Error::Invalid(format!(
                "the value of `{key}` is too long: at most {LONGEST} bytes"
            )));
        }
        if !self.file && self.value.contains('\0') {
            return Err(Error::Invalid(format!(
                "the value of `{key}` holds a NUL, which no process's environment can: make it \
                 a variable of type file"
            )));
        }
        Ok(self)
    }
}

/// No scope stands for all environments.
pub(super) fn scope_or_all(environment: &str) -> &str {
    if environment.is_empty() {
        "*"
    } else {
        environment
    }
}

/// Whether environments can have such a name or pattern.
pub(in crate::catalog) fn is_scope(scope: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_/\\${}. -*".contains(c);
    !scope.is_empty() && scope.len() <= 255 && scope.chars().all(allowed)
}

fn check_scope(scope: &str) -> Result<(), Error> {
    if is_scope(scope) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "`{}` is no environment scope: it can contain only letters, digits, spaces and \
         '-_/${{}}.*', and at most 255 of them",
        shortened(scope)
    )))
}

/// GitLab's rule: what is not so cannot be found in a log for certain.
fn can_be_masked(value: &str, raw: bool) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+=/@:.~-".contains(c);
    let visible = |c: char| !matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{b}' | '\u{c}');
    value.chars().count() >= 8
        && value
            .chars()
            .all(|c| if raw { visible(c) } else { plain(c) })
}

pub(in crate::catalog) fn scope_fits(scope: &str, environment: Option<&str>) -> bool {
    match environment {
        None => scope == "*",
        Some(name) => wildcard::matches(scope, name),
    }
}

/// Greater is more specific; of scopes that fit the same environment.
pub(in crate::catalog) fn specificity(scope: &str) -> (bool, usize, std::cmp::Reverse<usize>) {
    let stars = scope.bytes().filter(|byte| *byte == b'*').count();
    (stars == 0, scope.len() - stars, std::cmp::Reverse(stars))
}
