use std::borrow::Cow;

use serde_json::Value as Json;

use super::{Expression, Lookup, Value};

/// Rows that deviate on purpose: text and reason.
const DEVIATIONS: [(&str, &str); 0] = [];

struct Vars<'a>(&'a Json);

impl Lookup for Vars<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.get(name)?.as_str().map(Cow::Borrowed)
    }

    fn input(&self, name: &str) -> Value<'_> {
        match self.0.get("inputs").and_then(|inputs| inputs.get(name)) {
            None | Some(Json::Null) => Value::Null,
            Some(Json::Bool(value)) => Value::Bool(*value),
            Some(Json::String(text)) => Value::String(Cow::Borrowed(text)),
            Some(other) => Value::Other(Cow::Owned(other.to_string())),
        }
    }
}

fn same(value: &Value<'_>, expected: &Json) -> bool {
    match value {
        Value::Null => expected.is_null(),
        Value::Bool(value) => expected.as_bool() == Some(*value),
        Value::String(text) => expected.as_str() == Some(text),
        Value::Pattern(pattern) => expected["pattern"].as_str() == Some(pattern.source()),
        Value::Other(_) => expected.get("other").is_some(),
    }
}

#[test]
fn every_vector_has_gitlabs_verdict() {
    let mut rows = 0;
    let mut wrong = Vec::new();
    for line in include_str!("../../tests/vectors/expressions.txt").split('\n') {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        rows += 1;
        let row: Json = serde_json::from_str(line).unwrap();
        let text = row["expr"].as_str().unwrap();
        if DEVIATIONS.iter().any(|(deviation, _)| *deviation == text) {
            continue;
        }
        let vars = Vars(&row["vars"]);
        let parsed = Expression::parse(text);
        let right = match (&parsed, row["valid"].as_bool().unwrap()) {
            (Err(error), false) => error.offset <= text.len(),
            (Ok(expression), true) => match row["truthful"].as_bool() {
                // GitLab crashes with these variables: any verdict will do.
                None => true,
                Some(truthful) => {
                    expression.truthful(&vars) == truthful
                        && expression
                            .value(&vars)
                            .is_some_and(|value| same(&value, &row["value"]))
                }
            },
            _ => false,
        };
        if !right {
            wrong.push(format!("{line}\n    got {parsed:?}"));
        }
    }
    assert!(rows > 4000, "{rows} rows");
    assert!(
        wrong.is_empty(),
        "{} of {rows} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn errors_tell_the_place_and_the_mend() {
    let error = |text| Expression::parse(text).unwrap_err();
    assert_eq!(error("$X == ${Y}").offset, 6);
    assert!(error("$X == ${Y}").hint.unwrap().contains("braces"));
    assert!(error("$X =~ /x/").hint.unwrap().contains("two characters"));
    assert_eq!(error("$X = 1").offset, 3);
    assert_eq!(error("($X").offset, 0);
    assert_eq!(error("$X $Y").offset, 3);
    assert_eq!(error("ä").to_string(), "invalid expression syntax");
}

#[test]
fn hostile_texts_end_quickly() {
    for text in [
        "(".repeat(1 << 20),
        "/".repeat(1 << 20),
        "!".repeat(1 << 20),
        "\"".repeat(99999),
    ] {
        assert!(Expression::parse(&text).is_err());
    }
    let expression = Expression::parse("$A =~ $P").unwrap();
    let vars =
        serde_json::json!({ "A": "a".repeat(100_000), "P": format!("/{}$/", "(a*)*".repeat(150)) });
    assert!(expression.truthful(&Vars(&vars)));
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_and_evaluated_without_panic(
        text in r#"([$!=~&|()"'/ {}ai\\.*+?^\[\]ä\n-]|\$X|null|true|&&|\|\||==|=~|/a.*/i){0,30}"#,
        value in r#"[/xa(*\\ä\n]{0,8}"#,
    ) {
        if let Ok(expression) = Expression::parse(&text) {
            let lookup = |_: &str| Some(value.clone());
            let present = expression.value(&lookup).is_some_and(|value| value.is_present());
            proptest::prop_assert_eq!(expression.truthful(&lookup), present);
        }
    }
}
