use super::*;

const SPAN: Span = Span {
    file: FileId(0),
    start: 0,
    end: 0,
};

fn node(value: Value) -> Node {
    Node { span: SPAN, value }
}

fn text(text: &str) -> Node {
    node(Value::String(text.to_owned()))
}

fn map(entries: Vec<(Node, Node)>) -> Map {
    Map {
        entries: entries
            .into_iter()
            .map(|(key, value)| Entry { key, value })
            .collect(),
    }
}

#[test]
fn deep_merge_keeps_left_places_and_replaces_lists_and_nulls() {
    let left = map(vec![
        (text("list"), node(Value::Seq(vec![text("a")]))),
        (
            text("map"),
            node(Value::Map(map(vec![
                (text("x"), text("1")),
                (text("y"), text("2")),
            ]))),
        ),
        (text("gone"), text("v")),
    ]);
    let right = map(vec![
        (text("new"), text("n")),
        (text("gone"), node(Value::Null)),
        (
            text("map"),
            node(Value::Map(map(vec![
                (text("y"), text("3")),
                (text("z"), text("4")),
            ]))),
        ),
        (text("list"), node(Value::Seq(vec![text("b")]))),
    ]);
    let merged = node(Value::Map(left.deep_merge(right)));
    assert_eq!(
        merged.inspect(),
        r#"{"list"=>["b"], "map"=>{"x"=>"1", "y"=>"3", "z"=>"4"}, "gone"=>nil, "new"=>"n"}"#
    );
}

#[test]
fn integer_and_string_keys_are_two_keys() {
    let left = map(vec![(node(Value::Int(1)), text("a"))]);
    let right = map(vec![
        (text("1"), text("b")),
        (node(Value::Int(1)), text("c")),
    ]);
    assert_eq!(
        node(Value::Map(left.deep_merge(right))).inspect(),
        r#"{1=>"c", "1"=>"b"}"#
    );
}

#[test]
fn floats_read_as_ruby_prints_them() {
    for (value, expected) in [
        (3.10, "3.1"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (1e15, "1000000000000000.0"),
        (1e16, "1.0e+16"),
        (1.25e-5, "1.25e-05"),
        (0.0001, "0.0001"),
        (1e100, "1.0e+100"),
    ] {
        assert_eq!(Value::Float(value).to_text().as_deref(), Some(expected));
    }
}

#[test]
fn text_shows_as_ruby_inspects_it() {
    assert_eq!(text("a\"b\\\n#{x} #").inspect(), r#""a\"b\\\n\#{x} #""#);
}
