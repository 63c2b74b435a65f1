//! People's tokens: made, listed, revoked; who the caller is.

use std::time::Duration;

use fleet_proto::v1;
use fleet_proto::v1::token_service_server::TokenService;
use tonic::{Request, Response, Status};

use super::caller::{Caller, Place, Thing, shortened};
use super::{Setup, caller, error, given, role_from, role_to};
use crate::catalog::{Images, NewDeployToken, NewToken, Role, Token};

#[tonic::async_trait]
impl TokenService for Setup {
    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let caller = caller(&request)?;
        let wanted = request.into_inner();
        let place = caller.on_path(&wanted.scope)?;
        if let Some(images) = images_from(wanted.images)? {
            return self
                .create_deploy_token(&caller, place, wanted, images)
                .await;
        }
        let Some(role) = role_from(wanted.role, "role")? else {
            return Err(error::invalid(
                "a token takes a role: viewer, developer, maintainer or admin",
            ));
        };
        let own = caller.role_on(&place.path);
        if own < Some(role) {
            let own = own.map_or("none", Role::as_str);
            return Err(caller.deny(
                place.thing(),
                format!("a token can have at most your own role, which is {own}, and not {role}"),
            ));
        }
        if !self.may_name(&caller, &wanted.user) {
            return Err(caller.deny(
                place.thing(),
                format!(
                    "a token for the user `{}` takes an admin of the instance: that user may have \
                     more than you can give; choose another name, or your own",
                    shortened(&wanted.user)
                ),
            ));
        }
        self.has_room()?;
        let reason = format!("user {}, role {role}", wanted.user);
        let new = NewToken {
            user: wanted.user,
            role,
            scope: given(place.path.clone()),
            name: wanted.name,
            ttl: ttl(wanted.ttl_ms),
        };
        let (issued, mark) = caller
            .change("token.create", &place.object(), &reason, || {
                self.catalog.create_token(new)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(Response::new(v1::CreateTokenResponse {
            token: Some(to_wire(issued.token)),
            secret: issued.secret,
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let caller = caller(&request)?;
        let tokens = self
            .catalog
            .tokens()
            .into_iter()
            .filter(|token| may_see(&caller, token))
            .map(to_wire)
            .collect();
        Ok(Response::new(v1::ListTokensResponse { tokens }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let caller = caller(&request)?;
        let id = request.into_inner().id;
        let token = self.catalog.token(&id);
        let Some(token) = token.filter(|token| may_see(&caller, token)) else {
            return Err(caller.hide(Thing::Token(&id)));
        };
        if !is_own(&caller, &token) && !may_manage(&caller, &token) {
            return Err(caller.deny(
                Thing::Token(&id),
                "to revoke a token that is not the very one you call with takes a maintainer of \
                 what it is for, with at least its role",
            ));
        }
        let object = format!("token:{}", token.id);
        let reason = format!("of user {}", token.user);
        let mark = caller
            .change("token.revoke", &object, &reason, || {
                self.catalog.revoke_token(token.id)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(Response::new(v1::RevokeTokenResponse {}))
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let caller = caller(&request)?;
        let token = self.catalog.token(&caller.principal().token);
        Ok(Response::new(v1::WhoAmIResponse {
            token: token.map(to_wire),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }
}

impl Setup {
    /// The caller may make tokens of this place.
    async fn create_deploy_token(
        &self,
        caller: &Caller,
        place: Place,
        wanted: v1::CreateTokenRequest,
        images: Images,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        if place.path.is_empty() {
            return Err(error::invalid(
                "a deploy token is of a project or a group: name one as its scope",
            ));
        }
        if wanted.role != 0 || !wanted.user.is_empty() {
            return Err(error::invalid(
                "a deploy token has no role, and a user of its own: name neither",
            ));
        }
        self.has_room()?;
        let may = match images {
            Images::Pull => "pulls images",
            Images::Push => "pulls and pushes images",
        };
        let new = NewDeployToken {
            scope: place.path.clone(),
            name: wanted.name,
            images,
            ttl: ttl(wanted.ttl_ms),
        };
        let reason = format!("deploy token, {may}");
        let (issued, mark) = caller
            .change("token.create", &place.object(), &reason, || {
                self.catalog.create_deploy_token(new)
            })
            .await?;
        self.journal.durable(mark).await;
        Ok(Response::new(v1::CreateTokenResponse {
            token: Some(to_wire(issued.token)),
            secret: issued.secret,
        }))
    }

    /// Whether the caller may make a token in this user's name: admins of the
    /// instance any; others their own, a new one, and one that has tokens only of
    /// what they manage. Else the audit log and pipelines would name somebody who
    /// had nothing to do with it.
    fn may_name(&self, caller: &Caller, user: &str) -> bool {
        let principal = caller.principal();
        let same = |name: &str| name.eq_ignore_ascii_case(user);
        let mut others = self.catalog.tokens();
        others.retain(|token| same(&token.user));
        principal.role_on_instance() == Some(Role::Admin)
            || same(&principal.user)
            || self.catalog.is_new_user(user)
            || (!others.is_empty() && others.iter().all(|token| may_manage(caller, token)))
    }
}

/// Whether the caller is to know of a token: its own, those of its user where it
/// may look itself, and those of what it manages.
fn may_see(caller: &Caller, token: &Token) -> bool {
    let role = role_where(caller, token);
    let same_user = token.user_id == caller.principal().user_id;
    is_own(caller, token) || role >= Some(Role::Maintainer) || (same_user && role.is_some())
}

/// Whether the caller may make and revoke such tokens.
fn may_manage(caller: &Caller, token: &Token) -> bool {
    let role = role_where(caller, token);
    let needed = match token.scope {
        None => Role::Admin,
        Some(_) => token.role.max(Role::Maintainer),
    };
    role >= Some(needed)
}

fn is_own(caller: &Caller, token: &Token) -> bool {
    caller.principal().token == token.id.to_string()
}

/// What the caller may do where the token is of.
fn role_where(caller: &Caller, token: &Token) -> Option<Role> {
    caller.role_on(token.scope.as_deref().unwrap_or_default())
}

fn to_wire(token: Token) -> v1::Token {
    v1::Token {
        id: token.id.to_string(),
        user: token.user,
        role: role_to(token.images.is_none().then_some(token.role)),
        scope: token.scope.unwrap_or_default(),
        name: token.name,
        created_at: token.created_at,
        expires_at: token.expires_at,
        last_used_at: token.last_used_at,
        revoked: token.revoked_at.is_some(),
        images: match token.images {
            None => v1::Images::Unspecified,
            Some(Images::Pull) => v1::Images::Pull,
            Some(Images::Push) => v1::Images::Push,
        }
        .into(),
    }
}

/// What a deploy token is to be good for; none: another token is wanted.
fn images_from(wire: i32) -> Result<Option<Images>, Status> {
    match v1::Images::try_from(wire) {
        Ok(v1::Images::Unspecified) => Ok(None),
        Ok(v1::Images::Pull) => Ok(Some(Images::Pull)),
        Ok(v1::Images::Push) => Ok(Some(Images::Push)),
        Err(_) => Err(error::invalid(format!(
            "field `images` has the unknown value {wire}"
        ))),
    }
}

fn ttl(ms: u64) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms))
}
