//! What people say beside a push or a request: push options, skip words, variables.

use fleet_model::Variable;

use super::Inputs;

/// Bytes of the variables of one pipeline.
const MOST_VARIABLES: usize = 1 << 20;
/// Characters of a variable's name.
const LONGEST_NAME: usize = 255;

/// `git push -o`, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The option that wants no jobs, as written.
    pub(crate) skip: Option<String>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) inputs: Inputs,
    /// Options nobody knows.
    pub(crate) unknown: Vec<String>,
}

impl Options {
    /// Reads push options.
    ///
    /// # Errors
    /// Which makes no sense, and how it is written.
    pub(crate) fn read(options: &[String]) -> Result<Options, String> {
        let mut read = Options::default();
        for option in options {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (option.as_str(), None),
            };
            match (name, value) {
                ("ci.skip" | "ci.no_pipeline", _) => read.skip = Some(option.clone()),
                ("ci.variable", Some(variable)) => {
                    let (key, value) = variable.split_once('=').ok_or_else(|| {
                        "The push option ci.variable is written as -o ci.variable=\"NAME=value\"."
                            .to_owned()
                    })?;
                    read.variables.push(variable_of(key, value)?);
                }
                ("ci.variable", None) => {
                    return Err(
                        "The push option ci.variable is written as -o ci.variable=\"NAME=value\"."
                            .to_owned(),
                    );
                }
                ("ci.input", value) => {
                    let input = value.and_then(|input| input.split_once('='));
                    let (name, value) = input.filter(|(name, _)| !name.is_empty()).ok_or(
                        "The push option ci.input is written as -o ci.input=\"NAME=value\".",
                    )?;
                    read.inputs.push((name.to_owned(), value.into()));
                }
                _ => read.unknown.push(name.chars().take(100).collect()),
            }
        }
        check_size(&read.variables)?;
        Ok(read)
    }
}

/// Whether an option that wants no jobs wants not even a pipeline that was skipped.
pub(crate) fn leaves_nothing(option: &str) -> bool {
    option.split('=').next() == Some("ci.no_pipeline")
}

/// Variables given for one pipeline, in order of their names.
///
/// # Errors
/// One has no name a variable can have, or they are too long.
pub(crate) fn variables(
    given: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<Variable>, String> {
    let mut given: Vec<(String, String)> = given.into_iter().collect();
    given.sort();
    let read = given
        .iter()
        .map(|(key, value)| variable_of(key, value))
        .collect::<Result<Vec<_>, _>>()?;
    check_size(&read)?;
    Ok(read)
}

/// Values given for inputs, in order of their names.
pub(crate) fn inputs(given: impl IntoIterator<Item = (String, String)>) -> Inputs {
    let given = given.into_iter().map(|(name, value)| (name, value.into()));
    let mut given: Inputs = given.collect();
    given.sort_by(|one, other| one.0.cmp(&other.0));
    given
}

fn variable_of(key: &str, value: &str) -> Result<Variable, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if key.is_empty() || key.len() > LONGEST_NAME || !key.chars().all(fits) {
        let shown: String = key.chars().filter(|c| !c.is_control()).take(60).collect();
        return Err(format!(
            "`{shown}` is no name of a variable: letters, digits and _ make one."
        ));
    }
    if value.contains('\0') {
        return Err(format!(
            "The value of the variable {key} has a NUL character."
        ));
    }
    let mut variable = Variable::new(key, value);
    variable.public = false;
    Ok(variable)
}

fn check_size(variables: &[Variable]) -> Result<(), String> {
    let size: usize = variables
        .iter()
        .map(|it| it.key.len() + it.value.len())
        .sum();
    if size > MOST_VARIABLES {
        return Err("The variables of one pipeline may have 1 MiB together.".to_owned());
    }
    Ok(())
}

/// The words in a commit's message that want no pipeline, as written.
pub(crate) fn skip_words(message: &str) -> Option<&str> {
    const WORDS: [&str; 6] = [
        "[ci skip]",
        "[ci-skip]",
        "[ci_skip]",
        "[skip ci]",
        "[skip-ci]",
        "[skip_ci]",
    ];
    message.match_indices('[').find_map(|(at, _)| {
        let found = message.get(at..at + WORDS[0].len())?;
        WORDS
            .iter()
            .any(|words| words.eq_ignore_ascii_case(found))
            .then_some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[&str]) -> Result<Options, String> {
        Options::read(
            &options
                .iter()
                .map(|it| (*it).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn push_options_are_understood() {
        let options = read(&[
            "ci.variable=A=b=c",
            "ci.variable=B=",
            "ci.input=env=a=b",
            "merge_request.create",
        ]);
        let options = options.unwrap();
        let pairs: Vec<_> = options
            .variables
            .iter()
            .map(|it| (it.key.as_str(), it.value.as_str(), it.public))
            .collect();
        assert_eq!(pairs, [("A", "b=c", false), ("B", "", false)]);
        assert_eq!(options.unknown, ["merge_request.create"]);
        assert_eq!(options.skip, None);
        assert_eq!(read(&["ci.skip"]).unwrap().skip.as_deref(), Some("ci.skip"));
        let nothing = read(&["ci.no_pipeline"]).unwrap().skip.unwrap();
        assert!(leaves_nothing(&nothing) && !leaves_nothing("ci.skip"));
    }

    #[test]
    fn variables_that_cannot_be_are_refused() {
        for option in [
            "ci.variable",
            "ci.variable=",
            "ci.variable=A",
            "ci.variable=A B=c",
            "ci.variable==c",
            "ci.variable=A=\0",
        ] {
            assert!(read(&[option]).is_err(), "{option}");
        }
        let long = format!("ci.variable=A={}", "x".repeat(MOST_VARIABLES));
        assert!(read(&[&long]).is_err());
        assert!(variables([("A-B".to_owned(), String::new())]).is_err());
        let sorted = variables([("B", "2"), ("A", "1")].map(|(k, v)| (k.into(), v.into())));
        assert_eq!(sorted.unwrap()[0].key, "A");
    }

    #[test]
    fn skip_words_are_found_anywhere() {
        for message in [
            "[ci skip]",
            "a\n\n[Skip CI] b",
            "[[skip-ci]]",
            "ä[CI_SKIP]ö",
        ] {
            assert!(skip_words(message).is_some(), "{message}");
        }
        for message in [
            "",
            "ci skip",
            "[ci  skip]",
            "[skip",
            "[skip cö]",
            "[skipci]",
            "[ci.skip]",
        ] {
            assert_eq!(skip_words(message), None, "{message}");
        }
    }
}
