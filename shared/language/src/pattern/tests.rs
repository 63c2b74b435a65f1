use super::{Cache, Pattern};

fn matches(pattern: &str, text: &str) -> bool {
    Pattern::new(pattern)
        .unwrap_or_else(|error| panic!("{pattern}: {error}"))
        .is_match(text)
}

#[test]
fn perl_classes_are_ascii() {
    assert!(!matches(r"^\w+$", "größe"));
    assert!(!matches(r"\d", "٣"));
    assert!(matches(r"^\W$", "ö"));
    assert!(!matches(r"\s", "\u{a0}\u{b}"));
    assert!(matches(r"^[\w\W]{2}$", "öa"));
    assert!(!matches(r"(?i)^\w$", "\u{212a}"));
}

#[test]
fn classes_have_no_set_operators() {
    assert!(matches(r"^[a&&b]+$", "a&b"));
    assert!(matches(r"^[+--c]+$", "+,-c"));
    assert!(matches(r"^[[a]$", "["));
    assert!(matches(r"^[]a]+$", "]a"));
    assert!(matches(r"^[^]a]+$", "b"));
    assert!(matches(r"^[[:^alpha:]x]+$", "1x"));
    assert!(Pattern::new("[[:foo:]]").is_err());
    assert!(Pattern::new(r"[\b]").is_err());
}

#[test]
fn quoted_text_is_literal() {
    assert!(matches(r"^\Qa.b*\E+$", "a.b**"));
    assert!(!matches(r"^\Qa.b\E$", "axb"));
    assert!(matches(r"\Qa\", r"a\"));
    assert!(Pattern::new(r"a\E").is_err());
}

#[test]
fn repetition_has_the_limits_of_re2() {
    for good in [
        "x{1000}",
        "(x{10}){100}",
        "x{01}",
        "x{,2}",
        "x{-1}",
        "{",
        "x{1",
        "(x{2}){2}",
    ] {
        assert!(Pattern::new(good).is_ok(), "{good}");
    }
    for bad in [
        "x{1001}",
        "x{2,1}",
        "(x{334}){3}",
        "(x{11}){100}",
        "x**",
        "x*+",
        "x{2}{2}",
        "x??+",
        "*x",
        "(*)",
        "a|*",
        "x{99999999999}",
    ] {
        assert!(Pattern::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn groups_may_carry_flags_and_names() {
    assert!(matches("(?ii)X", "x"));
    assert!(matches("(?i)(?-i:a)B", "ab"));
    assert!(!matches("(?i)(?-i:a)B", "Ab"));
    assert!(matches("(?)a(?:b)(?P<n>c)(?<m>d)", "abcd"));
    for bad in [
        "(?x)a",
        "(?<n>a)(?<n>b)",
        "(?-)",
        "(?=a)",
        "(?<=a)b",
        "(?P=n)",
        "(?#c)",
        "(",
        ")",
    ] {
        assert!(Pattern::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn unicode_classes_are_categories_and_scripts() {
    assert!(matches(r"^\p{L}\pN\p{Greek}\p{^L}\PL$", "ä1λ--"));
    assert!(Pattern::new(r"\p{Letter}").is_err());
    assert!(Pattern::new(r"\p{greek}").is_err());
    assert!(Pattern::new(r"\p").is_err());
}

#[test]
fn huge_patterns_are_refused_at_once() {
    assert!(Pattern::new(r"(\pL{1000}|\pN{999}){1}").is_err());
    assert!(Pattern::new(&"(".repeat(100_000)).is_err());
    assert!(Pattern::new(&"[a".repeat(100_000)).is_err());
}

#[test]
fn a_pattern_has_at_most_one_kibibyte() {
    assert!(Pattern::new(&"x".repeat(1024)).is_ok());
    assert!(Pattern::new(&"x".repeat(1025)).is_err());
}

#[test]
fn literal_takes_the_first_line_of_its_form() {
    let literal = |text| Pattern::literal(text).map(|pattern| pattern.unwrap().source().to_owned());
    assert_eq!(literal("/a/"), Some("a".to_owned()));
    assert_eq!(literal("x\n/a/b/im\n/c/"), Some("(?im)a/b".to_owned()));
    assert_eq!(literal("//"), Some(String::new()));
    assert_eq!(literal("/"), None);
    assert_eq!(literal("/a/x"), None);
    assert_eq!(literal(" /a/"), None);
}

#[test]
fn a_cache_answers_as_the_pattern_until_it_is_exhausted() {
    let cache = Cache::default();
    for number in 0..3000 {
        let pattern = Pattern::new(&format!("^x{number}$")).unwrap();
        assert!(cache.is_match(&pattern, &format!("x{number}")));
        assert!(!cache.is_match(&pattern, "x"));
    }
    assert!(!cache.is_exhausted());
    for number in 0..200 {
        let pattern = Pattern::new(&format!("^.{{1000}}x{number}$")).unwrap();
        cache.is_match(&pattern, "x");
    }
    assert!(cache.is_exhausted());
    assert!(!cache.is_match(&Pattern::new("new").unwrap(), "new"));
}

proptest::proptest! {
    #[test]
    fn what_is_accepted_compiles(
        text in r#"([a-c0-9ä^$.|()?*+{},:<>PQE\[\]\\&~-]|\\[dDsSwWbBAzCQExp0-9nt]|\[:alpha:\]|\(\?[imsU-]{0,3}[:)]|\{[0-9]{1,3}\}|\\pL){0,20}"#,
    ) {
        if let Ok(pattern) = Pattern::new(&text) {
            proptest::prop_assert!(pattern.compile().is_some(), "{} as {}", text, pattern.translated);
        }
    }

    #[test]
    fn plain_text_finds_itself(text in "[a-zA-Z0-9 äöß_<>=!@#%&;:'\",~-]{1,20}") {
        proptest::prop_assert!(matches(&text, &text));
    }
}
