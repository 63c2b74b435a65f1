//! The value of each declared input.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::header::{Header, Input};
use super::{Constraints, Given, INPUT, InputKind};
use crate::expression::{self, Expression, Lookup};
use crate::{Diagnostic, Map, Node, Span, Value, suggest};

/// Keys of a rule of an input.
const RULE_KEYS: [&str; 3] = ["if", "options", "default"];

/// Values by name.
pub(super) type Values = BTreeMap<String, Value>;

/// What each input has: what is given, else its default.
///
/// # Errors
/// Unknown names, and what is wrong with each input. `span` is where the file is given
/// its inputs.
pub(super) fn values(
    header: &Header,
    given: &[Given],
    span: Option<Span>,
) -> Result<Values, Vec<Diagnostic>> {
    let mut diagnostics: Vec<Diagnostic> = unknown(header, given, span).into_iter().collect();
    let mut values = Values::new();
    for input in &header.inputs {
        let given_value = given
            .iter()
            .rfind(|it| it.name == input.name)
            .filter(|it| it.value != Value::Null);
        match value(input, given_value, given, &values) {
            Ok(value) if input.can_be_found => {
                values.insert(input.name.clone(), value);
            }
            Ok(_) => {}
            Err(Wrong { problem, at, help }) => {
                let message = format!("`{}` input: {problem}", input.name);
                let at = at.or(given_value.and_then(|it| it.span)).or(span);
                let mut told = Diagnostic::error(INPUT, message, at.or(Some(input.span)));
                told.help = help;
                diagnostics.push(told);
            }
        }
    }
    if diagnostics.is_empty() {
        Ok(values)
    } else {
        Err(diagnostics)
    }
}

/// What is wrong with an input.
struct Wrong {
    problem: String,
    /// In the file that declares it; none: where it is given.
    at: Option<Span>,
    help: Option<String>,
}

impl Wrong {
    fn new(problem: impl Into<String>, at: Option<Span>) -> Wrong {
        Wrong {
            problem: problem.into(),
            at,
            help: None,
        }
    }
}

fn unknown(header: &Header, given: &[Given], span: Option<Span>) -> Option<Diagnostic> {
    let declared = || header.inputs.iter().map(|input| input.name.as_str());
    let unknown: Vec<&Given> = given
        .iter()
        .filter(|given| declared().all(|name| name != given.name))
        .collect();
    let first = unknown.first()?;
    let names: Vec<&str> = unknown.iter().map(|given| given.name.as_str()).collect();
    let message = format!("unknown input arguments: {}", names.join(", "));
    let mut diagnostic = Diagnostic::error(INPUT, message, first.span.or(span));
    diagnostic.help = match suggest::nearest(&first.name, declared()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if header.inputs.is_empty() => Some("the file takes no inputs".to_owned()),
        None => {
            let declared: Vec<&str> = declared().collect();
            Some(format!("the file takes: {}", declared.join(", ")))
        }
    };
    Some(diagnostic)
}

fn value(
    input: &Input,
    given: Option<&Given>,
    all_given: &[Given],
    above: &Values,
) -> Result<Value, Wrong> {
    let rules = input.rules.as_deref().unwrap_or_default();
    let rules = rules.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
    let lookup = Inputs { all_given, above };
    let chosen = rules.iter().find(|rule| {
        let condition = rule.condition.as_ref();
        condition.is_none_or(|condition| condition.truthful(&lookup))
    });
    let own = Constraints {
        kind: input.kind,
        options: input.options.as_deref(),
        regex: input.regex.as_ref().and_then(Node::as_str),
    };
    let constraints = Constraints {
        options: chosen.map_or(own.options, |rule| rule.options),
        ..own
    };
    let default = match chosen {
        Some(rule) => Some(rule.default),
        None => input.default.as_ref(),
    };
    // The default has to be right, whether it is used or not.
    if let Some(default) = default.filter(|default| !default.is_null()) {
        let value = input.kind.read(&default.value);
        if let Some(problem) = constraints.wrong(&value, "default") {
            return Err(Wrong::new(problem, Some(default.span)));
        }
    }
    if let Some(given) = given {
        let value = input.kind.read(&given.value);
        return match constraints.wrong(&value, "provided") {
            Some(problem) => Err(Wrong::new(problem, None)),
            None => Ok(as_kind(input.kind, &value, true)),
        };
    }
    match default {
        Some(default) => Ok(as_kind(input.kind, &input.kind.read(&default.value), false)),
        None if !rules.is_empty() => Ok(as_kind(input.kind, &Value::Null, false)),
        None => Err(Wrong {
            help: Some("give it a value, or its declaration a `default`".to_owned()),
            ..Wrong::new("required value has not been provided", None)
        }),
    }
}

