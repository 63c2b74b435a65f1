//! People's tokens and users.
//!
//! A token's text is shown once and kept as its SHA-256. When it was last used is
//! kept to the hour: a restart may forget the uses of up to an hour, and no call
//! waits for the store because of it. Users are names: the first token of a name
//! gives it a number, which stays its own when all its tokens are gone.

mod deploy;
mod text;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::path::shortened;
use super::{
    Batch, Catalog, Error, Mark, NEXT_TOKEN, NEXT_USER, Principal, Role, State, now, number, path,
};
use crate::secret::Sealed;

pub(crate) use deploy::{Deployer, Images, NewDeployToken};
pub(super) use text::Hash;

/// The number of a user.
pub(crate) type UserId = u64;

/// A token, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) id: u64,
    pub(crate) user: String,
    pub(crate) user_id: UserId,
    pub(crate) role: Role,
    /// Of a deploy token: what it may do with images, and nothing else. It has no
    /// user of its own, and its role counts for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) images: Option<Images>,
    /// A project's or group's path; none: the whole instance.
    pub(crate) scope: Option<String>,
    /// What it is for, in its maker's words.
    pub(crate) name: String,
    pub(crate) created_at: u64,
    pub(crate) expires_at: u64,
    /// To the hour; 0: never.
    pub(crate) last_used_at: u64,
    pub(crate) revoked_at: Option<u64>,
}

impl Token {
    pub(super) fn is_live(&self, now: u64) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }

    pub(super) fn principal(&self) -> Principal {
        Principal {
            token: self.id.to_string(),
            user: self.user.clone(),
            user_id: self.user_id,
            role: self.role,
            scope: self.scope.clone(),
        }
    }
}

/// A token to be.
#[derive(Clone, Debug)]
pub(crate) struct NewToken {
    pub(crate) user: String,
    pub(crate) role: Role,
    /// A project's or group's path; none: the whole instance.
    pub(crate) scope: Option<String>,
    pub(crate) name: String,
    /// None: 90 days.
    pub(crate) ttl: Option<Duration>,
}

/// A token that was just made.
pub(crate) struct Issued {
    pub(crate) token: Token,
    /// `glpat-...`, of a deploy token `gldt-...`; nobody can read it again.
    pub(crate) secret: String,
}

/// A token as it stands in the store.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Record {
    hash: Hash,
    #[serde(flatten)]
    token: Token,
    /// The text of a deploy token that jobs get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Sealed>,
}

/// A name and its number.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct User {
    id: UserId,
    pub(super) name: String,
    created_at: u64,
}

const DAY: Duration = Duration::from_secs(86_400);
const USUAL_TTL: Duration = DAY.saturating_mul(90);
const LONGEST_TTL: Duration = DAY.saturating_mul(365);
/// How exactly the last use is known.
const USE_GRAIN_MS: u64 = 3_600_000;
/// How long tokens are listed that do not work any more.
const KEPT_MS: u64 = 30 * 86_400_000;

impl Catalog {
    /// Who has this token (`glpat-...`); none: nobody, or not any more.
    pub(crate) fn authenticate(&self, secret: &str) -> Option<Principal> {
        self.authenticate_at(secret, now())
    }

    /// Whether a token still works: what outlives a call asks again.
    pub(crate) fn is_live(&self, principal: &Principal) -> bool {
        let id = principal.token.parse::<u64>();
        let state = self.read();
        let record = id.ok().and_then(|id| state.tokens.get(&id));
        record.is_some_and(|record| record.token.is_live(now()))
    }

    /// Makes a token.
    ///
    /// # Errors
    /// No name of a user, a life of more than 365 days, or nothing is at the path it
    /// is for.
    pub(crate) fn create_token(&self, new: NewToken) -> Result<(Issued, Mark), Error> {
        new.check()?;
        let secret = text::generate(text::Kind::Person);
        let (issued, mark) = self.change(|state, batch| {
            let now = now();
            let scope = match &new.scope {
                Some(scope) => Some(state.scope(scope)?),
                None => None,
            };
            state.forget_dead_tokens(now, batch);
            let (user, user_id) = state.user(&new.user, now, batch);
            let token = Token {
                id: state.next_token.take(NEXT_TOKEN, batch),
                user,
                user_id,
                role: new.role,
                images: None,
                scope,
                name: new.name,
                created_at: now,
                expires_at: now.saturating_add(millis(new.ttl.unwrap_or(USUAL_TTL))),
                last_used_at: 0,
                revoked_at: None,
            };
            let record = Record {
                hash: text::hash(&secret),
                token: token.clone(),
                sealed: None,
            };
            record.put(batch);
            state.insert_token(record);
            Ok(token)
        })?;
        Ok((
            Issued {
                token: issued,
                secret,
            },
            mark,
        ))
    }

