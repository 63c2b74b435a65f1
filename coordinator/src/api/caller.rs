//! Who calls, and what they may: the guard before all services, and what a handler
//! asks it.
//!
//! The guard takes `authorization: Bearer <token>`. It refuses whoever has none
//! that counts, calls that the table lacks, and roles and scopes that can never do
//! what is called. Which project or group a call is about stands in its message, so
//! the handler asks for that ([`Caller::on_project`] ...). A handler that answers
//! without having asked is a fault, and its answer is not sent.
//!
//! Whoever may not see a thing is told the same as if it were not there, and both
//! go into the audit log, so that not even the time it takes tells them apart.

mod denials;
mod guard;
mod record;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fleet_proto::v1;
use tonic::Status;

use super::error;
use super::policy::{Object, Row};
use crate::catalog::{Catalog, Group, Owner, Principal, Project, Role};
use crate::pipeline::Asker;

pub(crate) use denials::{Admitted, Denials};
pub(super) use guard::{Gate, guard};

/// Who calls, and what for. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Caller {
    principal: Arc<Principal>,
    row: &'static Row,
    from: Option<SocketAddr>,
    finding: Arc<Mutex<Finding>>,
    gate: Gate,
}

/// What became of the question whether the caller may.
#[derive(Default)]
enum Finding {
    /// Nobody asked yet.
    #[default]
    Open,
    Allowed,
    Denied(Denial),
}

/// What goes into the audit log of a refusal.
struct Denial {
    action: &'static str,
    object: String,
    reason: String,
}

/// What a caller may or may not do something with, as they named it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Thing<'a> {
    Instance,
    Project(&'a str),
    Group(&'a str),
    /// A group or a project.
    Path(&'a str),
    Token(&'a str),
    /// A pipeline, a job ...
    Numbered(&'a str, u64),
    /// A call, whatever it is about.
    Call(&'a str),
}

impl Thing<'_> {
    /// As the audit log names it.
    fn object(self) -> String {
        match self {
            Thing::Instance => "instance".to_owned(),
            Thing::Project(path) => format!("project:{}", shortened(path)),
            Thing::Group(path) => format!("group:{}", shortened(path)),
            Thing::Path(path) => format!("path:{}", shortened(path)),
            Thing::Token(id) => format!("token:{}", shortened(id)),
            Thing::Numbered(kind, id) => format!("{kind}:{id}"),
            Thing::Call(name) => name.to_owned(),
        }
    }
}

impl fmt::Display for Thing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Thing::Instance => f.write_str("the instance"),
            Thing::Project(path) => write!(f, "project `{}`", shortened(path)),
            Thing::Group(path) => write!(f, "group `{}`", shortened(path)),
            Thing::Path(path) => write!(f, "group or project `{}`", shortened(path)),
            Thing::Token(id) => write!(f, "token {}", shortened(id)),
            Thing::Numbered(kind, id) => write!(f, "{kind} {id}"),
            Thing::Call(name) => f.write_str(name),
        }
    }
}

/// A part of the fleet that has variables and tokens of its own.
pub(super) struct Place {
    pub(super) owner: Owner,
    /// Its path; empty: the instance.
    pub(super) path: String,
}

impl Place {
    pub(super) fn thing(&self) -> Thing<'_> {
        match self.owner {
            Owner::Instance => Thing::Instance,
            Owner::Group(_) => Thing::Group(&self.path),
            Owner::Project(_) => Thing::Project(&self.path),
        }
    }

    /// As the audit log names it.
    pub(super) fn object(&self) -> String {
        self.thing().object()
    }
}

impl From<Project> for Place {
    fn from(project: Project) -> Place {
        Place {
            owner: Owner::Project(project.id),
            path: project.path,
        }
    }
}

impl From<Group> for Place {
    fn from(group: Group) -> Place {
        Place {
            owner: Owner::Group(group.id),
            path: group.path,
        }
    }
}

