//! What is printed of things and lists.

use super::*;
use fleet_proto::v1;

const LOUD: Global = Global {
    quiet: false,
    verbose: false,
    no_color: true,
};

#[test]
fn facts_stand_under_each_other_and_empty_ones_are_left_out() {
    let printer = Printer::new(Output::Table, LOUD);
    let text = printer.rendered_item(
        &Value::Null,
        &[
            fact("name", "b3"),
            fact("host", ""),
            fact("certificate", "in 3h"),
            fact("problems", "one\ntwo\x1b[2J"),
        ],
    );
    assert_eq!(
        text,
        "name         b3\ncertificate  in 3h\nproblems     one\n             two\n"
    );
}

#[test]
fn programs_get_one_document_a_line() {
    let printer = Printer::new(Output::Json, LOUD);
    let text = printer.rendered(&[v1::Group::default()]);
    assert_eq!(text, "[{\"id\":0,\"path\":\"\",\"created_at\":null}]\n");
    let text = printer.rendered_item(&v1::Group::default().json(), &[fact("a", "b")]);
    assert_eq!(text.lines().count(), 1);
}
