//! The chain of masks that every stream of a log goes through.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::automaton::Automaton;
use super::phrases::Phrases;
use super::tokens::Tokens;
use super::urls::Urls;

/// Masked in every log: personal access tokens.
const ALWAYS: &str = "glpat-";

/// Masked unless `FF_MASK_ALL_DEFAULT_TOKENS` is false.
const DEFAULT: [&str; 13] = [
    "gloas-",
    "gldt-",
    "glrt-",
    "glcbt-",
    "glrtr-",
    "glptt-",
    "glft-",
    "glimt-",
    "glagent-",
    "glsoat-",
    "glffct-",
    "_gitlab_session=",
    "gltok-",
];

/// Lines of a secret from this many bytes on are secrets of their own.
const LINE: usize = 8;

/// Why a set of secrets cannot be masked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is more of them than an automaton holds.
    #[error("compile the secrets to mask")]
    TooLarge(#[from] aho_corasick::BuildError),
}

/// What must not show in a job's log; one for all its streams.
#[derive(Clone, Debug)]
pub struct Masks {
    phrases: Arc<Automaton>,
    tokens: Arc<Automaton>,
}

impl Masks {
    /// Masks each of `secrets` and the tokens that start with the default
    /// prefixes or one of `prefixes`.
    ///
    /// Secrets are trimmed and empty ones dropped. Of a secret with several
    /// lines, each line of at least eight bytes is masked too, and the whole
    /// with either kind of line end.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond some gigabyte of secrets.
    pub fn new<'a>(
        secrets: impl IntoIterator<Item = &'a str>,
        prefixes: impl IntoIterator<Item = &'a str>,
        defaults: Defaults,
    ) -> Result<Masks, Error> {
        let mut phrases = BTreeSet::new();
        for secret in secrets {
            phrases.extend(forms(secret.trim()));
        }
        let listed: &[&str] = match defaults {
            Defaults::All => &DEFAULT,
            Defaults::PersonalOnly => &[],
        };
        let prefixes = listed
            .iter()
            .copied()
            .chain(prefixes)
            .filter(|prefix| !prefix.is_empty());
        let tokens: BTreeSet<Vec<u8>> = prefixes
            .chain([ALWAYS])
            .map(|prefix| prefix.as_bytes().to_vec())
            .collect();
        Ok(Masks {
            phrases: compile(phrases)?,
            tokens: compile(tokens)?,
        })
    }

    /// A masker for one stream.
    #[must_use]
    pub fn masker(&self) -> Masker {
        Masker {
            phrases: Phrases::new(Arc::clone(&self.phrases)),
            urls: Urls::default(),
            tokens: Tokens::new(Arc::clone(&self.tokens)),
            after_phrases: Vec::new(),
            after_urls: Vec::new(),
        }
    }
}

/// Which well-known token prefixes are masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defaults {
    /// All fourteen.
    All,
    /// `glpat-` alone (`FF_MASK_ALL_DEFAULT_TOKENS` is false).
    PersonalOnly,
}

fn compile(patterns: BTreeSet<Vec<u8>>) -> Result<Arc<Automaton>, Error> {
    let patterns: Vec<Vec<u8>> = patterns.into_iter().collect();
    Ok(Arc::new(Automaton::new(&patterns)?))
}

/// The texts that stand for one secret.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    if secret.contains('\n') {
        let unix = secret.replace("\r\n", "\n");
        forms.push(unix.replace('\n', "\r\n").into_bytes());
        let lines = unix
            .lines()
            .map(str::trim)
            .filter(|line| line.len() >= LINE);
        forms.extend(lines.map(|line| line.as_bytes().to_vec()));
        forms.push(unix.into_bytes());
    }
    forms.push(secret.as_bytes().to_vec());
    forms.retain(|form| !form.is_empty());
    forms
}

/// Masks one stream: secrets, then URL parameters, then tokens.
///
/// What comes out does not depend on how the stream is cut into pieces. Bytes
/// that may be the beginning of a secret are held until more comes or the
/// stream ends, never for a time.
#[derive(Debug)]
pub struct Masker {
    phrases: Phrases,
    urls: Urls,
    tokens: Tokens,
    after_phrases: Vec<u8>,
    after_urls: Vec<u8>,
}

impl Masker {
    /// Takes in `input` and appends to `out` what may be shown.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.phrases.push(input, &mut self.after_phrases);
        self.pass_on(out);
    }

    /// Ends the stream and appends the rest; the masker begins anew.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.phrases.finish(&mut self.after_phrases);
        self.pass_on(out);
        self.urls.finish();
        self.tokens.finish();
    }

    fn pass_on(&mut self, out: &mut Vec<u8>) {
        self.urls.push(&self.after_phrases, &mut self.after_urls);
        self.tokens.push(&self.after_urls, out);
        self.after_phrases.clear();
        self.after_urls.clear();
    }
}
