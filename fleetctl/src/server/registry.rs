//! `fleetctl registry`.

mod auth_config;

use std::fs::File;
use std::io;
use std::path::Path;

use fleet_proto::v1;
use serde_json::json;

use super::variable::{place, text, wire};
use crate::cli::{AddRegistry, RegistryVerb, TrustPart, VariableScope};
use crate::client::Client;
use crate::output::{Cell, Column, Json, Printer, Shown, time};
use crate::view::clean;
use crate::{Exit, Failure, output};

/// The user of a cloud's JSON key.
const JSON_KEY: &str = "_json_key";
/// Where the pages of `docs/registries.md` put the certificate.
const BUNDLE: &str = "/etc/docker/registry/fleet.pem";

pub(super) async fn run(
    verb: RegistryVerb,
    whose: &VariableScope,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    match verb {
        RegistryVerb::Add(arguments) => add(arguments, wire(whose)?, client, out).await,
        RegistryVerb::List => {
            let request = v1::ListRegistriesRequest {
                scope: Some(wire(whose)?),
            };
            let answer = client
                .call(client.registries().list_registries(request))
                .await?;
            out.list(&answer.registries)
        }
        RegistryVerb::Remove { registry } => {
            let whose = wire(whose)?;
            let line = format!("{registry} is removed {}", place(&whose));
            let request = v1::RemoveRegistryRequest {
                scope: Some(whose),
                registry: registry.clone(),
            };
            client
                .call(client.registries().remove_registry(request))
                .await?;
            out.done(&json!({ "registry": registry }), &registry, &line)
        }
        RegistryVerb::Trust { part } => {
            let request = v1::GetTrustRequest {};
            let trust = client.call(client.registries().get_trust(request)).await?;
            show(&trust, part, out)
        }
    }
}

async fn add(
    arguments: AddRegistry,
    whose: v1::Scope,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let whose_words = place(&whose);
    let request = v1::AddRegistriesRequest {
        scope: Some(whose),
        registries: logins(arguments)?,
    };
    let answer = client
        .call(client.registries().add_registries(request))
        .await?;
    let names: Vec<&str> = answer
        .registries
        .iter()
        .map(|login| login.registry.as_str())
        .collect();
    let names = names.join(", ");
    out.done(
        &output::json::list(&answer.registries),
        &names,
        &format!("jobs log in to {names} {whose_words}"),
    )
}

/// What the flags name.
fn logins(arguments: AddRegistry) -> Result<Vec<v1::NewRegistry>, Failure> {
    let protected = arguments.protected;
    if let Some(file) = &arguments.auth_config {
        let text = read(file)?;
        let mut all = auth_config::logins(&text)
            .map_err(|why| Failure::usage(format!("{} cannot be used: {why}", file.display())))?;
        for login in &mut all {
            login.protected = protected;
        }
        return Ok(all);
    }
    let (username, password) = match (arguments.username, &arguments.json_key) {
        (None, Some(file)) => {
            let text = read(file)?;
            if !serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|key| key.is_object()) {
                return Err(Failure::usage(format!(
                    "{} is no JSON key: that is one JSON object",
                    file.display()
                )));
            }
            (JSON_KEY.to_owned(), text)
        }
        (username, _) => {
            let Some(file) = &arguments.password_file else {
                return Err(Failure::usage(
                    "there is no password. Try: --password-file FILE, or --password-file - for stdin",
                ));
            };
            (username.unwrap_or_default(), without_end(read(file)?))
        }
    };
    Ok(vec![v1::NewRegistry {
        registry: arguments.registry.unwrap_or_default(),
        username,
        password,
        protected,
    }])
}

fn read(file: &Path) -> Result<String, Failure> {
    if file == Path::new("-") {
        return text(io::stdin().lock(), "stdin");
    }
    let shown = file.display().to_string();
    let opened = File::open(file)
        .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    text(opened, &shown)
}

