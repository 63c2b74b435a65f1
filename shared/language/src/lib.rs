//! The compiler: a `.gitlab-ci.yml` and an event in, a [`Plan`](fleet_model::Plan) and
//! [`Diagnostic`]s out.
//!
//! Pure: no clock, no disk, no network, no randomness. The files an include
//! names and the paths an `exists` looks for are handed in ([`Reach`]); so the
//! same commit, configuration and context always compile to the same plan.
//!
//! The text goes through passes, each with a type of its own:
//!
//! ```text
//! text --yaml--> tree (spans) --include, extends, !reference--> resolved tree
//!      --config (checks of every key)--> Config --evaluate (rules, variables)--> Plan
//! ```
//!
//! A pass returns its value and diagnostics, so that people see all mistakes of
//! a file at once.

mod compile;
pub mod config;
mod context;
mod coupling;
mod diagnostic;
pub mod duration;
pub mod evaluate;
pub mod expression;
pub mod fetch;
pub mod glob;
mod inputs;
mod others;
pub mod pattern;
pub mod render;
mod resolve;
pub mod suggest;
mod tree;
pub mod variables;
pub mod yaml;

pub use compile::{Compiled, compile, explain, lint};
pub use context::{Changes, Commit, Context, Files, PipelineSource, Project, Ref, RefKind, User};
pub use coupling::HostCoupling;
pub use diagnostic::{CODES, Code, Diagnostic, Note, Severity, SourceFile, Sources, code};
pub use fetch::{Fetch, Reach};
pub use tree::{Entry, FileId, Map, Node, Span, Value};
