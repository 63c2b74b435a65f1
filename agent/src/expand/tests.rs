use std::collections::BTreeMap;

use fleet_model::Variable;
use serde::Deserialize;

use super::*;
use crate::vectors::rows;

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "in")]
    text: String,
    out: String,
}

fn environment() -> Environment {
    let values = BTreeMap::from([
        ("A", "1"),
        ("B", "$A"),
        ("NAME", "v.y"),
        ("EMPTY", ""),
        ("P", "a/b"),
    ]);
    let list: Vec<Variable> = values
        .into_iter()
        .map(|(key, value)| Variable::new(key, value).raw())
        .collect();
    Environment::resolve(&list, "/b/p.tmp").unwrap()
}

#[test]
fn one_pass_expansion_follows_every_vector() {
    for row in rows::<Row>(include_str!("../../tests/vectors/runner-var-expansion.txt")) {
        assert_eq!(
            environment().expand(&row.text).unwrap(),
            row.out,
            "{}",
            row.text
        );
    }
}

#[test]
fn short_tokens_follow_every_vector() {
    #[derive(Deserialize)]
    struct Token {
        token: String,
        short: String,
    }
    for row in rows::<Token>(include_str!("../../tests/vectors/runner-short-token.txt")) {
        assert_eq!(short_token(&row.token), row.short, "{}", row.token);
    }
}

#[test]
fn references_are_looked_up_in_the_list_as_given() {
    let list = [
        Variable::new("A", "$B"),
        Variable::new("B", "$C"),
        Variable::new("C", "1"),
        Variable::new("R", "$C").raw(),
    ];
    let environment = Environment::resolve(&list, "/t").unwrap();
    assert_eq!(environment.get("A"), Some("$C"));
    assert_eq!(environment.get("B"), Some("1"));
    assert_eq!(environment.get("R"), Some("$C"));
}

#[test]
fn last_of_a_name_wins_and_each_name_appears_once() {
    let list = [
        Variable::new("A", "old"),
        Variable::new("B", "$A"),
        Variable::new("A", "new"),
    ];
    let environment = Environment::resolve(&list, "/t").unwrap();
    let all: Vec<_> = environment
        .variables()
        .iter()
        .map(|v| (v.key.as_str(), v.value.as_str()))
        .collect();
    assert_eq!(all, [("B", "new"), ("A", "new")]);
}

#[test]
fn file_variables_become_their_path_everywhere() {
    let mut file = Variable::new("F", "secret $A").masked();
    file.file = true;
    let list = [file, Variable::new("A", "1"), Variable::new("G", "at $F")];
    let environment = Environment::resolve(&list, "/b/p.tmp").unwrap();
    assert_eq!(environment.get("F"), Some("/b/p.tmp/F"));
    assert_eq!(environment.get("G"), Some("at /b/p.tmp/F"));
    assert_eq!(
        environment.variables()[0].content.as_deref(),
        Some("secret 1")
    );
    assert_eq!(environment.secrets().collect::<Vec<_>>(), ["secret 1"]);
}

#[test]
fn file_variables_whose_name_leads_elsewhere_are_left_out() {
    for key in ["../x", "a/b", "..", ".", ""] {
        let mut file = Variable::new(key, "v");
        file.file = true;
        assert_eq!(Environment::resolve(&[file], "/t").unwrap().variables(), []);
    }
}

#[test]
fn names_that_no_shell_exports_are_named() {
    let list = ["a-b", "1x", "ok", "_1", "", "ü"].map(|key| Variable::new(key, ""));
    let environment = Environment::resolve(&list, "/t").unwrap();
    assert_eq!(
        environment.unexportable().collect::<Vec<_>>(),
        ["a-b", "1x", "", "ü"]
    );
}

#[test]
fn exploding_values_are_refused() {
    let list = [
        Variable::new("A", "x".repeat(1 << 20)),
        Variable::new("B", "$A".repeat(100)),
    ];
    let error = Environment::resolve(&list, "/t").unwrap_err();
    assert_eq!(error, Error::TooLong("B".into()));
}

#[test]
fn flags_are_go_booleans() {
    let list = [
        Variable::new("T", "True"),
        Variable::new("F", "0"),
        Variable::new("E", ""),
        Variable::new("BAD", "yes"),
    ];
    let environment = Environment::resolve(&list, "/t").unwrap();
    assert_eq!(environment.flag("T"), Ok(Some(true)));
    assert_eq!(environment.flag("F"), Ok(Some(false)));
    assert_eq!(environment.flag("E"), Ok(None));
    assert_eq!(environment.flag("NONE"), Ok(None));
    assert_eq!(environment.flag("BAD"), Err("yes"));
}

