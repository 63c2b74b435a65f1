//! The state of a set of jobs: of a stage, of a pipeline, of all that a job
//! waits for. GitLab's rules, as its `Gitlab::Ci::Status::Composite` has them.

use fleet_model::JobState;

/// What a job counts as among others: its state, but for failures that are
/// allowed and manual jobs that are optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Created,
    WaitingForResource,
    Preparing,
    Pending,
    Running,
    Success,
    Failed,
    Canceling,
    Canceled,
    Skipped,
    Manual,
    Scheduled,
    /// Failed or canceled, and allowed to.
    Warning,
    /// Manual and optional.
    Ignored,
}

impl Kind {
    const COUNT: usize = 14;

    /// What a job in `state` counts as.
    pub(crate) fn of(state: JobState, allow_failure: bool) -> Kind {
        match state {
            JobState::Failed | JobState::Canceled if allow_failure => Kind::Warning,
            JobState::Manual if allow_failure => Kind::Ignored,
            JobState::Created => Kind::Created,
            JobState::WaitingForResource => Kind::WaitingForResource,
            JobState::Preparing => Kind::Preparing,
            JobState::Pending => Kind::Pending,
            JobState::Running => Kind::Running,
            JobState::Success => Kind::Success,
            JobState::Failed => Kind::Failed,
            JobState::Canceling => Kind::Canceling,
            JobState::Canceled => Kind::Canceled,
            JobState::Skipped => Kind::Skipped,
            JobState::Manual => Kind::Manual,
            JobState::Scheduled => Kind::Scheduled,
        }
    }
}

/// The distinct kinds in a set of jobs: all that its state depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u16);

impl Kinds {
    /// Those of jobs that have not ended and are not left to a person's wish.
    ///
    /// A set of stages is completed exactly when it holds none of them.
    pub(crate) const UNSETTLED: Kinds = Kinds::of(&[
        Kind::Created,
        Kind::WaitingForResource,
        Kind::Preparing,
        Kind::Pending,
        Kind::Running,
        Kind::Canceling,
        Kind::Manual,
        Kind::Scheduled,
    ]);
    /// Those that show as "with warnings" on a pipeline that passed.
    pub(crate) const WARNINGS: Kinds = Kinds::of(&[Kind::Warning]);

    pub(crate) const fn of(kinds: &[Kind]) -> Kinds {
        let mut set = 0;
        let mut i = 0;
        while i < kinds.len() {
            set |= 1 << kinds[i] as u16;
            i += 1;
        }
        Kinds(set)
    }

    pub(crate) fn with(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    pub(crate) fn has_any(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }

    fn only(self, other: Kinds) -> bool {
        self.0 & !other.0 == 0
    }
}

/// How many jobs of a set are of each kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts([u32; Kind::COUNT]);

impl Counts {
    pub(crate) fn add(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }

    pub(crate) fn remove(&mut self, kind: Kind) {
        self.0[kind as usize] -= 1;
    }

    pub(crate) fn kinds(&self) -> Kinds {
        let mut set = 0;
        for (i, count) in self.0.iter().enumerate() {
            if *count > 0 {
                set |= 1 << i;
            }
        }
        Kinds(set)
    }
}

/// Whose state is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// All jobs of some stages.
    Stages,
    /// The jobs that one job needs.
    Needs,
}

