//! A `config.json` of Docker, and the logins in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleet_proto::v1;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The user of an identity token, as Docker's own helpers have it.
const TOKEN: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    creds_store: String,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

/// All logins of a file.
///
/// # Errors
/// It is none, has none, or has them elsewhere; in words, without passwords.
pub(super) fn logins(text: &str) -> Result<Vec<v1::NewRegistry>, String> {
    let config: Config = serde_json::from_str(text).map_err(|error| {
        // The words of serde may repeat a value.
        format!(
            "line {}, column {}: it is no config.json of Docker",
            error.line(),
            error.column()
        )
    })?;
    let helpers = config.cred_helpers.into_values();
    let helper = Some(config.creds_store)
        .into_iter()
        .chain(helpers)
        .find(|name| !name.is_empty());
    if let Some(helper) = helper {
        return Err(format!(
            "it names the credential helper `{helper}` (credsStore or credHelpers), a program of \
             that machine: the passwords are not in it. Try: an entry under `auths` with user and \
             password, or --username and --password-file"
        ));
    }
    if config.auths.is_empty() {
        return Err("it has no logins: `auths` is missing or empty".to_owned());
    }
    config
        .auths
        .into_iter()
        .map(|(registry, entry)| login(registry, entry))
        .collect()
}

fn login(registry: String, entry: Entry) -> Result<v1::NewRegistry, String> {
    if !entry.registrytoken.is_empty() {
        return Err(format!(
            "`{registry}` has a registrytoken, which ends within minutes: give user and password"
        ));
    }
    let pair = if !entry.identitytoken.is_empty() {
        Some((TOKEN.to_owned(), entry.identitytoken))
    } else if !entry.auth.is_empty() {
        let decoded = STANDARD.decode(&entry.auth).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|pair| pair.split_once(':'));
        let Some((username, password)) = pair else {
            return Err(format!(
                "`auth` of `{registry}` is not user and password in base64"
            ));
        };
        // As Docker does: old versions filled it up.
        Some((username.to_owned(), password.trim_matches('\0').to_owned()))
    } else {
        Some((entry.username, entry.password))
    };
    let (username, password) = pair
        .filter(|(username, password)| !username.is_empty() && !password.is_empty())
        .ok_or_else(|| format!("`{registry}` has no user and password"))?;
    Ok(v1::NewRegistry {
        registry,
        username,
        password,
        protected: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_taken_in_all_forms() {
        // "ann:pass:word" and "bob:word" with what old versions filled up.
        let text = r#"{
          "auths": {
            "https://index.docker.io/v1/": {"auth": "YW5uOnBhc3M6d29yZA=="},
            "a.example": {"username": "eve", "password": "adam"},
            "b.example": {"auth": "Ym9iOndvcmQAAA=="},
            "c.example": {"auth": "MDAwMDo=", "identitytoken": "ey.token"}
          },
          "HttpHeaders": {"User-Agent": "x"}
        }"#;
        let found = logins(text).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|it| {
                (
                    it.registry.as_str(),
                    it.username.as_str(),
                    it.password.as_str(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("a.example", "eve", "adam"),
                ("b.example", "bob", "word"),
                ("c.example", "<token>", "ey.token"),
                ("https://index.docker.io/v1/", "ann", "pass:word"),
            ]
        );
    }

    #[test]
    fn what_has_no_passwords_is_refused_with_the_mend() {
        for (text, words) in [
            ("", "line 1"),
            ("{}", "no logins"),
            (r#"{"auths": {}}"#, "no logins"),
            (
                r#"{"auths": {"a.example": {}}, "credsStore": "desktop"}"#,
                "`desktop`",
            ),
            (r#"{"credHelpers": {"a.example": "gcloud"}}"#, "`gcloud`"),
            (r#"{"auths": {"a.example": {}}}"#, "no user and password"),
            (r#"{"auths": {"a.example": {"auth": "canary"}}}"#, "base64"),
            (r#"{"auths": {"a.example": "canary"}}"#, "no config.json"),
            (
                r#"{"auths": {"a.example": {"registrytoken": "canary"}}}"#,
                "within minutes",
            ),
        ] {
            let refused = logins(text).unwrap_err();
            assert!(refused.contains(words), "{refused}");
            assert!(!refused.contains("canary"), "{refused}");
        }
    }
}
