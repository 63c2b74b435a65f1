//! "Did you mean": the nearest of the words that would have been right.

/// The candidate nearest to a mistyped word, if one is near enough: a third of the
/// word's letters may differ, swapped neighbours count once. Of equally near ones the
/// first.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(MAX_WORD + 1).collect();
    if word.len() > MAX_WORD {
        return None;
    }
    let limit = (word.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.chars().take(MAX_WORD + 1).collect();
        if letters.len() > MAX_WORD || letters.len().abs_diff(word.len()) > limit {
            continue;
        }
        let distance = distance(&word, &letters);
        // A word that shares no letter is no suggestion, however short.
        let is_near = distance <= limit && distance < word.len().max(letters.len());
        if is_near && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Longer words are no typing mistakes, and comparing them takes time.
const MAX_WORD: usize = 100;

/// Damerau-Levenshtein (optimal string alignment), letters of either case being one.
fn distance(left: &[char], right: &[char]) -> usize {
    let same = |a: char, b: char| a == b || a.to_lowercase().eq(b.to_lowercase());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, &a) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &b) in right.iter().enumerate() {
            let replace = above[column] + usize::from(!same(a, b));
            let mut least = replace.min(above[column + 1] + 1).min(current[column] + 1);
            let swapped =
                row > 0 && column > 0 && same(a, right[column - 1]) && same(left[row - 1], b);
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 8] = [
        "script",
        "stage",
        "stages",
        "needs",
        "before_script",
        "after_script",
        "only",
        "when",
    ];

    #[test]
    fn typing_mistakes_find_their_key() {
        for (word, key) in [
            ("scirpt", "script"),
            ("scripts", "script"),
            ("Stage", "stage"),
            ("stagess", "stages"),
            ("need", "needs"),
            ("beforescript", "before_script"),
            ("onyl", "only"),
        ] {
            assert_eq!(nearest(word, KEYS), Some(key), "{word}");
        }
    }

    #[test]
    fn other_words_find_nothing() {
        for word in [
            "",
            "x",
            "deploy",
            "environment",
            "é",
            &"script".repeat(1000),
        ] {
            assert_eq!(nearest(word, KEYS), None, "{word}");
        }
    }
}