#[test]
fn shell_like_expansion_follows_every_vector() {
    #[derive(Deserialize)]
    struct Words {
        #[serde(rename = "in")]
        text: String,
        out: String,
        err: bool,
    }
    for row in rows::<Words>(include_str!(
        "../../tests/vectors/runner-path-expansion.txt"
    )) {
        let expanded = environment().expand_words(&row.text);
        assert_eq!(expanded.is_err(), row.err, "{}: {expanded:?}", row.text);
        assert_eq!(
            expanded.unwrap_or(row.text.clone()),
            row.out,
            "{}",
            row.text
        );
    }
}

#[test]
fn shell_like_expansion_knows_the_operators_of_bash() {
    let words = |text: &str| environment().expand_words(text);
    let cases = [
        (
            "${A:+set}|${EMPTY:+set}|${EMPTY+set}|${EMPTY-d}|${EMPTY:-d}",
            "set||set||d",
        ),
        ("${P##*/}|${P#*/}|${P%%/*}|${P%/*}|${NAME##*}", "b|b|a|a|"),
        (
            "${P/b/c}|${P/#a/x}|${P/%b/x}|${P//[ab]/${A}}|${P/x/y}",
            "a/c|x/b|a/x|1/1|a/b",
        ),
        ("${NAME^^}|${NAME^}|${UNSET,,}", "V.Y|V.y|"),
        ("${NAME: -1}|${NAME:1}|${NAME:5}|${NAME:0:-1}", "y|.y||v."),
        ("${UNSET:-${NAME%.*}-${UNSET:-\"q\"}}", "v-q"),
        (
            "$((2**10 % 1000))|$(( (1+2)*3 ))|$((A+1))|$(($A<<4|1))|$((010))",
            "24|9|2|17|8",
        ),
        (
            "$((1?2:3))|$((-3/2))|$((!0))|$((1<2&&2<=1))|$(())",
            "2|-1|1|0|0",
        ),
        (
            "$(( 1 == 1 ))|$((0x1F))|$((2**3**2))|$((1||0))",
            "1|31|512|1",
        ),
        ("\\\\|\\\n|\\`|${UNSET:-\\}}", "\\||`|}"),
        ("$10|${1}|$@|$?|$é|$", "0||||$é|$"),
    ];
    for (text, expected) in cases {
        assert_eq!(words(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn shell_like_expansion_refuses_what_it_cannot_do() {
    let words = |text: &str| environment().expand_words(text).unwrap_err();
    let cases = [
        ("$(id)", WordsError::Command),
        ("${UNSET:-$(id)}", WordsError::Command),
        ("${A", WordsError::Syntax),
        ("${A:-${B}", WordsError::Syntax),
        ("${A@Q}", WordsError::Syntax),
        ("${!A}", WordsError::Syntax),
        ("${UNSET:=x}", WordsError::Syntax),
        ("${UNSET?gone}", WordsError::Unset("UNSET".into())),
        ("$((1/0))", WordsError::Arithmetic),
        ("$((1 2))", WordsError::Arithmetic),
        ("$((9223372036854775808))", WordsError::Arithmetic),
        ("$((NAME))", WordsError::Arithmetic),
        ("$((1)", WordsError::Syntax),
    ];
    for (text, expected) in cases {
        assert_eq!(words(text), expected, "{text}");
    }
    assert_eq!(words(&"${A:-".repeat(10_000)), WordsError::TooLarge);
    assert_eq!(words(&"$((".repeat(10_000)), WordsError::TooLarge);
    assert_eq!(
        words(&format!("$(({}", "(".repeat(10_000))),
        WordsError::Syntax
    );
    let deep = format!("$(({}1{}))", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(words(&deep), WordsError::Arithmetic);
    assert_eq!(
        words(&format!("$(({}1))", "-".repeat(10_000))),
        WordsError::Arithmetic
    );
}

#[test]
fn hostile_patterns_end_soon() {
    let list = [Variable::new("V", "a".repeat(200_000)).raw()];
    let environment = Environment::resolve(&list, "/t").unwrap();
    let text = format!("${{V//{}b/x}}", "*a".repeat(50));
    assert_eq!(environment.expand_words(&text), Err(WordsError::TooLarge));
}

proptest::proptest! {
    #[test]
    fn expansion_of_any_text_returns(text in "[$\\{\\}\\(\\)A:/#%\\\\\"*?+-=1é ]{0,40}") {
        let _ = environment().expand_words(&text);
        let _ = environment().expand(&text);
    }
}
