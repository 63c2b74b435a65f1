use serde_json::Value as Json;

use super::Glob;

const VECTORS: &str = include_str!("../../tests/vectors/rules.txt");

fn strings(value: &Json) -> Vec<&str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

#[test]
fn every_glob_vector_matches_as_rubys_fnmatch() {
    let paths = VECTORS
        .lines()
        .find_map(|line| line.strip_prefix("# PATHS "))
        .unwrap();
    let paths: Json = serde_json::from_str(paths).unwrap();
    let mut rows = 0;
    for line in VECTORS
        .lines()
        .filter(|line| line.starts_with(r#"{"kind":"glob""#))
    {
        rows += 1;
        let row: Json = serde_json::from_str(line).unwrap();
        let glob = Glob::new(row["glob"].as_str().unwrap());
        let matched: Vec<&str> = strings(&paths)
            .into_iter()
            .filter(|path| glob.is_match(path))
            .collect();
        assert_eq!(matched, strings(&row["matches"]), "{line}");
    }
    assert!(rows > 50, "{rows} rows");
}

#[test]
fn folders_stand_for_any_depth_only_as_a_whole_segment() {
    assert!(Glob::new("a/**/b").is_match("a/b"));
    assert!(Glob::new("a/**/**/b").is_match("a/x/y/b"));
    assert!(Glob::new("**/b/**/c").is_match("b/b/x/c"));
    assert!(!Glob::new("a**/b").is_match("a/x/b"));
    assert!(Glob::new("a**/b").is_match("ax/b"));
}

#[test]
fn braces_nest_and_may_be_empty() {
    let glob = Glob::new("a{,b{1,2}}.c");
    for path in ["a.c", "ab1.c", "ab2.c"] {
        assert!(glob.is_match(path), "{path}");
    }
    assert!(!glob.is_match("ab.c"));
    assert!(!Glob::new("{a,b").is_match("{a,b"));
    assert!(Glob::new("\\{a,b\\}").is_match("{a,b}"));
}

#[test]
fn classes_are_rubys() {
    assert!(!Glob::new("[a").is_match("a"));
    assert!(!Glob::new("[").is_match("["));
    assert!(!Glob::new("[]a]").is_match("a"));
    assert!(Glob::new("[!]b").is_match("ab"));
    assert!(Glob::new("[a/b]").is_match("b"));
    assert!(Glob::new("[z-a]").is_match("z"));
    assert!(Glob::new("[\\]-]").is_match("]"));
    assert!(Glob::new("a\\/b\\").is_match("a/b\\"));
}

#[test]
fn hostile_globs_take_no_exponential_time() {
    let path = "a/".repeat(2000) + "b";
    let globs = [
        "**/a/".repeat(500) + "c",
        "*a".repeat(2000),
        "{a,b}".repeat(200),
        "{".repeat(5000),
        "{".repeat(50_000) + &"}".repeat(50_000),
    ];
    for glob in globs {
        assert!(!Glob::new(&glob).is_match(&path));
    }
    assert!(!Glob::new(&"*a".repeat(2000)).is_match(&("a".repeat(3000) + "b")));
    assert!(!Glob::new(&"*a".repeat(1 << 20)).is_match(&path));
    assert!(!Glob::new(&"**/".repeat(1 << 20)).is_match(&path));
}

/// The meaning of a glob without classes and braces, told in another language.
fn as_regex(glob: &str) -> regex::Regex {
    let mut text = String::from("^");
    let mut rest = glob;
    let mut at_start = true;
    while let Some(c) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("**/").filter(|_| at_start) {
            text.push_str("(?:[^/]+/)*");
            rest = behind;
            continue;
        }
        match c {
            '*' => text.push_str("[^/]*"),
            '?' => text.push_str("[^/]"),
            c => text.push(c),
        }
        at_start = c == '/';
        rest = &rest[1..];
    }
    regex::Regex::new(&(text + "$")).unwrap()
}

proptest::proptest! {
    #[test]
    fn a_match_never_depends_on_where_a_run_ends(
        glob in "([ab*?/]|\\*\\*/){0,8}",
        path in "[ab]{1,3}(/[ab]{1,3}){0,4}",
    ) {
        let expected = as_regex(&glob).is_match(&path);
        proptest::prop_assert_eq!(Glob::new(&glob).is_match(&path), expected);
    }

    #[test]
    fn any_text_is_a_glob(glob in r#"[ab*?/\[\]!^{},ä\\-]{0,30}"#, path in "[ab/ä]{0,8}") {
        let of_itself = Glob::new(&glob).is_match(&path);
        proptest::prop_assert_eq!(of_itself, Glob::new(&glob).is_match(&path));
    }
}