/// One of an input's rules.
struct Rule<'a> {
    /// None: it always holds.
    condition: Option<Expression>,
    options: Option<&'a [Node]>,
    default: &'a Node,
}

fn rule(node: &Node) -> Result<Rule<'_>, Wrong> {
    let at = Some(node.span);
    let Value::Map(map) = &node.value else {
        return Err(Wrong::new("rule should be a hash", at));
    };
    let unknown = unknown_keys(map);
    if !unknown.is_empty() {
        let problem = format!("contains unknown keys: {}", unknown.join(", "));
        return Err(Wrong::new(problem, at));
    }
    let condition = map.get("if").filter(|condition| !condition.is_null());
    let condition = condition.map(|condition| {
        let text = condition.as_str();
        let parsed = text.and_then(|text| Expression::parse(text).ok());
        parsed.ok_or_else(|| Wrong::new("if invalid expression syntax", Some(condition.span)))
    });
    let options = map.get("options").filter(|options| !options.is_null());
    let options = options.map(|options| options.as_seq().unwrap_or_default());
    let default = map.get("default").filter(|default| !default.is_null());
    let (Some(default), None | Some([_, ..])) = (default, options) else {
        let problem = "rule must define 'options' with at least one value and a 'default'";
        return Err(Wrong::new(problem, at));
    };
    let listed = |option: &Node| option.to_text() == default.to_text();
    if options.is_some_and(|options| !options.iter().any(listed)) {
        let shown = default.to_text().unwrap_or_else(|| default.inspect());
        let problem = format!("default '{shown}' must be one of the options");
        return Err(Wrong::new(problem, Some(default.span)));
    }
    Ok(Rule {
        condition: condition.transpose()?,
        options,
        default,
    })
}

fn unknown_keys(map: &Map) -> Vec<String> {
    let keys = map.entries.iter();
    keys.filter(|entry| {
        let key = entry.key.as_str();
        key.is_none_or(|key| !RULE_KEYS.contains(&key))
    })
    .map(|entry| entry.key.to_text().unwrap_or_else(|| entry.key.inspect()))
    .collect()
}

/// What the condition of a rule sees: what is given, and the inputs above.
struct Inputs<'a> {
    all_given: &'a [Given],
    above: &'a Values,
}

impl Lookup for Inputs<'_> {
    fn variable(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn input(&self, name: &str) -> expression::Value<'_> {
        let given = self.all_given.iter().rfind(|it| it.name == name);
        let value = self.above.get(name).or(given.map(|given| &given.value));
        match value {
            None | Some(Value::Null) => expression::Value::Null,
            Some(Value::Bool(value)) => expression::Value::Bool(*value),
            Some(Value::String(text)) => expression::Value::String(Cow::Borrowed(text)),
            Some(value) => {
                let text = value.to_text().unwrap_or_else(|| value.inspect());
                expression::Value::Other(Cow::Owned(text))
            }
        }
    }
}

/// The value as its type has it: for a string its text. Names in a map that was given
/// are symbols in GitLab, and show as such.
fn as_kind(kind: InputKind, value: &Value, given: bool) -> Value {
    if kind != InputKind::String {
        return value.clone();
    }
    Value::String(match value {
        Value::Map(map) if given => symbols(map),
        other => other.to_text().unwrap_or_else(|| other.inspect()),
    })
}

fn symbols(map: &Map) -> String {
    let entry = |entry: &crate::Entry| {
        let key = entry.key.to_text().unwrap_or_else(|| entry.key.inspect());
        let value = match &entry.value.value {
            Value::Map(map) => symbols(map),
            value => value.inspect(),
        };
        format!(":{key}=>{value}")
    };
    let entries: Vec<String> = map.entries.iter().map(entry).collect();
    format!("{{{}}}", entries.join(", "))
}
