//! Deploy tokens: users and passwords that are good for images of registries alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::path::lineage;
use super::super::{Catalog, Error, Mark, NEXT_TOKEN, Role, State, now};
use super::{Issued, Record, Token, USUAL_TTL, check_name, check_ttl, millis, text};
use crate::secret::Unreadable;

/// The deploy token of this name is given to jobs, as in GitLab.
pub(crate) const FOR_JOBS: &str = "gitlab-deploy-token";

/// What may be done with images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Images {
    Pull,
    /// Pulling included.
    Push,
}

/// A deploy token to be.
#[derive(Clone, Debug)]
pub(crate) struct NewDeployToken {
    /// A project's or group's path.
    pub(crate) scope: String,
    pub(crate) name: String,
    pub(crate) images: Images,
    /// None: 90 days.
    pub(crate) ttl: Option<Duration>,
}

/// Whoever showed a deploy token that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deployer {
    pub(crate) user: String,
    /// A project's or group's path.
    pub(crate) scope: String,
    pub(crate) images: Images,
    /// Milliseconds since 1970.
    pub(crate) expires_at: u64,
}

impl Catalog {
    /// Makes a deploy token; its user's name is made of its number, as GitLab's.
    ///
    /// # Errors
    /// A life of more than 365 days, or nothing is at the path it is for.
    pub(crate) fn create_deploy_token(&self, new: NewDeployToken) -> Result<(Issued, Mark), Error> {
        check_name(&new.name)?;
        check_ttl(new.ttl)?;
        let secret = text::generate(text::Kind::Deploy);
        let (token, mark) = self.change(|state, batch| {
            let now = now();
            let scope = state.scope(&new.scope)?;
            state.forget_dead_tokens(now, batch);
            let id = state.next_token.take(NEXT_TOKEN, batch);
            let token = Token {
                id,
                user: format!("gitlab+deploy-token-{id}"),
                user_id: 0,
                role: Role::Viewer,
                images: Some(new.images),
                scope: Some(scope),
                name: new.name,
                created_at: now,
                expires_at: now.saturating_add(millis(new.ttl.unwrap_or(USUAL_TTL))),
                last_used_at: 0,
                revoked_at: None,
            };
            let sealed = (token.name == FOR_JOBS)
                .then(|| self.shared.sealer.seal(&about(id), secret.as_bytes()));
            let record = Record {
                hash: text::hash(&secret),
                token: token.clone(),
                sealed,
            };
            record.put(batch);
            state.insert_token(record);
            Ok(token)
        })?;
        Ok((Issued { token, secret }, mark))
    }

    /// Who shows this deploy token; none: nobody, not any more, or under another
    /// name than its own.
    pub(crate) fn authenticate_deployer(&self, user: &str, secret: &str) -> Option<Deployer> {
        let token = self.live_token(text::Kind::Deploy, secret, now())?;
        let images = token.images?;
        (token.user == user).then_some(Deployer {
            user: token.user,
            scope: token.scope?,
            images,
            expires_at: token.expires_at,
        })
    }

    /// User and password that a project's jobs get as `CI_DEPLOY_USER` and
    /// `CI_DEPLOY_PASSWORD`: of the newest deploy token of the right name of the
    /// project, else of the nearest group.
    ///
    /// # Errors
    /// The password cannot be opened.
    pub(crate) fn deploy_login(
        &self,
        project: &str,
    ) -> Result<Option<(String, String)>, Unreadable> {
        let state = self.read();
        let Some(record) = state.for_jobs(project, now()) else {
            return Ok(None);
        };
        let Some(sealed) = &record.sealed else {
            return Ok(None);
        };
        let secret = self.shared.sealer.open(&about(record.token.id), sealed)?;
        let secret = String::from_utf8_lossy(&secret).into_owned();
        Ok(Some((record.token.user.clone(), secret)))
    }
}

impl State {
    fn for_jobs(&self, project: &str, now: u64) -> Option<&Record> {
        let paths: Vec<&str> = lineage(project).collect();
        paths.into_iter().rev().find_map(|path| {
            let mut newest_first = self.tokens.values().rev();
            newest_first.find(|record| {
                record.sealed.is_some()
                    && record.token.is_live(now)
                    && record.token.scope.as_deref() == Some(path)
            })
        })
    }
}

/// What a password is sealed as.
fn about(id: u64) -> String {
    format!("deploy token {id}")
}
