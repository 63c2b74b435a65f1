//! The names of images, as far as they can be compared.

/// An image's name in one form: with a tag, without what Docker adds by itself, and
/// `${NAME}` for each variable that is not known. It may hold values of settings, so it
/// is never shown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Image(String);

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Image(..)")
    }
}

/// Whether its name never means another image than the commit's own: it holds the
/// commit, the pipeline or a digest.
pub(super) fn is_fixed(image: &Image) -> bool {
    const NAMES: [&str; 4] = [
        "${CI_COMMIT_SHA}",
        "${CI_COMMIT_SHORT_SHA}",
        "${CI_PIPELINE_ID}",
        "${CI_PIPELINE_IID}",
    ];
    image.0.contains("@sha256:") || NAMES.iter().any(|name| image.0.contains(name))
}

/// The name in a text that the shell hands over; none: it is no name.
pub(super) fn name(text: &str) -> Option<Image> {
    if text.is_empty() || text.starts_with('-') || text.contains(char::is_whitespace) {
        return None;
    }
    let mut name = text;
    for prefix in ["index.docker.io/", "docker.io/", "library/"] {
        name = name.strip_prefix(prefix).unwrap_or(name);
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    // What is not known may bring a tag.
    let open = last.contains("${") && last.ends_with('}');
    let tagged = without_references(last).contains(':') || name.contains('@');
    Some(Image(if tagged || open {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }))
}

/// The name without its tag.
pub(super) fn untagged(image: &Image) -> Image {
    let slash = image.0.rfind('/').map_or(0, |at| at + 1);
    let end = image.0[slash..]
        .find(':')
        .map_or(image.0.len(), |at| slash + at);
    Image(image.0[..end].to_owned())
}

fn without_references(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let end = rest[at..].find('}').map_or(rest.len(), |end| at + end + 1);
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}
