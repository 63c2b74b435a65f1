use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::Severity;

const SCALARS: &str = include_str!("../../tests/vectors/yaml-scalars.txt");
const MAPS: &str = include_str!("../../tests/vectors/yaml-maps.txt");

fn rows(vectors: &str) -> Vec<Json> {
    let rows = vectors.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| serde_json::from_str(row).expect("a row is JSON"))
        .collect()
}

fn read(text: &str) -> (Option<Document>, Vec<Diagnostic>, Sources) {
    let mut sources = Sources::default();
    let file = sources.add("ci.yml", text);
    let (document, diagnostics) = parse(&sources, file);
    (document, diagnostics, sources)
}

fn body(text: &str) -> Node {
    let (document, diagnostics, _) = read(text);
    document
        .unwrap_or_else(|| panic!("{text:?} does not load: {diagnostics:?}"))
        .body
}

/// The first error in the form Psych gives it, with the place if it is of the syntax.
fn error(text: &str) -> Option<String> {
    let (_, diagnostics, sources) = read(text);
    let error = diagnostics
        .into_iter()
        .find(|it| it.severity == Severity::Error)?;
    if error.code != "yaml-syntax" {
        return Some(error.message);
    }
    let (_, line, column) = sources
        .locate(error.span.expect("has a place"))
        .expect("exists");
    Some(format!(
        "(<unknown>): {} at line {line} column {column}",
        error.message
    ))
}

fn warnings(text: &str) -> Vec<(String, usize, usize)> {
    let (_, diagnostics, sources) = read(text);
    let warnings = diagnostics
        .into_iter()
        .filter(|it| it.severity == Severity::Warning);
    warnings
        .map(|it| {
            let (_, line, column) = sources
                .locate(it.span.expect("has a place"))
                .expect("exists");
            (it.message, line, column)
        })
        .collect()
}

