//! How registries are named: by the keys of Docker's `auths`.

/// `key` in the one form that is compared, as gitlab-runner makes it: of a URL the
/// host and port alone, and Docker Hub's under the name that images have; of anything
/// else host and path, without a tag.
#[must_use]
pub fn registry_key(key: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_gitlab_runners() {
        for (given, key) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("https://Reg.example.com/v2/", "reg.example.com"),
            ("reg.example.com/group/", "reg.example.com/group"),
            ("reg.example.com:5000", "reg.example.com:5000"),
            ("reg.example.com/group:tag", "reg.example.com/group"),
            ("docker.io", "docker.io"),
            ("http://reg:5000/x", "reg:5000"),
            ("index.docker.io", "index.docker.io"),
            ("REG.example.com/Group", "reg.example.com/Group"),
            ("reg:5000/a/b:c", "reg:5000/a/b"),
        ] {
            assert_eq!(registry_key(given), key, "{given}");
            assert_eq!(registry_key(key), key, "again");
        }
    }
}
