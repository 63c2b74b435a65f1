//! The references of a repository on this host, without a git process.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders below `refs` deeper than this hold no reference anybody made.
const DEPTH: usize = 32;

/// What a fetch of `refspecs` from `store` would write: name to object.
///
/// No refspecs stand for all branches and tags. A reference the store lacks
/// becomes `sha`: the job's own branch may exist only where the event came from.
pub(super) fn fetched(
    store: &Path,
    refspecs: &[String],
    sha: &str,
) -> io::Result<BTreeMap<String, String>> {
    let all = [
        "+refs/heads/*:refs/remotes/origin/*".to_owned(),
        "+refs/tags/*:refs/tags/*".to_owned(),
    ];
    let refspecs = if refspecs.is_empty() {
        &all[..]
    } else {
        refspecs
    };
    let store = Store::open(store)?;
    let mut wanted = BTreeMap::new();
    for refspec in refspecs {
        let refspec = refspec.strip_prefix('+').unwrap_or(refspec);
        let Some((from, to)) = refspec.split_once(':') else {
            continue;
        };
        match (from.split_once('*'), to.split_once('*')) {
            (Some((prefix, suffix)), Some((to_prefix, to_suffix))) => {
                for (name, object) in store.matching(prefix, suffix) {
                    let part = &name[prefix.len()..name.len() - suffix.len()];
                    wanted.insert(format!("{to_prefix}{part}{to_suffix}"), object.to_owned());
                }
            }
            (None, None) => {
                let object = store.get(from).unwrap_or(sha);
                wanted.insert(to.to_owned(), object.to_owned());
            }
            _ => {}
        }
    }
    wanted.retain(|name, _| is_name(name));
    Ok(wanted)
}

/// Whether a fetch of `refspecs` into the repository `git` would find nothing new:
/// all that is to be written is there, and is `sha`.
///
/// References of pipelines are left aside: they only keep a commit reachable. A
/// refspec for many references may always bring something.
pub(super) fn are_fetched(git: &Path, refspecs: &[String], sha: &str) -> io::Result<bool> {
    let store = Store::open(git)?;
    let targets = refspecs.iter().map(|refspec| refspec.split_once(':'));
    let mut wanted = false;
    for target in targets {
        match target {
            Some((_, to)) if to.starts_with("refs/pipelines/") && !to.contains('*') => {}
            Some((_, to)) if !to.contains('*') && store.get(to) == Some(sha) => wanted = true,
            _ => return Ok(false),
        }
    }
    Ok(wanted)
}

/// The text of `packed-refs`.
pub(super) fn packed(references: &BTreeMap<String, String>) -> String {
    let mut text = String::from("# pack-refs with: sorted \n");
    for (name, object) in references {
        text.push_str(object);
        text.push(' ');
        text.push_str(name);
        text.push('\n');
    }
    text
}

/// Whether git would take `name` for a reference below `refs/`.
fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.ends_with(".lock")
    };
    let odd = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    name.strip_prefix("refs/")
        .is_some_and(|rest| rest.split('/').all(part))
        && !name.contains(odd)
        && !name.contains("..")
        && !name.contains("@{")
}