/// What `echo` adds is not meant.
fn without_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

fn show(trust: &v1::Trust, part: Option<TrustPart>, out: &Printer) -> Result<Exit, Failure> {
    if out.is_json() {
        return out.item(&trust.json(), &[]);
    }
    let text = match part {
        Some(TrustPart::Certificate) => trust.certificate.clone(),
        Some(TrustPart::Config) => config(trust),
        Some(TrustPart::Ca) if trust.authority.is_empty() => {
            return Err(Failure::new(
                Exit::NotFound,
                "the coordinator is behind an ingress, whose authority is not known here: engines need that one's",
            ));
        }
        Some(TrustPart::Ca) => trust.authority.clone(),
        None => all(trust),
    };
    // Nothing that comes from a server steers the terminal.
    let lines = text.lines().map(|line| format!("{}\n", clean(line)));
    out.print(&lines.collect::<String>())
}

/// The registry's settings.
fn config(trust: &v1::Trust) -> String {
    format!(
        "auth:\n  token:\n    realm: {}\n    service: {}\n    issuer: {}\n    rootcertbundle: {BUNDLE}\n",
        trust.realm, trust.service, trust.issuer
    )
}

/// All of it, with what to do.
fn all(trust: &v1::Trust) -> String {
    let host = match trust.registry.as_str() {
        "" => "HOST:PORT",
        host => host,
    };
    let mut text = format!(
        "# 1. On the registry's host this is {BUNDLE}\n#    (fleetctl registry trust certificate > {BUNDLE}):\n{}\n\n\
         # 2. Its config.yml says:\n{}\n",
        trust.certificate.trim_end(),
        config(trust)
    );
    if trust.authority.is_empty() {
        text.push_str(
            "# 3. The coordinator is behind an ingress: engines trust what they trust of that.\n",
        );
    } else {
        text.push_str(&format!(
            "# 3. On each host with a container engine this is /etc/docker/certs.d/{host}/ca.crt,\n\
             #    after the authority of the registry's own certificate, if that is another\n\
             #    (fleetctl registry trust ca):\n{}\n",
            trust.authority.trim_end()
        ));
    }
    if trust.registry.is_empty() {
        text.push_str(
            "\n# 4. The coordinator does not know its registry yet: set registry (FLEET_REGISTRY) there.\n",
        );
    }
    text
}

impl Shown for v1::Registry {
    const NOUN: &'static str = "registry";
    const COLUMNS: &'static [Column] = &[
        Column::left("REGISTRY"),
        Column::left("USER"),
        Column::left("FLAGS"),
        Column::right("CHANGED"),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        vec![
            Cell::plain(&self.registry),
            Cell::plain(&self.username),
            Cell::plain(if self.protected { "protected" } else { "" }),
            Cell::plain(time::ago(self.updated_at, now)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_to_be_trusted_is_said_with_its_place() {
        let mut trust = v1::Trust {
            registry: "registry.example:5000".into(),
            realm: "https://fleet.example:8443/jwt/auth".into(),
            service: "fleet-registry".into(),
            issuer: "fleet".into(),
            certificate: "-----BEGIN CERTIFICATE-----\nA\n".into(),
            authority: "-----BEGIN CERTIFICATE-----\nB\n".into(),
        };
        let text = all(&trust);
        for part in [
            "    realm: https://fleet.example:8443/jwt/auth\n    service: fleet-registry\n    issuer: fleet\n",
            "/etc/docker/certs.d/registry.example:5000/ca.crt",
            "\nA\n",
            "\nB\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("# 4."));
        trust.registry.clear();
        trust.authority.clear();
        let text = all(&trust);
        assert!(text.contains("# 4.") && text.contains("behind an ingress"));
    }

    #[test]
    fn password_is_taken_without_its_lines_end() {
        for (given, word) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a")] {
            assert_eq!(without_end(given.to_owned()), word);
        }
    }
}
