//! The queue: status rules, scheduler and lease book as one pure,
//! deterministic state machine.