/// The state of a set of jobs by the kinds it holds; the first rule that fits.
pub(crate) fn composite(kinds: Kinds, set: Set) -> JobState {
    use Kind::*;
    /// Kinds that never hold a set back.
    const SETTLED: Kinds = Kinds::of(&[Warning, Ignored]);
    const fn settled_and(kinds: &[Kind]) -> Kinds {
        Kinds(SETTLED.0 | Kinds::of(kinds).0)
    }
    let only = |kinds_: Kinds| kinds.only(kinds_);
    let any = |kind: Kind| kinds.has_any(Kinds::of(&[kind]));

    if kinds == Kinds::default() {
        return JobState::Success;
    }
    if set == Set::Needs && (any(Skipped) || any(Ignored)) {
        return JobState::Skipped;
    }
    if only(const { Kinds::of(&[Skipped, Ignored]) }) {
        return JobState::Skipped;
    }
    if only(const { settled_and(&[Success, Skipped]) }) {
        return JobState::Success;
    }
    if only(const { settled_and(&[Created]) }) {
        return JobState::Created;
    }
    if only(const { settled_and(&[Preparing]) }) {
        return JobState::Preparing;
    }
    if only(const { settled_and(&[Canceled, Success, Skipped]) }) {
        return JobState::Canceled;
    }
    if only(const { settled_and(&[Pending, Created, Skipped]) }) {
        return JobState::Pending;
    }
    if any(Running) || any(Pending) {
        return JobState::Running;
    }
    for (kind, state) in [
        (WaitingForResource, JobState::WaitingForResource),
        (Manual, JobState::Manual),
        (Scheduled, JobState::Scheduled),
        (Preparing, JobState::Preparing),
        (Created, JobState::Running),
        (Canceling, JobState::Canceling),
    ] {
        if any(kind) {
            return state;
        }
    }
    JobState::Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row: the states of a set of jobs (`+` allowed to fail or optional), what
    /// it is as stages, and what it is as needs where that differs.
    const TABLE: &[(&str, &str, &str)] = &[
        ("", "success", ""),
        ("skipped", "skipped", ""),
        ("manual+", "skipped", ""),
        ("skipped manual+", "skipped", ""),
        ("success", "success", ""),
        ("success skipped", "success", "skipped"),
        ("success manual+", "success", "skipped"),
        ("failed+", "success", ""),
        ("canceled+", "success", ""),
        ("failed+ skipped", "success", "skipped"),
        ("created", "created", ""),
        ("created failed+", "created", ""),
        ("created manual+", "created", "skipped"),
        ("created skipped", "pending", "skipped"),
        ("preparing", "preparing", ""),
        ("preparing failed+", "preparing", ""),
        ("canceled", "canceled", ""),
        ("canceled success skipped", "canceled", "skipped"),
        ("canceled failed+", "canceled", ""),
        ("canceled failed", "failed", ""),
        ("pending", "pending", ""),
        ("pending created", "pending", ""),
        ("pending skipped", "pending", "skipped"),
        ("pending failed+ manual+", "pending", "skipped"),
        ("pending success", "running", ""),
        ("running", "running", ""),
        ("running failed", "running", ""),
        ("running manual", "running", ""),
        ("pending canceling", "running", ""),
        ("waiting_for_resource", "waiting_for_resource", ""),
        ("waiting_for_resource success", "waiting_for_resource", ""),
        ("waiting_for_resource manual", "waiting_for_resource", ""),
        ("manual", "manual", ""),
        ("manual created", "manual", ""),
        ("manual success", "manual", ""),
        ("manual failed", "manual", ""),
        ("manual scheduled", "manual", ""),
        ("scheduled", "scheduled", ""),
        ("scheduled success created", "scheduled", ""),
        ("preparing success", "preparing", ""),
        ("preparing created", "preparing", ""),
        ("created success", "running", ""),
        ("created failed", "running", ""),
        ("created canceled", "running", ""),
        ("canceling", "canceling", ""),
        ("canceling success failed", "canceling", ""),
        ("canceling created", "running", ""),
        ("failed", "failed", ""),
        ("failed success", "failed", ""),
        ("failed skipped", "failed", "skipped"),
        ("failed manual+", "failed", "skipped"),
        ("failed failed+", "failed", ""),
    ];

    const STATES: [JobState; 12] = [
        JobState::Created,
        JobState::WaitingForResource,
        JobState::Preparing,
        JobState::Pending,
        JobState::Running,
        JobState::Success,
        JobState::Failed,
        JobState::Canceling,
        JobState::Canceled,
        JobState::Skipped,
        JobState::Manual,
        JobState::Scheduled,
    ];

    fn kinds(row: &str) -> Kinds {
        row.split_whitespace().fold(Kinds::default(), |set, word| {
            let name = word.trim_end_matches('+');
            let state = STATES.iter().find(|state| state.as_str() == name);
            let kind = Kind::of(*state.expect("a state"), word.ends_with('+'));
            set.with(Kinds::of(&[kind]))
        })
    }

    #[test]
    fn first_rule_that_fits_decides() {
        for (row, stages, needs) in TABLE {
            let needs = if needs.is_empty() { stages } else { needs };
            assert_eq!(
                composite(kinds(row), Set::Stages).as_str(),
                *stages,
                "stages {row:?}"
            );
            assert_eq!(
                composite(kinds(row), Set::Needs).as_str(),
                *needs,
                "needs {row:?}"
            );
        }
    }

    #[test]
    fn stages_are_completed_only_once_every_job_is_settled() {
        for bits in 0..1 << Kind::COUNT {
            let set = Kinds(bits);
            assert_eq!(
                composite(set, Set::Stages).is_completed(),
                !set.has_any(Kinds::UNSETTLED),
                "{set:?}"
            );
        }
    }

    #[test]
    fn counts_forget_a_kind_with_its_last_job() {
        let mut counts = Counts::default();
        counts.add(Kind::Failed);
        counts.add(Kind::Failed);
        counts.remove(Kind::Failed);
        assert_eq!(counts.kinds(), kinds("failed"));
        counts.remove(Kind::Failed);
        assert_eq!(counts.kinds(), Kinds::default());
    }
}