/// The caller of a request that came through the guard.
///
/// # Errors
/// It did not.
pub(crate) fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    let found = request.extensions().get::<Caller>().cloned();
    found.ok_or_else(|| error::internal("nobody looked who calls"))
}

impl Caller {
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The project of this path, if the caller may do there what was called.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or the caller may not see it;
    /// `PERMISSION_DENIED` if it may not do this there.
    pub(crate) fn on_project(&self, path: &str) -> Result<Project, Status> {
        let found = self.gate.catalog.project(path);
        self.project(found, Thing::Project(path))
    }

    /// The project of a pipeline or a job (`kind`) that the request names; no
    /// project: there is no such thing.
    ///
    /// # Errors
    /// As [`Caller::on_project`], about the thing.
    pub(crate) fn on_project_of(
        &self,
        kind: &str,
        id: u64,
        project: Option<impl AsRef<str>>,
    ) -> Result<Project, Status> {
        let found = project.and_then(|path| self.gate.catalog.project(path.as_ref()));
        self.project(found, Thing::Numbered(kind, id))
    }

    /// Whether the caller's token still counts and may still see the project of this
    /// path: what outlives a call asks again.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` or `NOT_FOUND`.
    pub(super) fn still_sees(&self, project: &str) -> Result<(), Status> {
        let catalog = &self.gate.catalog;
        if !catalog.is_live(&self.principal) {
            return Err(error::unauthenticated(
                "bad_token",
                "the token was revoked or has expired, so no more is shown: get a new one \
                 (fleetctl token create)",
            ));
        }
        match catalog.may_see(&self.principal, project) {
            true => Ok(()),
            false => Err(error::not_found(Thing::Project(project))),
        }
    }

    /// The group of this path, if the caller may do there what was called.
    ///
    /// # Errors
    /// As [`Caller::on_project`].
    pub(super) fn on_group(&self, path: &str) -> Result<Group, Status> {
        let found = self.gate.catalog.group(path);
        self.group(found, Thing::Group(path))
    }

    /// Whether the caller may make something at this path: what counts is its role
    /// in the group that it is to be in, also where that is still to be made.
    ///
    /// # Errors
    /// As [`Caller::on_project`]; `PERMISSION_DENIED` at the top, if the caller's
    /// token is of a part of the instance.
    pub(super) fn on_parent_of(&self, path: &str) -> Result<(), Status> {
        let spelled = self.gate.catalog.spelled(path);
        match spelled.rsplit_once('/') {
            Some((parent, _)) => {
                let role = self.principal.role_on(parent);
                self.settle(Thing::Group(parent), role, self.row.role)
            }
            None => self.instance(self.row.role),
        }
    }

