//! What a client asks for: `repository:group/app:pull,push`.

/// The most scopes of one request; more is no client's.
const MOST: usize = 64;

/// What is asked of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// `repository`, `registry` ...
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) actions: Vec<String>,
}

/// All scopes of a request: of several parameters, and of one with spaces.
///
/// # Errors
/// One of them is none, or there are too many; in words.
pub(super) fn parse<'a>(parameters: impl Iterator<Item = &'a str>) -> Result<Vec<Scope>, String> {
    let mut scopes = Vec::new();
    for one in parameters.flat_map(|parameter| parameter.split(' ')) {
        if one.is_empty() {
            continue;
        }
        if scopes.len() == MOST {
            return Err(format!("a request has at most {MOST} scopes"));
        }
        // A name may have a port in it.
        let parts = one.split_once(':').and_then(|(kind, rest)| {
            let (name, actions) = rest.rsplit_once(':')?;
            Some((kind, name, actions))
        });
        let Some((kind, name, actions)) = parts else {
            return Err("a scope is `type:name:action,action`".to_owned());
        };
        let actions = actions.split(',').filter(|action| !action.is_empty());
        scopes.push(Scope {
            kind: kind.to_owned(),
            name: name.to_owned(),
            actions: actions.map(str::to_owned).collect(),
        });
    }
    Ok(scopes)
}

/// Whether a repository can be called so (distribution's grammar, without a host).
pub(super) fn is_repository(name: &str) -> bool {
    name.len() <= 255 && name.split('/').all(is_component)
}

/// Runs of lower-case letters and digits; between them a dot, one or two underscores
/// or any number of dashes.
fn is_component(part: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = part.split(is_word).filter(|between| !between.is_empty());
    part.starts_with(is_word)
        && part.ends_with(is_word)
        && separators.into_iter().all(|between| {
            matches!(between, "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(kind: &str, name: &str, actions: &[&str]) -> Scope {
        Scope {
            kind: kind.into(),
            name: name.into(),
            actions: actions.iter().map(|one| (*one).to_owned()).collect(),
        }
    }

    #[test]
    fn scopes_come_in_several_parameters_or_in_one() {
        let given = [
            "repository:g/app:push,pull",
            "repository:host:5000/g/b:pull registry:catalog:*",
            "",
            "repository:g/c:",
        ];
        let expected = [
            scope("repository", "g/app", &["push", "pull"]),
            scope("repository", "host:5000/g/b", &["pull"]),
            scope("registry", "catalog", &["*"]),
            scope("repository", "g/c", &[]),
        ];
        assert_eq!(parse(given.into_iter()).unwrap(), expected);
        assert_eq!(parse([].into_iter()).unwrap(), []);
        for wrong in ["repository", "repository:g/app"] {
            assert!(parse([wrong].into_iter()).is_err(), "{wrong}");
        }
        let many = "a:b:c ".repeat(MOST + 1);
        assert!(parse([many.as_str()].into_iter()).is_err());
    }

    #[test]
    fn names_are_those_that_registries_have() {
        for name in ["app", "g/app", "g/a.b-c__d_e", "0/1", "a---b/c"] {
            assert!(is_repository(name), "{name}");
        }
        let long = "a".repeat(256);
        for name in [
            "",
            "/",
            "g/",
            "/g",
            "g//a",
            "G/app",
            "g/..",
            "g/.a",
            "g/a.",
            "g/a..b",
            "g/a___b",
            "g/a b",
            "g/é",
            "host:5000/g",
            "g/-a",
            "g/a_-b",
            &long,
        ] {
            assert!(!is_repository(name), "{name}");
        }
    }
}
