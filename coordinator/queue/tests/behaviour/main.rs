//! What the queue does, told case by case.

mod agents;
mod attempts;
mod cancel;
mod downstream;
mod explain;
mod fixture;
mod follow;
mod gated;
mod kept;
mod order;
mod people;
mod pinned;
mod projects;
mod revoked;
mod scale;
mod stages_and_needs;
mod started;
