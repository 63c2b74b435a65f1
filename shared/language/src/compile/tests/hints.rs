//! Where mistakes are pointed at, and what people are told to do.

use super::lint;

/// A file, the place of its first finding and its hint.
const HINTS: &[(&str, &str, &str)] = &[
    ("j:\n  scirpt: x\n", "1:1", "did you mean `script`?"),
    (
        "j:\n  script: x\n  imag: y\n",
        "3:3",
        "did you mean `image`?",
    ),
    (
        "j:\n  script: x\n  type: test\n",
        "3:3",
        "`type` is called `stage` since GitLab 16",
    ),
    (
        "types: [a]\nj:\n  script: x\n",
        "1:1",
        "`types` is called `stages` since GitLab 16",
    ),
    (
        "j:\n  script:\n    - ok\n    - echo: it's\n",
        "4:7",
        "`: ` makes this a map; quote the whole line: `- 'echo: it''s'`",
    ),
    ("j:\n  script: [true]\n", "2:12", "quote it: `- 'true'`"),
    (
        "j:\n  script: x\n  stage: biuld\n",
        "3:10",
        "did you mean `build`?",
    ),
    (
        "build:\n  script: x\ndeploy:\n  script: x\n  needs: [biuld]\n",
        "5:11",
        "a job named `build` exists",
    ),
    (
        "build:\n  script: x\ndeploy:\n  script: x\n  dependencies: [build, biuld]\n",
        "5:25",
        "a job named `build` exists",
    ),
    (
        "j:\n  script: x\n  tags: linux\n",
        "3:9",
        "write a list: `tags: [linux]`",
    ),
    (
        "j:\n  script: x\n  only: main\n",
        "3:9",
        "write a list: `[main]`",
    ),
    (
        "j:\n  script: x\n  when: never\n",
        "3:9",
        "`when: never` belongs in a rule",
    ),
    (
        "j:\n  script: x\n  when: alwys\n",
        "3:9",
        "did you mean `always`?",
    ),
    (
        ".tpl: {image: i}\nj:\n  extends: tpl\n  script: x\n",
        "3:12",
        "did you mean `.tpl`?",
    ),
    (
        ".tpl: {script: x}\nj:\n  script: !reference [.tlp, script]\n",
        "3:22",
        "did you mean `.tpl`?",
    ),
    (
        "j:\n  script: x\n  timeout: 3600\n",
        "3:12",
        "for example: 30 minutes, 1h 30m; as text, not as a number",
    ),
    (
        "variables:\n  V: 3.10\nj:\n  script: x\n",
        "2:6",
        "quote it to keep it as it is: \"3.10\"",
    ),
    ("5:\n  script: x\n", "1:1", "quote the name: \"5\""),
];

#[test]
fn mistakes_have_a_place_and_a_hint() {
    for (yaml, place, hint) in HINTS {
        let (compiled, _) = lint(yaml);
        let first = &compiled.diagnostics[0];
        let (_, line, column) = compiled.sources.locate(first.span.unwrap()).unwrap();
        assert_eq!(format!("{line}:{column}"), *place, "{yaml}{first:?}");
        assert_eq!(first.help.as_deref(), Some(*hint), "{yaml}{first:?}");
    }
}

#[test]
fn a_wrong_expression_is_pointed_at_where_reading_stopped() {
    let yaml = "j:\n  script: x\n  rules:\n    - if: '$A == \"x\" && B'\n";
    let (compiled, _) = lint(yaml);
    let span = compiled.diagnostics[0].span.unwrap();
    assert_eq!(&yaml[span.start as usize..span.end as usize], "B");
}
