//! The keys of Docker's `auths`: which registry, or part of one, a login is for.

/// A key in the one form that is compared; gitlab-runner's rules.
///
/// A URL stands for its host and port alone; anything else may name a path.
pub(super) fn normalized(key: &str) -> String {
    let lower = key.to_ascii_lowercase();
    for scheme in ["https://", "http://"] {
        if let Some(rest) = lower.strip_prefix(scheme) {
            let host = rest.split('/').next().unwrap_or_default();
            return match host {
                "index.docker.io" => "docker.io".to_owned(),
                host => host.to_owned(),
            };
        }
    }
    let key = key.trim_end_matches('/');
    let Some((host, path)) = key.split_once('/') else {
        return key.to_ascii_lowercase();
    };
    let path = match path.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => path,
        _ => path,
    };
    format!("{}/{path}", host.to_ascii_lowercase())
}

/// The keys that fit `image` - registry and path - best first: its whole name,
/// then one component less each time, down to the registry.
pub(super) fn candidates(image: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(image), |longer| {
        longer.rsplit_once('/').map(|(shorter, _)| shorter)
    })
}
