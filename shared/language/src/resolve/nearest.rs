//! Hints for mistyped names, with a bound on the work.

use crate::suggest;

/// Comparisons of one pass; beyond them there are no hints. Nobody reads
/// thousands of them, and each name costs a look at all others.
const MAX_COMPARISONS: usize = 20_000;

/// Looks for near names.
#[derive(Debug)]
pub(crate) struct Nearest {
    left: usize,
}

impl Default for Nearest {
    fn default() -> Nearest {
        Nearest {
            left: MAX_COMPARISONS,
        }
    }
}

impl Nearest {
    /// The nearest of some names, if one is near and there is work left to do it.
    pub(crate) fn find<'n>(
        &mut self,
        word: &str,
        names: impl ExactSizeIterator<Item = &'n str>,
    ) -> Option<&'n str> {
        self.left = self.left.checked_sub(names.len())?;
        suggest::nearest(word, names)
    }
}
