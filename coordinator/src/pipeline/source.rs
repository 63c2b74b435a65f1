//! What jobs fetch of a repository the coordinator keeps.

use fleet_model::{Source, Variable};

use super::About;

/// What is fetched for a commit: the commit itself under a name of its own, so that
/// a branch that moves on or goes away takes nothing from its jobs.
///
/// As GitLab's: with a `depth` the commit's own ref, without (0) all branches and
/// tags.
pub(crate) fn refspecs(about: &About, depth: u32) -> Vec<String> {
    let About { sha, reference, .. } = about;
    let own = format!("+{sha}:refs/pipelines/{sha}");
    match (depth, about.tag) {
        (0, _) => vec![
            own,
            "+refs/heads/*:refs/remotes/origin/*".to_owned(),
            "+refs/tags/*:refs/tags/*".to_owned(),
        ],
        // Git brings the tag along by itself, if it is still there.
        (_, true) => vec![own],
        (_, false) => vec![own, format!("+{sha}:refs/remotes/origin/{reference}")],
    }
}

/// The source of one job: its own `GIT_DEPTH` goes before the project's depth, and
/// what is no number is 0, as in GitLab.
pub(super) fn of_job(source: &Source, about: &About, variables: &[Variable]) -> Source {
    let mut source = source.clone();
    let own = variables.iter().rfind(|it| it.key == "GIT_DEPTH");
    if let Some(own) = own
        && let Source::Git {
            depth,
            refspecs: known,
            ..
        } = &mut source
    {
        let wanted = leading_number(&own.value);
        // Whoever made a source of another kind knows what is to be fetched.
        if *known == refspecs(about, *depth) {
            *known = refspecs(about, wanted);
        }
        *depth = wanted;
    }
    source
}

/// As Ruby's `to_i`.
fn leading_number(text: &str) -> u32 {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit());
    let digits = &text[..end.unwrap_or(text.len())];
    match digits.parse() {
        Ok(number) => number,
        Err(_) if digits.is_empty() => 0,
        Err(_) => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(tag: bool) -> About {
        About {
            sha: "abc".into(),
            reference: "v1".into(),
            tag,
            ..About::default()
        }
    }

    fn source(depth: u32, refspecs: Vec<String>) -> Source {
        Source::Git {
            repository: "https://fleet.example/a/b.git".into(),
            sha: "abc".into(),
            reference: "v1".into(),
            depth,
            refspecs,
        }
    }

    #[test]
    fn a_jobs_own_depth_goes_before_the_projects() {
        for tag in [false, true] {
            let about = about(tag);
            for (project, written, depth) in [
                (20, "3", 3),
                (20, "0", 0),
                (0, "50", 50),
                (20, "", 0),
                (20, "all", 0),
                (20, " 7 commits", 7),
                (20, "-1", 0),
                (20, "99999999999", u32::MAX),
            ] {
                let given = [Variable::new("GIT_DEPTH", written)];
                let made = of_job(&source(project, refspecs(&about, project)), &about, &given);
                assert_eq!(made, source(depth, refspecs(&about, depth)), "{written:?}");
            }
            let same = source(20, refspecs(&about, 20));
            assert_eq!(of_job(&same, &about, &[]), same);
        }
    }

    #[test]
    fn other_refspecs_stay_as_they_are() {
        let own = vec!["+refs/fleet/x:refs/heads/main".to_owned()];
        let given = [Variable::new("GIT_DEPTH", "0")];
        let made = of_job(&source(20, own.clone()), &about(false), &given);
        assert_eq!(made, source(0, own));
    }
}
