//! What must hold for all commands.

use clap::CommandFactory;

use super::*;

/// All commands with all their flags.
fn built() -> clap::Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// All commands that do something, each with what is typed for it.
fn leaves() -> Vec<(String, clap::Command)> {
    fn walk(typed: &str, command: &clap::Command, found: &mut Vec<(String, clap::Command)>) {
        let typed = format!("{typed}{}", command.get_name());
        if command.get_subcommands().next().is_none() {
            found.push((typed.clone(), command.clone()));
        }
        for below in command.get_subcommands() {
            walk(&format!("{typed} "), below, found);
        }
    }
    let mut found = Vec::new();
    walk("", &built(), &mut found);
    found
}

#[test]
fn flags_do_not_contradict_each_other() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_an_example() {
    let mut commands: Vec<(String, clap::Command)> = built()
        .get_subcommands()
        .map(|command| (format!("fleetctl {}", command.get_name()), command.clone()))
        .collect();
    commands.extend(leaves());
    for (typed, command) in commands {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(help.contains(&typed), "{typed}");
    }
}

#[test]
fn every_example_is_accepted() {
    let mut checked = 0;
    for (typed, command) in leaves() {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default()
            .replace("\\\n      ", "");
        for line in help.lines() {
            // Of pipes the part that is ours; redirections and remarks are not.
            let Some(line) = line.split('|').find(|part| part.contains(&typed)) else {
                continue;
            };
            let line = line.split([';', '<', '>']).next().unwrap();
            let line = line.split("   ").next().unwrap().replace('\'', "");
            let words = line.split_whitespace();
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}\n{error}");
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn every_flag_is_explained_and_documented() {
    let page = include_str!("../../../docs/fleetctl.md");
    for (typed, command) in leaves() {
        if !command.is_hide_set() {
            assert!(page.contains(&typed), "`{typed}` is not documented");
        }
        for flag in command.get_arguments() {
            assert!(flag.get_help().is_some(), "{typed} {}", flag.get_id());
            if let Some(long) = flag.get_long().filter(|long| *long != "help") {
                assert!(
                    page.contains(&format!("--{long}")),
                    "{typed} --{long} is not documented"
                );
            }
        }
    }
}

#[test]
fn flag_means_the_same_everywhere() {
    let mut shorts = std::collections::BTreeMap::new();
    for (typed, command) in leaves() {
        for flag in command.get_arguments() {
            if let (Some(short), Some(long)) = (flag.get_short(), flag.get_long()) {
                let known = shorts.entry(short).or_insert_with(|| long.to_owned());
                assert_eq!(known, long, "{typed} -{short}");
            }
        }
    }
}

#[test]
fn mistyped_command_gets_a_suggestion() {
    for (typed, suggestion) in [
        (&["fleetctl", "grpah"][..], "'graph'"),
        (&["fleetctl", "job", "exlpain"], "'explain'"),
        (&["fleetctl", "agent", "drian"], "'drain'"),
    ] {
        let error = Cli::try_parse_from(typed).unwrap_err().to_string();
        assert!(error.contains(suggestion), "{error}");
    }
}

#[test]
fn flags_of_a_noun_may_stand_before_and_after_its_verb() {
    for typed in [
        "fleetctl job -o json --context work -p web/app list",
        "fleetctl job list -o json --context work -p web/app",
    ] {
        let cli = Cli::try_parse_from(typed.split(' ')).unwrap();
        let super::Command::Server(Noun::Job(Lazy(job))) = cli.command else {
            panic!()
        };
        assert_eq!(job.remote.output, Output::Json);
        assert_eq!(job.remote.context.as_deref(), Some("work"));
        assert_eq!(job.project.project.as_deref(), Some("web/app"));
    }
}

#[test]
fn value_comes_from_one_place() {
    for typed in [
        "fleetctl secret set A - --value x",
        "fleetctl secret set A --file f --value x",
        "fleetctl secret set A b",
    ] {
        assert!(Cli::try_parse_from(typed.split(' ')).is_err(), "{typed}");
    }
    assert!(Cli::try_parse_from("fleetctl secret set A -".split(' ')).is_ok());
}
