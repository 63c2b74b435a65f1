//! Shell texts, as far as they are read.

use proptest::prelude::*;

use super::super::shell::{List, lists};
use super::super::{facts, shell};
use super::*;

/// The raw words of each command; `?` is a list that was not read.
fn read(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for list in lists(text) {
        match list {
            List::Unread { open, .. } => out.push(if open { "?..." } else { "?" }.to_owned()),
            List::Read(commands) => out.extend(commands.iter().map(|command| {
                let words = command.words.iter().map(|word| word.raw);
                words.collect::<Vec<_>>().join("|")
            })),
        }
    }
    out
}

#[test]
fn simple_commands_are_taken_apart() {
    for (text, commands) in [
        ("a b  c", &["a|b|c"][..]),
        ("a;b\nc&d", &["a", "b", "c", "d"]),
        ("a && b || c | d", &["a", "b", "c", "d"]),
        ("a &&\n  b", &["a", "b"]),
        ("a 'b c' \"d $E\" f\\ g", &["a|'b c'|\"d $E\"|f\\ g"]),
        ("a # b\n# c\nd#e", &["a", "d#e"]),
        ("a > b 2>&1 < c >> d &> e <<< f", &["a"]),
        ("A=1 B='x y' a $A", &["a|$A"]),
        (
            "a $(b \"$(c ')')\" d) `e \\` f` g",
            &["a|$(b \"$(c ')')\" d)|`e \\` f`|g"],
        ),
        ("a ${B:-{c}} $((1 + (2)))", &["a|${B:-{c}}|$((1 + (2)))"]),
        ("if a; then b; fi; c", &["?", "c"]),
        ("for a in b; do c; done\nd", &["?", "d"]),
        ("case a in b) c;; (d) e;; esac; f", &["?", "f"]),
        ("{ a; b; }; c", &["?", "c"]),
        ("(a; b); c", &["?", "c"]),
        ("if a; then for b in c; do d; done; fi && e\nf", &["?", "f"]),
        ("if a; then", &["?..."]),
        ("b; fi; c", &["b", "?..."]),
        ("else a", &["?..."]),
        ("a 'b", &["?..."]),
        ("a <<EOF\nb\nEOF", &["?..."]),
        ("a() { b; }\nc", &["?", "c"]),
        ("! a && b", &["a", "b"]),
        ("a <(b)", &["?..."]),
        ("", &[]),
        (" \n;# x", &[]),
        ("$A \\", &["?..."]),
    ] {
        assert_eq!(read(text), commands, "{text}");
    }
}

#[test]
fn deep_nesting_is_not_followed() {
    for text in [
        "\"$(".repeat(50_000),
        "${".repeat(50_000),
        "(".repeat(50_000),
    ] {
        assert!(read(&text).len() <= 1);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_and_places_are_its_own(
        text in r#"([a-z ]|docker |push |run |if |fi|done|\$|\{|\}|\(|\)|"|'|`|\\|\n|;|&|\||<|>|#|=|é|-){0,40}"#
    ) {
        for list in shell::lists(&text) {
            if let List::Read(commands) = list {
                for command in commands {
                    prop_assert!(text.is_char_boundary(command.start));
                    prop_assert!(text.is_char_boundary(command.list));
                    prop_assert!(command.list <= command.start);
                    for word in &command.words {
                        prop_assert!(text[..word.end].ends_with(word.raw));
                    }
                }
            }
        }
        facts::of(&[format!("docker {text}"), text], &[], &[]);
    }

    #[test]
    fn any_pair_of_scripts_compiles(
        build in "docker (build -t a|push a|tag a b|run a|[a-z -]{0,8})(;|&&|\\|\\|| )docker (push a|pull a|[a-z -]{0,8})",
        after in "(echo é;|A=1 |pwd && |docker login && )?docker (run|tag|push|save|inspect) (-[a-z]+ )?a( b)?"
    ) {
        let compiled = compiled(&pair(&[&build], &[&after]), "master", HostCoupling::Mend);
        prop_assert!(compiled.plan.is_some());
    }
}
