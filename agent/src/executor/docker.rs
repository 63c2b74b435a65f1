//! The Docker executor.

#![allow(dead_code, reason = "the executor is to come")]

mod image;