    /// Whether the caller may do on the instance what was called.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub(crate) fn on_instance(&self) -> Result<(), Status> {
        self.instance(self.row.role)
    }

    /// The project or group of this path, or, where it is empty, the instance, if the
    /// caller may do there what was called; on the instance only admins may.
    ///
    /// # Errors
    /// As [`Caller::on_project`].
    pub(super) fn on_path(&self, path: &str) -> Result<Place, Status> {
        let (catalog, thing) = (&self.gate.catalog, Thing::Path(path));
        if path.is_empty() {
            return self.whole_instance();
        }
        match catalog.group(path) {
            Some(group) => self.group(Some(group), thing).map(Place::from),
            None => self.project(catalog.project(path), thing).map(Place::from),
        }
    }

    /// As [`Caller::on_path`], for the field that requests about variables have.
    ///
    /// # Errors
    /// As [`Caller::on_path`], and `INVALID_ARGUMENT` if it names two.
    pub(super) fn on_scope(&self, scope: Option<v1::Scope>) -> Result<Place, Status> {
        let v1::Scope { project, group } = scope.unwrap_or_default();
        match (project.is_empty(), group.is_empty()) {
            (true, true) => self.whole_instance(),
            (false, true) => self.on_project(&project).map(Place::from),
            (true, false) => self.on_group(&group).map(Place::from),
            (false, false) => Err(error::invalid(
                "a scope is a project or a group, and both were given",
            )),
        }
    }

    /// On whose behalf what the caller starts runs.
    pub(super) fn asker(&self) -> Asker {
        Asker {
            user: self.principal.user.clone(),
            token: Some(self.principal.token.clone()),
        }
    }

    /// Whether the caller may know of the project of this path.
    pub(crate) fn sees(&self, path: &str) -> bool {
        self.gate.catalog.may_see(&self.principal, path)
    }

    /// What the caller may do on a path by its token; none: it is not of there.
    pub(super) fn role_on(&self, path: &str) -> Option<Role> {
        self.principal.role_on(path)
    }

    /// Refuses the caller for a reason that no table has, and has it noted in the
    /// audit log.
    pub(crate) fn deny(&self, thing: Thing<'_>, reason: impl Into<String>) -> Status {
        let reason = reason.into();
        self.note(thing, &reason);
        error::denied("role", reason)
    }

    /// Refuses the caller as if the thing were not there, and has it noted.
    pub(super) fn hide(&self, thing: Thing<'_>) -> Status {
        self.note(thing, "not there, or not to be seen");
        error::not_found(thing)
    }

    /// What can be said without the message: whether the role is enough anywhere.
    fn may_at_all(&self) -> Result<(), Status> {
        let (row, principal) = (self.row, &self.principal);
        if row.object == Object::Instance {
            return self.on_instance();
        }
        if principal.role >= row.role {
            return Ok(());
        }
        let reason = format!(
            "{} takes the role {}; the token of {} has the role {}",
            row.name(),
            row.role,
            principal.user,
            principal.role,
        );
        Err(self.deny(Thing::Call(row.name()), reason))
    }

    fn whole_instance(&self) -> Result<Place, Status> {
        self.instance(Role::Admin)?;
        Ok(Place {
            owner: Owner::Instance,
            path: String::new(),
        })
    }

    fn instance(&self, needed: Role) -> Result<(), Status> {
        let Some(role) = self.principal.role_on_instance() else {
            let reason = format!(
                "{} takes a token of the whole instance here; that of {} is of `{}`",
                self.row.name(),
                self.principal.user,
                self.principal.scope.as_deref().unwrap_or_default(),
            );
            return Err(self.deny(Thing::Instance, reason));
        };
        self.settle(Thing::Instance, Some(role), needed)
    }

    fn project(&self, found: Option<Project>, thing: Thing<'_>) -> Result<Project, Status> {
        let role = found
            .as_ref()
            .and_then(|project| Catalog::role(&self.principal, project));
        self.settle(thing, role, self.row.role)?;
        found.ok_or_else(|| error::not_found(thing))
    }

    fn group(&self, found: Option<Group>, thing: Thing<'_>) -> Result<Group, Status> {
        let role = found
            .as_ref()
            .and_then(|group| self.principal.role_on(&group.path));
        self.settle(thing, role, self.row.role)?;
        found.ok_or_else(|| error::not_found(thing))
    }

    /// Decides; `role` is what the caller has there, none where it sees nothing.
    fn settle(&self, thing: Thing<'_>, role: Option<Role>, needed: Role) -> Result<(), Status> {
        match role {
            None => Err(self.hide(thing)),
            Some(role) if role < needed => {
                let reason = format!(
                    "{} takes the role {needed} on {thing}; {} has the role {role} there",
                    self.row.name(),
                    self.principal.user,
                );
                Err(self.deny(thing, reason))
            }
            Some(_) => {
                let mut finding = self.finding();
                if matches!(*finding, Finding::Open) {
                    *finding = Finding::Allowed;
                }
                Ok(())
            }
        }
    }

    fn note(&self, thing: Thing<'_>, reason: &str) {
        *self.finding() = Finding::Denied(Denial {
            action: self.row.name(),
            object: thing.object(),
            reason: reason.to_owned(),
        });
    }

    fn finding(&self) -> MutexGuard<'_, Finding> {
        // A finding is replaced whole: a holder's panic spoils nothing.
        self.finding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As much of what somebody sent as a message or a log needs.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 255;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
