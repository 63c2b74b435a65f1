//! A CI/CD variable.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One variable of a job, as written or predefined; lists of them are in order
/// of precedence, and the last of a name wins.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// The name.
    pub key: String,
    /// The value; references in it are expanded only where the reader says so.
    pub value: String,
    /// Hidden in logs.
    #[serde(default)]
    pub masked: bool,
    /// Never expanded (`expand: false`).
    #[serde(default)]
    pub raw: bool,
    /// Handed to the job as the path of a file that holds the value.
    #[serde(default)]
    pub file: bool,
    /// May be shown to services; false for secrets and credentials.
    #[serde(default)]
    pub public: bool,
}

impl Variable {
    /// A public, expandable variable.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Variable {
        Variable {
            key: key.into(),
            value: value.into(),
            masked: false,
            raw: false,
            file: false,
            public: true,
        }
    }

    /// The same, hidden in logs and from services.
    #[must_use]
    pub fn masked(mut self) -> Variable {
        self.masked = true;
        self.public = false;
        self
    }

    /// The same, never expanded.
    #[must_use]
    pub fn raw(mut self) -> Variable {
        self.raw = true;
        self
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.masked { "[MASKED]" } else { &self.value };
        write!(f, "{}={value:?}", self.key)?;
        for (set, word) in [(self.raw, "raw"), (self.file, "file")] {
            if set {
                write!(f, " {word}")?;
            }
        }
        Ok(())
    }
}