#[test]
fn scalars_load_as_psych_loads_them() {
    let mut wrong = Vec::new();
    for row in rows(SCALARS) {
        let yaml = row["yaml"].as_str().unwrap();
        let text = format!("k: {yaml}\n");
        if let Some(expected) = row["error"].as_str() {
            if error(&text).as_deref() != Some(expected) {
                wrong.push(format!("{yaml}: {:?}", error(&text)));
            }
            continue;
        }
        let body = body(&text);
        let value = body.as_map().and_then(|map| map.get("k")).unwrap();
        let kind = match value.type_name() {
            "boolean" => "bool",
            "integer" => "int",
            "array" => "Array",
            "hash" => "Hash",
            // A symbol counts as a string wherever a string may stand.
            "string" if row["type"] == "symbol" => "symbol",
            other => other,
        };
        let text = value.to_text().unwrap_or_else(|| value.inspect());
        if row["type"] != kind || row["text"] != text {
            wrong.push(format!("{yaml}: {kind} {text}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn documents_load_as_psych_loads_them() {
    // Psych loads any root; a configuration is a map (and an empty one if it is empty).
    let deviations = [
        ("- a\n- b\n", Err("Invalid configuration format")),
        ("just text\n", Err("Invalid configuration format")),
        ("", Ok(json!({}))),
    ];
    let mut wrong = Vec::new();
    for row in rows(MAPS) {
        let yaml = row["yaml"].as_str().unwrap();
        let expected = match row["error"].as_str() {
            Some(error) => Err(error),
            None => Ok(row["value"].clone()),
        };
        let deviation = deviations.iter().find(|(text, _)| *text == yaml);
        let expected = deviation.map_or(expected, |(_, expected)| expected.clone());
        match expected {
            Err(expected) if error(yaml).as_deref() == Some(expected) => {}
            Ok(expected) if error(yaml).is_none() && body(yaml).to_json() == expected => {}
            _ => wrong.push(format!("{yaml:?}: {:?}", read(yaml))),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn merged_keys_come_in_the_order_of_the_places() {
    let text = "p: &p {a: 1, b: 2}\nq: &q {c: 3, a: 4}\nx:\n  d: 5\n  <<: [*p, *q]\n  b: 6\n";
    let body = body(text);
    let merged = body.as_map().and_then(|map| map.get("x")).unwrap();
    assert_eq!(merged.inspect(), r#"{"d"=>5, "c"=>3, "a"=>1, "b"=>6}"#);
}

#[test]
fn merge_above_which_a_key_stands_is_told() {
    let text = "p: &p {image: a}\nx:\n  image: b\n  <<: *p\n";
    assert_eq!(
        warnings(text),
        [("`<<` overrides image written above it".to_owned(), 4, 3)]
    );
    assert!(warnings("p: &p {image: a}\nx:\n  <<: *p\n  image: b\n").is_empty());
}

#[test]
fn duplicate_key_is_told_with_its_place() {
    assert_eq!(
        warnings("job:\n  script: a\n  script: b\n"),
        [(
            "duplicate key script at line 3; the last one is used".to_owned(),
            3,
            3
        )]
    );
}

#[test]
fn variables_that_change_as_text_are_told() {
    let text = "variables:\n  A: 3.10\n  B: 3.1\n  C: 0644\n  D: '3.10'\n  E: {value: 1_000}\n\
                job:\n  variables: {F: 1.20}\n  timeout: 1.20\n";
    let places: Vec<_> = warnings(text)
        .into_iter()
        .map(|(_, line, _)| line)
        .collect();
    assert_eq!(places, [2, 4, 6, 8]);
    assert_eq!(
        warnings(text)[0].0,
        "`3.10` is a number, the variable becomes `3.1`"
    );
}

#[test]
fn header_is_a_first_document_with_spec() {
    let (document, ..) = read("spec:\n  inputs: {}\n---\njob: {script: a}\n");
    let document = document.unwrap();
    assert_eq!(
        document.header.unwrap().to_json(),
        json!({"spec": {"inputs": {}}})
    );
    assert_eq!(document.body.to_json(), json!({"job": {"script": "a"}}));
}

#[test]
fn leading_divider_and_comments_are_no_document() {
    for text in [
        "---\na: 1\n",
        "# licence\n---\na: 1\n",
        "\u{feff}---\na: 1\n",
        "--- # x\na: 1\n",
    ] {
        let (document, diagnostics, _) = read(text);
        let document = document.unwrap();
        assert_eq!(
            (document.header, document.body.to_json()),
            (None, json!({"a": 1})),
            "{text:?}"
        );
        assert!(diagnostics.is_empty(), "{text:?}: {diagnostics:?}");
    }
    let (document, ..) = read("# licence\n---\nspec: {}\n---\na: 1\n");
    assert!(document.unwrap().header.is_some());
}

#[test]
fn spec_alone_is_no_header() {
    let (document, ..) = read("spec: {}\n---\n");
    assert_eq!(document.unwrap().body.to_json(), json!({"spec": {}}));
}

#[test]
fn further_documents_are_ignored_with_a_warning() {
    let text = "a: 1\n---\nb: 2\n";
    assert_eq!(body(text).to_json(), json!({"a": 1}));
    assert_eq!(warnings(text).len(), 1);
}

#[test]
fn content_behind_the_end_of_a_document_is_told() {
    for (text, line) in [
        ("  a: 1\nb: 2\n", 2),
        ("{a: 1}\nb: 2\n", 2),
        ("a: 1\n...\nb: 2\n", 3),
    ] {
        assert_eq!(body(text).to_json(), json!({"a": 1}), "{text:?}");
        let warnings = warnings(text);
        assert_eq!(warnings.len(), 1, "{text:?}");
        assert_eq!(warnings[0].1, line, "{text:?}");
    }
    assert!(warnings("a: 1\n...\n# end\n").is_empty());
}

#[test]
fn directives_alone_are_no_document() {
    assert!(error("%YAML 1.1\n").is_some());
}

#[test]
fn empty_roots_are_an_empty_map() {
    for text in ["", "# only this\n", "---", "--- \n", "[]", "~", "\u{feff}"] {
        assert_eq!(body(text).to_json(), json!({}), "{text:?}");
    }
}

#[test]
fn crlf_reads_as_lf() {
    let unix = "job:\n  script: |\n    a\n    b\n  image: x\n---\nb: 1\n";
    assert_eq!(
        body(&unix.replace('\n', "\r\n")).to_json(),
        body(unix).to_json()
    );
}

#[test]
fn non_string_keys_stay_what_they_are() {
    let body = body("on: 1\n12: 2\n~: 3\n1.0: 4\n'12': 5\n");
    let kinds: Vec<_> = body
        .as_map()
        .unwrap()
        .entries
        .iter()
        .map(|entry| entry.key.type_name())
        .collect();
    assert_eq!(kinds, ["boolean", "integer", "null", "float", "string"]);
}

#[test]
fn references_stay_to_be_resolved() {
    let body = body("a: &r !reference [b, c]\nd: [x, *r]\n");
    let reference = body.as_map().and_then(|map| map.get("a")).unwrap();
    assert!(matches!(&reference.value, Value::Reference(path) if path.len() == 2));
    assert_eq!(
        error("a: !reference b\n").as_deref(),
        Some("!reference \"b\" is not valid")
    );
}

#[test]
fn refused_values_are_all_told_beside_a_document() {
    let (document, diagnostics, _) = read("a: 2024-01-31\nb: [2024-01-31 10:00:00]\n");
    assert_eq!(diagnostics.len(), 2);
    assert_eq!(
        document.unwrap().body.to_json(),
        json!({"a": "2024-01-31", "b": ["2024-01-31 10:00:00"]})
    );
}

#[test]
fn spans_cover_the_values() {
    let text = "a:\n  b: [x, 'y z']\n  c: |\n    block\n    text\nd: é\n";
    let body = body(text);
    let slice = |node: &Node| &text[node.span.start as usize..node.span.end as usize];
    let map = body.as_map().unwrap();
    let a = map.get("a").unwrap();
    assert_eq!(slice(a), "b: [x, 'y z']\n  c: |\n    block\n    text");
    let a = a.as_map().unwrap();
    assert_eq!(slice(a.get("b").unwrap()), "[x, 'y z']");
    assert_eq!(slice(&a.get("b").unwrap().as_seq().unwrap()[1]), "'y z'");
    assert_eq!(slice(a.get("c").unwrap()), "block\n    text");
    assert_eq!(slice(&map.entry("d").unwrap().key), "d");
    assert_eq!(slice(map.get("d").unwrap()), "é");
}

#[test]
fn places_in_a_second_document_are_of_the_file() {
    let text = "spec: {}\n---\na: b: c\n";
    assert_eq!(
        error(text).as_deref(),
        Some("(<unknown>): mapping values are not allowed in this context at line 3 column 5")
    );
}

#[test]
fn tabs_are_told_where_they_stand() {
    for (text, line, column) in [
        ("a:\n  b: 1\n\tc: 2\n", 3, 1),
        ("a:\n  - x\n  \t- y\n", 3, 3),
        ("a: |\n\tx\n", 2, 1),
        ("a:\n  b: 1\n  \t c: 2\n", 3, 3),
    ] {
        let (document, diagnostics, sources) = read(text);
        assert!(document.is_none(), "{text:?}");
        let (_, at_line, at_column) = sources.locate(diagnostics[0].span.unwrap()).unwrap();
        assert_eq!(
            (at_line, at_column),
            (line, column),
            "{text:?} {diagnostics:?}"
        );
        assert!(
            diagnostics[0]
                .help
                .as_deref()
                .unwrap_or_default()
                .contains("tab"),
            "{text:?}"
        );
    }
}

#[test]
fn depth_ends_at_100() {
    let nested = |depth: usize| format!("a: {}{}\n", "[".repeat(depth), "]".repeat(depth));
    assert!(error(&nested(99)).is_none());
    assert_eq!(
        error(&nested(100)).as_deref(),
        Some("The parsed YAML is too big")
    );
    let aliased = format!(
        "x: &x {}1{}\na: {}*x{}\n",
        "[".repeat(60),
        "]".repeat(60),
        "[".repeat(60),
        "]".repeat(60)
    );
    assert_eq!(
        error(&aliased).as_deref(),
        Some("The parsed YAML is too big")
    );
}

#[test]
fn hostile_texts_are_refused_at_once() {
    let bomb = |first: &str| {
        let lines = (1..60).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1));
        format!("a0: &a0 {first}\n{}", lines.collect::<String>())
    };
    let block = (0..1500).fold(String::new(), |text, depth| {
        format!("{text}{}a:\n", " ".repeat(depth))
    });
    let wide = (0..20_000)
        .map(|n| format!("k{n}: 1, "))
        .collect::<String>();
    let merges = format!(
        "a: &a {{{wide}}}\nb: {{<<: [{}]}}\n",
        "*a, ".repeat(100_000)
    );
    let texts = [
        bomb("x"),
        bomb("{b: c}"),
        "[".repeat(MAX_SIZE),
        "{a: ".repeat(5_000),
        "- ".repeat(5_000),
        "? ".repeat(5_000),
        "a: &a [*a]\n".to_owned(),
        "a: &a {<<: *a}\n".to_owned(),
        "a: &a\n  ? *a\n  : 1\n".to_owned(),
        block,
        merges,
        "a: 1\n".repeat(MAX_SIZE / 5 + 1),
        format!("a: [{}]\n", "1,".repeat(MAX_SIZE / 2 - 10)),
        format!("a: [{}]\n", "x,".repeat(MAX_SIZE / 2 - 10)),
    ];
    for text in texts {
        let start: String = text.chars().take(40).collect();
        let error = error(&text).unwrap_or_else(|| panic!("{start} loads"));
        assert!(error.ends_with("is too big"), "{start}: {error}");
    }
}

#[test]
fn repeated_keys_make_a_hundred_warnings_and_errors_still_show() {
    let text = format!("{}b: 2024-01-31\n", "a: 1\n".repeat(20_000));
    let (_, diagnostics, _) = read(&text);
    assert_eq!(diagnostics.len(), 101);
    assert_eq!(diagnostics[100].code, "unspecified-class");
}

/// Text of the characters that mean something to YAML.
fn near_yaml() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "a",
        "b: ",
        "- ",
        "? ",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "&x ",
        "*x",
        "<<: ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "'",
        "\"",
        "|\n",
        ">-\n",
        "#",
        "!reference ",
        "!!str ",
        "!!binary ",
        "!!float ",
        "%",
        "---\n",
        "...\n",
        "\t",
        "\\",
        "1:30",
        "0x",
        "2024-01-31",
        "é",
        "\u{feff}",
        "\r\n",
        "~",
        "\u{85}",
    ]);
    prop::collection::vec(parts, 0..60).prop_map(|parts| parts.concat())
}

#[test]
fn trees_are_written_in_block_style() {
    let text = "stages: [build, 'on', '1.0', \"a\\tb\"]\nbuild:\n  script:\n  - make\n  - |\n    a\n     b\n\n    c\n  \
                - [x, {y: z}]\n  rules: []\n  image: {}\n  '<<': 1\n  1: ~\n  when: 'a: b'\n  \
                note: !reference [.x, script]\n  path: ./a -b\n  text: |+\n    x\n\n";
    insta::assert_snapshot!(to_yaml(&body(text)), @r#"
    stages:
      - build
      - 'on'
      - '1.0'
      - "a\tb"
    build:
      script:
        - make
        - |
          a
           b

          c
        - - x
          - y: z
      rules: []
      image: {}
      !!str <<: 1
      1: null
      when: 'a: b'
      note: !reference [.x, script]
      path: ./a -b
      text: |+
        x

    "#);
}

/// Any tree that may stand in a configuration, and some that may not.
fn tree() -> impl Strategy<Value = Node> {
    let text = prop_oneof![
        any::<String>(),
        near_yaml(),
        "[a-z.: ]{0,8}",
        "[ \\n\\ta]{0,8}"
    ];
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        text.prop_map(Value::String),
    ];
    let value = scalar.prop_recursive(5, 40, 5, |value| {
        let list = prop::collection::vec(value.clone().prop_map(node), 0..5);
        let entries = prop::collection::vec((value.prop_map(node), list.clone()), 0..5);
        prop_oneof![
            list.clone().prop_map(Value::Seq),
            list.prop_map(Value::Reference),
            entries.prop_map(|entries| {
                let mut map = Map::default();
                for (key, values) in entries {
                    let value = match <[Node; 1]>::try_from(values) {
                        Ok([value]) => value,
                        Err(values) => node(Value::Seq(values)),
                    };
                    let entry = crate::Entry { key, value };
                    // No key twice.
                    map = map.deep_merge(Map {
                        entries: vec![entry],
                    });
                }
                Value::Map(map)
            }),
        ]
    });
    value.prop_map(node)
}

fn node(value: Value) -> Node {
    Node {
        span: crate::Span {
            file: FileId(0),
            start: 0,
            end: 0,
        },
        value,
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_with_an_error(text in prop_oneof![any::<String>(), near_yaml()]) {
        let (document, diagnostics, sources) = read(&text);
        let has_error = diagnostics.iter().any(|it| it.severity == Severity::Error);
        prop_assert!(document.is_some() || has_error);
        for diagnostic in diagnostics {
            let span = diagnostic.span.expect("has a place");
            prop_assert!(sources.locate(span).is_some(), "{:?}", diagnostic);
            prop_assert!(text.get(span.start as usize..span.end as usize).is_some(), "{:?}", diagnostic);
        }
    }

    #[test]
    fn what_is_written_reads_back_as_the_same_tree(value in tree()) {
        let key = node(Value::String("key".to_owned()));
        let root = node(Value::Map(Map { entries: vec![crate::Entry { key, value }] }));
        let text = to_yaml(&root);
        let (document, diagnostics, _) = read(&text);
        prop_assert!(document.is_some(), "{text}\n{diagnostics:?}");
        prop_assert_eq!(document.unwrap().body.inspect(), root.inspect(), "{}", text);
    }
}

#[test]
fn a_colon_cannot_begin_a_value_inside_of_brackets() {
    let sentence = "did not find expected node content while parsing a flow node";
    for yaml in ["{a: :b}", "a: [:b]", "a: [[x], :b]", "a:\n- {b: [{c: :d}]}"] {
        let told = error(yaml).unwrap_or_default();
        assert!(told.contains(sentence), "{yaml}: {told}");
    }
    for yaml in ["a: :b", "{a: ':b'}", "{a: b:c}", "a: [x]\nb: :c"] {
        assert_eq!(error(yaml), None, "{yaml}");
    }
}
