//! What is done about a coupling, and what is said.

use super::facts::Use;
use super::{HostCoupling, PUSHED, UNPUSHED, image};
use crate::{Diagnostic, Severity, Span};

/// Said in the log behind the command that is put in.
const MARK: &str = "Fleet: an earlier job pushed this image, and this host may lack it";

/// The script with a pull before each line that needs an image.
pub(super) fn script(script: &[String], needs: &[&Use]) -> Vec<String> {
    let mut mended = Vec::with_capacity(script.len() + needs.len());
    for (index, entry) in script.iter().enumerate() {
        let mut here: Vec<&&Use> = needs.iter().filter(|need| need.entry == index).collect();
        here.sort_by_key(|need| need.behind_login.unwrap_or(need.list));
        // From the last to the first, so that places stay what they are.
        let mut pieces: Vec<String> = Vec::new();
        let mut rest = entry.clone();
        for need in here.into_iter().rev() {
            match need.behind_login {
                Some(at) => rest.insert_str(at, &inline(need)),
                None => {
                    let tail = rest.split_off(need.list);
                    if !tail.trim().is_empty() {
                        pieces.push(tail);
                    }
                    pieces.push(pull(need));
                }
            }
        }
        if pieces.is_empty() || !is_blank(&rest) {
            let end = if pieces.is_empty() {
                rest.len()
            } else {
                rest.trim_end().len()
            };
            rest.truncate(end);
            pieces.push(rest);
        }
        mended.extend(pieces.into_iter().rev());
    }
    mended
}

/// Nothing but blanks and comments.
fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim_start();
        line.is_empty() || line.starts_with('#')
    })
}

/// The entry that is put in.
fn pull(need: &Use) -> String {
    format!("{} # {MARK}", command(need))
}

/// The same within a list, behind its login; the list then fails, if at all, as it
/// would have.
fn inline(need: &Use) -> String {
    format!("{{ : '{MARK}'; {} || true; }} && ", command(need))
}

/// Gets the image as the line names it. A name that may mean another image tomorrow is
/// asked for in any case: the engine may have yesterday's.
fn command(need: &Use) -> String {
    let Use { docker, raw, .. } = need;
    if image::is_fixed(&need.image) {
        format!("{docker} image inspect {raw} > /dev/null 2>&1 || {docker} pull {raw}")
    } else {
        format!("{docker} pull {raw}")
    }
}

/// What is said of one coupling.
pub(super) struct Words<'a> {
    pub(super) job: &'a str,
    pub(super) from: &'a str,
    pub(super) pushed_by: Option<&'a str>,
    pub(super) need: &'a Use,
    /// The job's pin is for this image.
    pub(super) pinned: bool,
}

impl Words<'_> {
    pub(super) fn diagnostic(&self, wanted: HostCoupling, place: Option<Span>) -> Diagnostic {
        let Words {
            job, from, need, ..
        } = self;
        let raw = &need.raw;
        let found = format!(
            "`{job}` counts on the image `{raw}`, which `{from}` has put into the Docker engine of \
             the host it ran on"
        );
        let pull = format!("add `docker pull {raw}` before this line");
        let push = format!(
            "add `docker push {raw}` to `{from}`, and `docker pull {raw}` before this line"
        );
        let mend = match self.pushed_by {
            Some(_) => pull,
            None => push,
        };
        let code = match self.pushed_by {
            Some(_) => PUSHED,
            None => UNPUSHED,
        };
        let (severity, message, help) = match (wanted, self.pushed_by) {
            (HostCoupling::Mend | HostCoupling::OneHost, Some(by)) => (
                Severity::Note,
                format!("{found}: Fleet pulls it before this line, as `{by}` has pushed it"),
                format!("to say so in the file, {mend}"),
            ),
            (HostCoupling::Mend | HostCoupling::OneHost, None) if self.pinned => (
                Severity::Warning,
                format!(
                    "{found}; no earlier job pushes it, so this job runs only on the agent of `{from}`"
                ),
                format!("to let it run anywhere, {mend}"),
            ),
            (HostCoupling::Mend | HostCoupling::OneHost, None) => (
                Severity::Warning,
                format!(
                    "{found}; no earlier job pushes it, and this job is bound to another \
                     agent already, for another image"
                ),
                mend,
            ),
            (HostCoupling::Warn, _) => (
                Severity::Warning,
                format!("{found}: on another host this line does not find it"),
                mend,
            ),
            (HostCoupling::Deny, _) => (
                Severity::Error,
                format!("{found}, and this project denies that: {mend}"),
                "fleetctl project set host-coupling=mend lets Fleet do it".to_owned(),
            ),
        };
        Diagnostic {
            job: None,
            notes: Vec::new(),
            severity,
            code,
            message,
            span: place,
            help: Some(help),
        }
    }
}
