//! `fleetctl token`.

use fleet_proto::v1;
use serde_json::json;

use super::project::wire;
use super::scope;
use crate::cli::{NewToken, TokenVerb};
use crate::client::Client;
use crate::output::{Cell, Column, Json, Printer, Shown, role_in_words, time};
use crate::view::clean;
use crate::{Exit, Failure};

pub(super) async fn run(verb: TokenVerb, client: &Client, out: &Printer) -> Result<Exit, Failure> {
    match verb {
        TokenVerb::Create(arguments) => create(arguments, client, out).await,
        TokenVerb::List => {
            let tokens = list(client).await?;
            out.list(&tokens)
        }
        TokenVerb::Revoke { id } => {
            let mut tokens = list(client).await?;
            let ids = tokens.iter().map(|token| token.id.as_str());
            let index = scope::abbreviated(&id, ids, "token", "the list")?;
            let token = tokens.swap_remove(index);
            let request = v1::RevokeTokenRequest {
                id: token.id.clone(),
            };
            client.call(client.tokens().revoke_token(request)).await?;
            out.done(
                &json!({ "id": token.id, "revoked": true }),
                &token.id,
                &format!("token {} of {} is revoked", token.id, token.user),
            )
        }
    }
}

async fn list(client: &Client) -> Result<Vec<v1::Token>, Failure> {
    let request = v1::ListTokensRequest {};
    let answer = client.call(client.tokens().list_tokens(request)).await?;
    Ok(answer.tokens)
}

async fn create(arguments: NewToken, client: &Client, out: &Printer) -> Result<Exit, Failure> {
    let ttl = arguments.ttl.unwrap_or_default();
    let images = match (arguments.registry, arguments.push) {
        (false, _) => v1::Images::Unspecified,
        (true, false) => v1::Images::Pull,
        (true, true) => v1::Images::Push,
    };
    let scope = match arguments.scope {
        Some(scope) => scope,
        None if arguments.registry => scope::named_or_here(arguments.project.as_deref())?,
        None => String::new(),
    };
    let request = v1::CreateTokenRequest {
        user: arguments.user.unwrap_or_default(),
        role: arguments.role.map_or(0, |role| wire(role).into()),
        scope,
        name: arguments.name.unwrap_or_default(),
        ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
        images: images.into(),
    };
    let answer = client.call(client.tokens().create_token(request)).await?;
    // The secret alone on stdout: it goes into a file, or on to `context add`.
    out.done(&answer.json(), &answer.secret, &answer.secret)?;
    if let Some(token) = &answer.token {
        let scope = match token.scope.as_str() {
            "" => "everywhere".to_owned(),
            scope => format!("in {}", clean(scope)),
        };
        let until = time::moment(token.expires_at);
        out.hint(&match token.images() {
            v1::Images::Unspecified => format!(
                "token {} makes {} {} {scope} until {until}; it is shown this once",
                token.id,
                clean(&token.user),
                role_in_words(token.role),
            ),
            _ => format!(
                "the password of the user {}, who {} {scope} until {until}; it is shown this once",
                clean(&token.user),
                images_in_words(token.images),
            ),
        });
    }
    Ok(Exit::Done)
}

fn images_in_words(images: i32) -> &'static str {
    match v1::Images::try_from(images) {
        Ok(v1::Images::Pull) => "pulls images",
        Ok(v1::Images::Push) => "pushes images",
        Ok(v1::Images::Unspecified) | Err(_) => "",
    }
}

impl Shown for v1::Token {
    const NOUN: &'static str = "token";
    const COLUMNS: &'static [Column] = &[
        Column::left("ID"),
        Column::left("USER"),
        Column::left("ROLE"),
        Column::left("SCOPE"),
        Column::left("NAME"),
        Column::left("STATUS"),
        Column::right("ENDS"),
        Column::right("USED"),
        Column::right("AGE").wide(),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        vec![
            Cell::plain(&self.id),
            Cell::plain(&self.user),
            Cell::plain(match self.images() {
                v1::Images::Unspecified => role_in_words(self.role),
                _ => images_in_words(self.images),
            }),
            Cell::plain(if self.scope.is_empty() {
                "everywhere"
            } else {
                &self.scope
            }),
            Cell::plain(&self.name),
            Cell::state(if self.revoked { "revoked" } else { "ok" }),
            Cell::plain(time::ahead(self.expires_at, now)),
            Cell::plain(time::ago(self.last_used_at, now)),
            Cell::plain(time::ago(self.created_at, now)),
        ]
    }
}
