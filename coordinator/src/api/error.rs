//! What callers are told when something is refused: one place for all of it.
//!
//! The text is for people. For programs the metadata `fleet-error` holds a word
//! that stays the same, finer than gRPC's code ([`refusal`]).

use fleet_proto::refusal;
use tonic::{Code, Status};

use crate::catalog;
use crate::core::HandleError;
use crate::event;
use crate::identity;
use crate::secret::Unreadable;
use crate::store::NoRoom;

/// A refusal with its word.
pub(super) fn status(code: Code, word: &'static str, text: impl Into<String>) -> Status {
    refusal::with_word(Status::new(code, text), word)
}

/// No token, or one that does not count.
pub(super) fn unauthenticated(word: &'static str, text: impl Into<String>) -> Status {
    status(Code::Unauthenticated, word, text)
}

/// The caller may see it, but not do this.
pub(super) fn denied(word: &'static str, text: impl Into<String>) -> Status {
    status(Code::PermissionDenied, word, text)
}

/// It is not there, or the caller may not even see it: the same words for both.
pub(super) fn not_found(what: impl std::fmt::Display) -> Status {
    status(Code::NotFound, "not_found", format!("there is no {what}"))
}

/// The request itself is wrong.
pub(super) fn invalid(text: impl Into<String>) -> Status {
    status(Code::InvalidArgument, "invalid", text)
}

/// The coordinator is at fault; its log says more than the caller is told.
pub(super) fn internal(text: impl Into<String>) -> Status {
    status(Code::Internal, "internal", text)
}

/// What people set up could not be changed.
pub(super) fn of_catalog(error: catalog::Error) -> Status {
    use catalog::Error;
    match error {
        Error::NotFound(text) => status(Code::NotFound, "not_found", text),
        Error::Exists(text) => status(Code::AlreadyExists, "exists", text),
        Error::Invalid(text) => invalid(text),
        Error::Conflict(text) => status(Code::FailedPrecondition, "conflict", text),
    }
}

/// The owner of the queue did not do it.
pub(super) fn of_core(error: HandleError) -> Status {
    use fleet_queue::Rejected;
    match error {
        HandleError::Rejected(rejected) => {
            let text = rejected.to_string();
            match rejected {
                Rejected::UnknownJob(_)
                | Rejected::UnknownPipeline(_)
                | Rejected::UnknownAgent(_) => status(Code::NotFound, "not_found", text),
                Rejected::PipelineExists(_) | Rejected::JobExists(_) => {
                    status(Code::AlreadyExists, "exists", text)
                }
                _ => status(Code::FailedPrecondition, "conflict", text),
            }
        }
        HandleError::NoRoom(text) => status(Code::ResourceExhausted, "no_room", text),
        HandleError::Gone => status(
            Code::Unavailable,
            "shutting_down",
            "the coordinator is shutting down: try again in a while",
        ),
    }
}

/// The store takes nothing new.
pub(super) fn of_no_room(error: NoRoom) -> Status {
    status(Code::ResourceExhausted, "no_room", error.0)
}

/// The authority over agents refused.
pub(super) fn of_identity(refused: &identity::Refused) -> Status {
    use identity::Refused;
    let text = refused.to_string();
    match refused {
        Refused::Unauthenticated(_) => unauthenticated("bad_certificate", text),
        Refused::Revoked(_) => unauthenticated(refusal::AGENT_REVOKED, text),
        Refused::Denied(_) => denied("denied", text),
        Refused::Precondition(_) => status(Code::FailedPrecondition, "conflict", text),
        Refused::TooMany(_) => status(Code::ResourceExhausted, "too_many", text),
        Refused::Internal(_) => internal(text),
    }
}

/// An event did not become a pipeline.
pub(super) fn of_event(error: event::Error) -> Status {
    use event::Error;
    let text = error.to_string();
    match error {
        Error::NotFound(_) => status(Code::NotFound, "not_found", text),
        Error::Invalid(_) => invalid(text),
        Error::NoPipeline(_) => status(Code::FailedPrecondition, "no_pipeline", text),
        Error::NoRoom(_) => status(Code::ResourceExhausted, "no_room", text),
        Error::Denied(_) => denied("denied", text),
        Error::Internal(_) => internal(text),
    }
}

/// A secret of the store cannot be opened.
pub(super) fn of_unreadable(error: &Unreadable) -> Status {
    tracing::error!(%error, "a sealed value cannot be opened");
    internal("a value cannot be opened: the coordinator's log says which")
}
