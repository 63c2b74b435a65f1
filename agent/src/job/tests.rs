//! Jobs as users see them: real bash, real git.

mod artifacts;
mod ends;
mod scripts;
mod sources;
mod stub;
mod web;
mod world;
