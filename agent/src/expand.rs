//! Variables as the job sees them, and the two ways text refers to them.
//!
//! [`Environment::expand`] is the agent's own single pass (image names, cache
//! keys, other variables); [`Environment::expand_words`] follows the shell's
//! rules for text in double quotes (artifact and cache paths).

mod arithmetic;
mod pass;
mod shell_pattern;
mod token;
mod words;

use std::collections::BTreeMap;

use fleet_model::Variable;

pub use token::short_token;
pub use words::Error as WordsError;

/// No value may grow beyond this many bytes by expansion.
const VALUE_LIMIT: usize = 8 << 20;

/// One variable with all references in it replaced.
#[derive(Clone, PartialEq, Eq)]
pub struct ResolvedVariable {
    /// The name.
    pub key: String,
    /// What the job sees; of a file variable the path.
    pub value: String,
    /// What the file of a file variable holds.
    pub content: Option<String>,
    /// Hidden in logs: the content of a file variable, else the value.
    pub masked: bool,
    /// May be shown to services.
    pub public: bool,
}

impl std::fmt::Debug for ResolvedVariable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hidden = self.masked && self.content.is_none();
        write!(
            f,
            "{}={:?}",
            self.key,
            if hidden { "[MASKED]" } else { &self.value }
        )
    }
}

impl ResolvedVariable {
    /// What must not show in logs, if anything.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        self.masked
            .then(|| self.content.as_deref().unwrap_or(&self.value))
    }
}

/// Why a list of variables cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// References multiply a value beyond what the agent holds.
    #[error("variable {0} is longer than {VALUE_LIMIT} bytes after expansion")]
    TooLong(String),
}

/// A job's variables, resolved: each name once, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    list: Vec<ResolvedVariable>,
    index: BTreeMap<String, usize>,
}

impl Environment {
    /// Resolves `variables`, in which the last of a name wins.
    ///
    /// Exactly one pass over each value that is not raw: references are looked
    /// up in the list as given, as gitlab-runner does, so `A=$B`, `B=$C` makes
    /// `A` the text `$C`. A file variable becomes the path
    /// `<temporary>/<KEY>`, also where it is referred to; one whose name can
    /// be no file name is left out.
    ///
    /// # Errors
    /// [`Error::TooLong`] if a value explodes.
    pub fn resolve(variables: &[Variable], temporary: &str) -> Result<Environment, Error> {
        let last: BTreeMap<&str, &Variable> = variables
            .iter()
            .map(|variable| (variable.key.as_str(), variable))
            .collect();
        let path = |key: &str| format!("{temporary}/{key}");
        let seen = |name: &str| {
            let variable = last.get(name)?;
            Some(if variable.file {
                path(name).into()
            } else {
                variable.value.as_str().into()
            })
        };
        let mut environment = Environment::default();
        for variable in variables {
            let wins = last
                .get(variable.key.as_str())
                .is_some_and(|v| std::ptr::eq(*v, variable));
            if !wins || (variable.file && !file_name(&variable.key)) {
                continue;
            }
            let value = if variable.raw {
                variable.value.clone()
            } else {
                pass::expand(&variable.value, seen, VALUE_LIMIT)
                    .ok_or_else(|| Error::TooLong(variable.key.clone()))?
            };
            let (value, content) = match variable.file {
                true => (path(&variable.key), Some(value)),
                false => (value, None),
            };
            environment.push(ResolvedVariable {
                key: variable.key.clone(),
                value,
                content,
                masked: variable.masked,
                public: variable.public,
            });
        }
        Ok(environment)
    }

    fn push(&mut self, variable: ResolvedVariable) {
        self.index.insert(variable.key.clone(), self.list.len());
        self.list.push(variable);
    }

    /// All of them, in order.
    #[must_use]
    pub fn variables(&self) -> &[ResolvedVariable] {
        &self.list
    }

    /// The value of `key`; of a file variable the path.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.index.get(key).map(|&at| self.list[at].value.as_str())
    }

    /// What `key` stands for; of a file variable what the file holds.
    #[must_use]
    pub fn content(&self, key: &str) -> Option<&str> {
        let variable = &self.list[*self.index.get(key)?];
        Some(variable.content.as_deref().unwrap_or(&variable.value))
    }

    /// Sets `key` to a plain public value (`CI_JOB_STATUS` changes between
    /// stages).
    pub fn set(&mut self, key: &str, value: &str) {
        match self.index.get(key) {
            Some(&at) => {
                self.list[at].value = value.to_owned();
                self.list[at].content = None;
            }
            None => self.push(ResolvedVariable {
                key: key.to_owned(),
                value: value.to_owned(),
                content: None,
                masked: false,
                public: true,
            }),
        }
    }

    /// The boolean `key`; `Err` with the text where it is not one.
    ///
    /// # Errors
    /// The value, if it is neither empty nor a word for true or false.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, &str> {
        match self.get(key) {
            None | Some("") => Ok(None),
            Some(text) => boolean(text).map(Some).ok_or(text),
        }
    }

    /// Names that no shell can export; the job gets a warning about them.
    pub fn unexportable(&self) -> impl Iterator<Item = &str> {
        self.list
            .iter()
            .map(|v| v.key.as_str())
            .filter(|key| !exportable(key))
    }

    /// What must not show in logs.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.list.iter().filter_map(ResolvedVariable::secret)
    }

    /// Replaces the references in `text`, once; unknown names are empty.
    ///
    /// # Errors
    /// [`Error::TooLong`] with the text's start if it explodes.
    pub fn expand(&self, text: &str) -> Result<String, Error> {
        pass::expand(text, |name| self.get(name).map(Into::into), VALUE_LIMIT)
            .ok_or_else(|| Error::TooLong(text.chars().take(40).collect()))
    }

    /// Expands `text` as a shell would inside double quotes, without running
    /// anything: `${V:-x}`, `${V%x}`, `${V//a/b}`, `$((1+2))` and so on.
    ///
    /// # Errors
    /// [`WordsError`]: command substitution or bad syntax. The caller warns
    /// and uses `text` as it is.
    pub fn expand_words(&self, text: &str) -> Result<String, WordsError> {
        words::expand(text, &|name| self.get(name), VALUE_LIMIT)
    }
}

/// Whether a shell can export `key`.
#[must_use]
pub fn exportable(key: &str) -> bool {
    !key.starts_with(|c: char| c.is_ascii_digit()) && !key.is_empty() && key.bytes().all(name_byte)
}

/// A boolean as Go reads it.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

fn name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn file_name(key: &str) -> bool {
    !matches!(key, "" | "." | "..") && !key.contains(['/', '\0'])
}

#[cfg(test)]
mod tests;