/// Whether `text` names an object: 40 or 64 lower-case hexadecimal digits.
pub(super) fn is_object(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// All references of a repository.
struct Store(BTreeMap<String, String>);

impl Store {
    fn open(folder: &Path) -> io::Result<Store> {
        let mut all = BTreeMap::new();
        match fs::read_to_string(folder.join("packed-refs")) {
            Ok(text) => all.extend(text.lines().filter_map(packed_line)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        loose(folder, &mut all)?;
        Ok(Store(all))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn matching<'a>(
        &'a self,
        prefix: &'a str,
        suffix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .range(prefix.to_owned()..)
            .map(|(name, object)| (name.as_str(), object.as_str()))
            .take_while(move |(name, _)| name.starts_with(prefix))
            .filter(move |(name, _)| {
                name.len() > prefix.len() + suffix.len() && name.ends_with(suffix)
            })
    }
}

/// A line is an object and a name; others are comments and what tags point to.
fn packed_line(line: &str) -> Option<(String, String)> {
    let (object, name) = line.split_once(' ')?;
    is_object(object).then(|| (name.to_owned(), object.to_owned()))
}

/// References in files of their own. Symbolic ones are no commits to fetch.
fn loose(folder: &Path, all: &mut BTreeMap<String, String>) -> io::Result<()> {
    let mut open: Vec<(PathBuf, String, usize)> = vec![(folder.join("refs"), "refs".into(), 0)];
    while let Some((path, name, depth)) = open.pop() {
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            let Some(name) = entry
                .file_name()
                .to_str()
                .map(|part| format!("{name}/{part}"))
            else {
                continue;
            };
            let kind = entry.file_type()?;
            if kind.is_dir() && depth < DEPTH {
                open.push((entry.path(), name, depth + 1));
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(entry.path())
                && is_object(text.trim_end())
            {
                all.insert(name, text.trim_end().to_owned());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn object(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    fn store() -> TempDir {
        let store = TempDir::new().unwrap();
        let file = |name: &str, text: String| {
            let path = store.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let packed = format!(
            "# pack-refs with: peeled fully-peeled sorted \n{} refs/heads/main\n{} refs/tags/v1\n^{}\n",
            object('1'),
            object('2'),
            object('3')
        );
        file("packed-refs", packed);
        file("refs/heads/main", object('4') + "\n");
        file("refs/heads/feat/z", object('5'));
        file("refs/heads/odd", "ref: refs/heads/main\n".into());
        store
    }

    fn fetch(refspecs: &[&str]) -> Vec<(String, String)> {
        let refspecs: Vec<_> = refspecs.iter().map(|&text| text.to_owned()).collect();
        fetched(store().path(), &refspecs, &object('9'))
            .unwrap()
            .into_iter()
            .collect()
    }

    fn pairs(list: &[(&str, char)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(name, digit)| ((*name).to_owned(), object(*digit)))
            .collect()
    }

    #[test]
    fn without_refspecs_all_branches_and_tags_come() {
        let all = [
            ("refs/remotes/origin/feat/z", '5'),
            ("refs/remotes/origin/main", '4'),
            ("refs/tags/v1", '2'),
        ];
        assert_eq!(fetch(&[]), pairs(&all));
    }

    #[test]
    fn loose_references_win_over_packed_ones() {
        assert_eq!(
            fetch(&["+refs/heads/main:refs/remotes/origin/main"]),
            pairs(&[("refs/remotes/origin/main", '4')])
        );
    }

    #[test]
    fn a_reference_the_store_lacks_is_the_jobs_commit() {
        assert_eq!(
            fetch(&["refs/pipelines/7:refs/pipelines/7"]),
            pairs(&[("refs/pipelines/7", '9')])
        );
    }

    #[test]
    fn nothing_is_fetched_where_all_is_there_and_is_the_jobs_commit() {
        let store = store();
        let held = |refspecs: &[&str], digit| {
            let refspecs: Vec<_> = refspecs.iter().map(|&text| text.to_owned()).collect();
            are_fetched(store.path(), &refspecs, &object(digit)).unwrap()
        };
        let own = "+1:refs/pipelines/7";
        assert!(held(&["+refs/heads/main:refs/heads/main", own], '4'));
        assert!(!held(&["+refs/heads/main:refs/heads/main", own], '1'));
        assert!(!held(&["+refs/heads/main:refs/remotes/origin/main"], '4'));
        assert!(!held(&["+refs/heads/*:refs/heads/*"], '4'));
        assert!(!held(&[own], '4'));
        assert!(!held(&[], '4'));
    }

    #[test]
    fn names_that_would_leave_the_repository_are_dropped() {
        for to in [
            "refs/../config",
            "config",
            "refs/a b",
            "refs/a.lock",
            "refs/a\n0",
            "refs//a",
            "refs/.a",
        ] {
            assert_eq!(fetch(&[&format!("refs/heads/main:{to}")]), [], "{to}");
        }
    }
}
