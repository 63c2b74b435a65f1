//! Which images an agent's owner lets jobs use.

use fleet_model::FailureReason;

use crate::executor::{Error, Say};
use crate::glob::Glob;

/// Refuses `name`, expanded and as the job has it, unless one of `patterns` matches
/// it or there are none; `kind` is `images` or `services`.
pub(super) fn check(
    name: &str,
    patterns: &[String],
    kind: &str,
    say: &mut dyn Say,
) -> Result<(), Error> {
    let matches = |pattern: &String| Glob::new(pattern).is_ok_and(|glob| glob.matches(name));
    if patterns.is_empty() || patterns.iter().any(matches) {
        return Ok(());
    }
    say.error(&format!(
        "The \"{name}\" image is not present on list of allowed {kind}:"
    ));
    for pattern in patterns {
        say.plain(&format!("- {pattern}"));
    }
    Err(Error::Final {
        reason: FailureReason::RUNNER_SYSTEM_FAILURE,
        message: format!("disallowed image: this agent does not allow {name} (allowed {kind})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Line;

    struct Lines(Vec<Line>);

    impl Say for Lines {
        fn say(&mut self, line: Line) {
            self.0.push(line);
        }
    }

    #[test]
    fn patterns_are_for_the_whole_name_as_it_is_written() {
        let allowed = |name: &str, patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|&p| p.to_owned()).collect();
            check(name, &patterns, "images", &mut Lines(Vec::new())).is_ok()
        };
        assert!(allowed("ruby:3.1", &[]));
        assert!(allowed("ruby:3.1", &["alpine", "ruby:*"]));
        assert!(!allowed("docker.io/library/ruby:3.1", &["ruby:*"]));
        assert!(!allowed("registry.example/a/b", &["registry.example/*"]));
        assert!(allowed("registry.example/a/b", &["registry.example/**"]));
    }

    #[test]
    fn a_refusal_says_what_is_allowed() {
        let mut lines = Lines(Vec::new());
        assert!(
            check(
                "x",
                &["a".to_owned(), "b".to_owned()],
                "services",
                &mut lines
            )
            .is_err()
        );
        let text = "The \"x\" image is not present on list of allowed services:";
        assert_eq!(
            lines.0,
            [
                Line::Error(text.to_owned()),
                Line::Plain("- a".to_owned()),
                Line::Plain("- b".to_owned())
            ]
        );
    }
}