    /// All tokens, the oldest first: also those that ended in the last 30 days.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let state = self.read();
        state
            .tokens
            .values()
            .map(|record| record.token.clone())
            .collect()
    }

    /// The token of this number.
    pub(crate) fn token(&self, id: &str) -> Option<Token> {
        let id = id.parse::<u64>().ok()?;
        let state = self.read();
        state.tokens.get(&id).map(|record| record.token.clone())
    }

    /// Ends a token; one that has ended stays as it is.
    ///
    /// # Errors
    /// There is none of this number.
    pub(crate) fn revoke_token(&self, id: u64) -> Result<Mark, Error> {
        self.change(|state, batch| {
            let record = state
                .tokens
                .get_mut(&id)
                .ok_or_else(|| Error::NotFound(format!("there is no token {id}")))?;
            record.token.revoked_at.get_or_insert_with(now);
            record.sealed = None;
            record.put(batch);
            Ok(())
        })
        .map(|((), mark)| mark)
    }

    /// Whether a name is of nobody yet, in whichever case it is written.
    pub(crate) fn is_new_user(&self, name: &str) -> bool {
        !self.read().users.contains_key(&name.to_ascii_lowercase())
    }

    pub(super) fn authenticate_at(&self, secret: &str, now: u64) -> Option<Principal> {
        let token = self.live_token(text::Kind::Person, secret, now)?;
        token.images.is_none().then(|| token.principal())
    }

    /// The token of this text, if it works; notes its use.
    fn live_token(&self, kind: text::Kind, secret: &str, now: u64) -> Option<Token> {
        if !text::is_well_formed(kind, secret) {
            return None;
        }
        let hash = text::hash(secret);
        let token = {
            let state = self.read();
            let id = state.by_hash.get(&hash)?;
            state.tokens.get(id)?.token.clone()
        };
        if !token.is_live(now) {
            return None;
        }
        if now.saturating_sub(token.last_used_at) >= USE_GRAIN_MS {
            self.note_use(token.id, now);
        }
        Some(token)
    }

    fn note_use(&self, id: u64, now: u64) {
        let noted = self.change(|state, batch| {
            if let Some(record) = state.tokens.get_mut(&id) {
                record.token.last_used_at = now;
                record.put(batch);
            }
            Ok(())
        });
        // Nobody waits for the mark: nothing is said that follows from it.
        let _mark = noted;
    }
}

impl State {
    pub(super) fn insert_token(&mut self, record: Record) {
        self.by_hash.insert(record.hash.clone(), record.token.id);
        self.tokens.insert(record.token.id, record);
    }

    /// Removes the tokens of just this path: what is made there later is not theirs.
    pub(super) fn remove_tokens(&mut self, scope: &str, batch: &mut Batch) {
        self.remove_tokens_if(batch, |token| token.scope.as_deref() == Some(scope));
    }

    pub(super) fn forget_dead_tokens(&mut self, now: u64, batch: &mut Batch) {
        self.remove_tokens_if(batch, |token| {
            let ended = token.revoked_at.unwrap_or(token.expires_at);
            ended.min(token.expires_at).saturating_add(KEPT_MS) < now
        });
    }

    fn remove_tokens_if(&mut self, batch: &mut Batch, gone: impl Fn(&Token) -> bool) {
        let by_hash = &mut self.by_hash;
        self.tokens.retain(|id, record| {
            let goes = gone(&record.token);
            if goes {
                by_hash.remove(&record.hash);
                batch.delete(format!("token/{}", number(*id)));
            }
            !goes
        });
    }

    /// The path of a group or project, as the catalog spells it.
    fn scope(&self, path: &str) -> Result<String, Error> {
        match self.node(path) {
            Some(_) => Ok(self.spelled(path)),
            None => Err(Error::NotFound(format!(
                "there is no group or project `{}`",
                shortened(path)
            ))),
        }
    }

    /// The name and number of a user, made if there is none.
    fn user(&mut self, name: &str, now: u64, batch: &mut Batch) -> (String, UserId) {
        let lower = name.to_ascii_lowercase();
        if let Some(user) = self.users.get(&lower) {
            return (user.name.clone(), user.id);
        }
        let user = User {
            id: self.next_user.take(NEXT_USER, batch),
            name: name.to_owned(),
            created_at: now,
        };
        batch.put(format!("user/{}", number(user.id)), &user);
        let known = (user.name.clone(), user.id);
        self.users.insert(lower, user);
        known
    }
}

impl Record {
    fn put(&self, batch: &mut Batch) {
        batch.put(format!("token/{}", number(self.token.id)), self);
    }
}

impl NewToken {
    fn check(&self) -> Result<(), Error> {
        path::check_user(&self.user)?;
        check_name(&self.name)?;
        check_ttl(self.ttl)
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.len() > 255 || name.contains(char::is_control) {
        return Err(Error::Invalid(
            "the name of a token is one line of at most 255 bytes".into(),
        ));
    }
    Ok(())
}

fn check_ttl(ttl: Option<Duration>) -> Result<(), Error> {
    match ttl {
        Some(ttl) if ttl > LONGEST_TTL => {
            Err(Error::Invalid("a token lives at most 365 days".into()))
        }
        Some(Duration::ZERO) => Err(Error::Invalid("a token lives at least 1 ms".into())),
        _ => Ok(()),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
