//! What callers do, in the audit log before it is done.

use std::net::SocketAddr;

use tonic::{Code, Status};

use super::Caller;
use crate::api::error;
use crate::audit::{Audit, Entry, Verdict};
use crate::catalog::{self, Principal};

impl Caller {
    /// Notes in the audit log that the caller may do something, before it is done.
    ///
    /// # Errors
    /// It cannot be written, or the caller's token was revoked meanwhile: it must
    /// not be done then.
    pub(crate) async fn record(
        &self,
        action: &'static str,
        object: &str,
        reason: &str,
    ) -> Result<(), Status> {
        let line = self.line(action, object, Verdict::Ok, reason);
        line.write(&self.gate.audit).await.map_err(|error| {
            tracing::error!(%error, "the audit log cannot be written");
            error::status(
                Code::Unavailable,
                "no_audit",
                "the audit log cannot be written, so nothing was done: an operator has to look at \
                 the coordinator's disk",
            )
        })?;
        if self.gate.catalog.is_live(&self.principal) {
            Ok(())
        } else {
            Err(error::unauthenticated(
                "bad_token",
                "the token was revoked or expired; nothing was done",
            ))
        }
    }

    /// Changes what people set up, noted in the audit log before; and once more if it
    /// could not be done.
    ///
    /// # Errors
    /// It cannot be noted, or the catalog refused.
    pub(in crate::api) async fn change<T>(
        &self,
        action: &'static str,
        object: &str,
        reason: &str,
        change: impl FnOnce() -> Result<T, catalog::Error>,
    ) -> Result<T, Status> {
        self.record(action, object, reason).await?;
        match change() {
            Ok(done) => Ok(done),
            Err(refused) => {
                let line = self.line(action, object, Verdict::Error, &refused.to_string());
                if let Err(error) = line.write(&self.gate.audit).await {
                    tracing::error!(%error, "the audit log cannot be written");
                }
                Err(error::of_catalog(refused))
            }
        }
    }

    fn line(&self, action: &'static str, object: &str, verdict: Verdict, reason: &str) -> Line {
        Line {
            actor: actor(&self.principal),
            action,
            object: object.to_owned(),
            verdict,
            reason: reason.to_owned(),
            from: self.from,
        }
    }
}

/// An entry of the audit log that can wait for its turn.
pub(super) struct Line {
    pub(super) actor: String,
    pub(super) action: &'static str,
    pub(super) object: String,
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) from: Option<SocketAddr>,
}

impl Line {
    /// It is on disk when this returns; it gets there also if nobody waits for it any
    /// more.
    pub(super) async fn write(self, audit: &Audit) -> std::io::Result<()> {
        let audit = audit.clone();
        let written = tokio::task::spawn_blocking(move || {
            audit.log(Entry {
                actor: &self.actor,
                action: self.action,
                object: &self.object,
                verdict: self.verdict,
                reason: &self.reason,
                from: self.from,
            })
        });
        written.await.unwrap_or_else(|gone| Err(gone.into()))
    }
}

/// As the audit log names people.
pub(super) fn actor(principal: &Principal) -> String {
    format!("user:{}", principal.user)
}
