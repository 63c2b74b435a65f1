//! Patterns in which `*` stands for any text, also none and also with `/` in it.

/// Whether a pattern stands for all of `text`.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: only the last
    // one ever needs to be longer.
    let mut last_star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                last_star = Some((at, read));
                at += 1;
            }
            Some(byte) if *byte == text[read] => {
                at += 1;
                read += 1;
            }
            _ => match last_star {
                Some((star, taken)) => {
                    last_star = Some((star, taken + 1));
                    at = star + 1;
                    read = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("main", "main"),
            ("*", ""),
            ("*", "a/b"),
            ("release/*", "release/1.0/rc"),
            ("release*", "release"),
            ("*-stable", "1-2-stable"),
            ("*gitlab*", "gitlab/staging"),
            ("a*b*c", "aXbXbXc"),
            ("**", "x"),
            ("é*", "état"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("main", "Main"),
            ("main", "main2"),
            ("", "x"),
            ("release/*", "release"),
            ("a*b*c", "aXbXc!"),
            ("*-stable", "stable"),
            ("a.c", "abc"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_long_time() {
        let pattern = format!("{}b", "a*".repeat(120));
        assert!(!matches(&pattern, &"a".repeat(255)));
    }
}
