//! What the agent's owner lets containers see besides the project.

use crate::expand;

/// One entry of the setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    /// A path of the host or the name of a volume; none: a volume of the project's.
    pub(super) source: Option<String>,
    /// A path in the container, unexpanded.
    pub(super) destination: String,
    /// `ro`, `rw`, `z`, `rshared` and so on, as the engine takes them.
    pub(super) options: Vec<String>,
}

impl Volume {
    /// Reads `[source:]destination[:mode][:z|Z][:propagation]`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(text: &str) -> Result<Volume, String> {
        let expected = "expected [SOURCE:]DESTINATION[:MODE]";
        let parts: Vec<&str> = text.split(':').collect();
        let is_path = |part: &str| part.starts_with(['/', '$']);
        let (source, rest) = match &parts[..] {
            [source, destination, ..] if is_path(destination) => (Some(*source), &parts[1..]),
            _ => (None, &parts[..]),
        };
        let destination = rest[0];
        if !is_path(destination) {
            return Err(format!(
                "{expected}: the destination, {destination:?}, is no absolute path"
            ));
        }
        if destination.trim_end_matches('/').is_empty() {
            return Err("the destination / would hide all of the image".to_owned());
        }
        if source.is_some_and(|source| {
            source.is_empty() || !source.starts_with('/') && source.contains('/')
        }) {
            return Err(format!(
                "{expected}: the source is an absolute path of this host or the name of a volume"
            ));
        }
        let options: Vec<String> = rest[1..].iter().map(|part| (*part).to_owned()).collect();
        const KNOWN: [&str; 11] = [
            "ro", "rw", "O", "z", "Z", "shared", "slave", "private", "rshared", "rslave",
            "rprivate",
        ];
        match options
            .iter()
            .find(|option| !KNOWN.contains(&option.as_str()))
        {
            Some(odd) => Err(format!(
                "{expected}: {odd:?} is no mode ({})",
                KNOWN.join(", ")
            )),
            None => Ok(Volume {
                source: source.map(str::to_owned),
                destination: destination.to_owned(),
                options,
            }),
        }
    }

    /// The engine's word for it; `own` names the volume of an entry without source.
    pub(super) fn bind(
        &self,
        variables: &expand::Environment,
        own: impl FnOnce(&str) -> String,
    ) -> Result<String, String> {
        let destination = variables
            .expand(&self.destination)
            .map_err(|error| error.to_string())?;
        if !destination.starts_with('/') || destination.contains(':') {
            return Err(format!(
                "the volume {} is at {destination:?}, which is no absolute path",
                self.destination
            ));
        }
        let source = match &self.source {
            Some(source) => source.clone(),
            None => own(&destination),
        };
        let mut bind = format!("{source}:{destination}");
        if !self.options.is_empty() {
            bind.push(':');
            bind.push_str(&self.options.join(","));
        }
        Ok(bind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_gitlab_runners() {
        let volume = |source: Option<&str>, destination: &str, options: &[&str]| Volume {
            source: source.map(str::to_owned),
            destination: destination.to_owned(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        };
        for (text, expected) in [
            ("/cache", volume(None, "/cache", &[])),
            ("/cache:ro", volume(None, "/cache", &["ro"])),
            ("/a:/b", volume(Some("/a"), "/b", &[])),
            ("data:/b:ro:z", volume(Some("data"), "/b", &["ro", "z"])),
            (
                "/a:/b/$X:rw:rshared",
                volume(Some("/a"), "/b/$X", &["rw", "rshared"]),
            ),
            ("/a:$X", volume(Some("/a"), "$X", &[])),
        ] {
            assert_eq!(Volume::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "", "a", "/", "a:b", "/a:/", "/a:/b:rx", ":/b", "../a:/b", "/a:/b:/c",
        ] {
            assert!(Volume::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn binds_say_whose_volume_it_is() {
        let variables = expand::Environment::default();
        let bind = |text: &str| {
            let volume = Volume::parse(text).unwrap();
            volume.bind(&variables, |path| format!("own{}", path.replace('/', "-")))
        };
        assert_eq!(bind("/cache"), Ok("own-cache:/cache".to_owned()));
        assert_eq!(bind("/a:/b:ro:z"), Ok("/a:/b:ro,z".to_owned()));
        assert!(bind("/a:$NOT_SET").is_err());
    }
}
