//! The table of all settings, for the documentation.

use clap::{Arg, ArgAction, Command};

use crate::settings;

/// The command's settings as a table in Markdown: setting (its key in the file),
/// flag, environment variable, default, meaning.
#[must_use]
pub fn reference(command: &Command) -> String {
    let mut text = String::from(
        "| setting | flag | environment | default | meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for (arg, name) in settings(command) {
        let environment = arg.get_env().map(|name| name.to_string_lossy());
        let help = arg.get_help().map(ToString::to_string);
        let cells = [
            code(name),
            code(&flag(arg, name)),
            environment.as_deref().map_or_else(String::new, code),
            code(&default(arg)),
            cell(&help.unwrap_or_default()),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

fn flag(arg: &Arg, name: &str) -> String {
    if matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse) {
        return format!("--{name}");
    }
    let value = arg
        .get_value_names()
        .and_then(<[_]>::first)
        .map_or_else(|| name.to_uppercase(), ToString::to_string);
    let more = match arg.get_action() {
        ArgAction::Append => " ...",
        _ => "",
    };
    format!("--{name} {value}{more}")
}

fn default(arg: &Arg) -> String {
    let values = arg.get_default_values();
    if values.is_empty() && matches!(arg.get_action(), ArgAction::SetTrue) {
        return "false".to_owned();
    }
    let values: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
    values.join(",")
}

fn code(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!("`{}`", cell(text)),
    }
}

/// On one line, and with no sign that ends a cell.
fn cell(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::reference;

    #[derive(Args)]
    struct Example {
        /// Where people connect
        #[arg(
            long,
            env = "FLEET_LISTEN",
            value_name = "ADDRESS",
            default_value = "0.0.0.0:8443"
        )]
        listen: String,
        /// A name in the certificate; a|b
        #[arg(long, value_name = "NAME")]
        name: Vec<String>,
        /// Says more
        #[arg(long)]
        loud: bool,
        #[arg(long, hide = true)]
        hidden: bool,
        /// Where the settings are
        #[arg(long)]
        config: Option<String>,
    }

    #[test]
    fn settings_are_a_table() {
        let command = Example::augment_args(clap::Command::new("example"));
        assert_eq!(
            reference(&command),
            "\
| setting | flag | environment | default | meaning |
| --- | --- | --- | --- | --- |
| `listen` | `--listen ADDRESS` | `FLEET_LISTEN` | `0.0.0.0:8443` | Where people connect |
| `name` | `--name NAME ...` |  |  | A name in the certificate; a\\|b |
| `loud` | `--loud` |  | `false` | Says more |
"
        );
    }
}
