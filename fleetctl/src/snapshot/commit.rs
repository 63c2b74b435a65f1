//! Commits, read and written as git stores them.

use fleet_model::Timestamp;

/// The commit that HEAD names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its hash.
    pub(crate) sha: String,
    /// Its tree's hash.
    pub(crate) tree: String,
    /// The whole message.
    pub(crate) message: String,
    /// Who wrote it.
    pub(crate) author: Identity,
    /// Who committed it, and when.
    pub(crate) committer: Identity,
}

/// `Name <mail> seconds zone`, as in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    raw: Vec<u8>,
}

impl Identity {
    /// fleetctl itself, at a time of the Unix clock.
    pub(super) fn fleetctl(now: Timestamp) -> Identity {
        Identity {
            raw: format!("fleetctl <fleetctl@localhost> {} +0000", now.0 / 1000).into_bytes(),
        }
    }

    /// `Name <mail>`.
    pub(crate) fn name(&self) -> String {
        let text = String::from_utf8_lossy(&self.raw);
        let end = text.rfind('>').map_or(text.len(), |at| at + 1);
        text[..end].to_owned()
    }

    /// The date in ISO 8601 with its zone, as GitLab shows it.
    pub(crate) fn timestamp(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.raw);
        let (_, date) = text.rsplit_once('>')?;
        let (seconds, zone) = date.trim().split_once(' ')?;
        let zone: i32 = zone.parse().ok()?;
        let offset = (zone / 100)
            .checked_mul(3600)?
            .checked_add((zone % 100).checked_mul(60)?)?;
        let offset = jiff::tz::Offset::from_seconds(offset).ok()?;
        let time = jiff::Timestamp::from_second(seconds.parse().ok()?).ok()?;
        let local = offset
            .to_datetime(time)
            .strftime("%Y-%m-%dT%H:%M:%S")
            .to_string();
        Some(format!(
            "{local}{}{:02}:{:02}",
            sign(zone),
            zone.abs() / 100,
            zone.abs() % 100
        ))
    }
}

fn sign(zone: i32) -> char {
    if zone < 0 { '-' } else { '+' }
}

/// The commits in the answer of `git cat-file --batch`, in the order asked; none
/// for what is missing or no commit.
pub(super) fn read_batch(mut answer: &[u8]) -> Vec<Option<Head>> {
    let mut commits = Vec::new();
    while let Some(end) = answer.iter().position(|byte| *byte == b'\n') {
        let header = String::from_utf8_lossy(&answer[..end]).into_owned();
        answer = &answer[end + 1..];
        let mut words = header.split(' ');
        let (sha, kind, size) = (words.next(), words.next(), words.next());
        let Some(size) = size.and_then(|size| size.parse::<usize>().ok()) else {
            commits.push(None);
            continue;
        };
        let Some((body, rest)) = answer.split_at_checked(size) else {
            break;
        };
        answer = rest.strip_prefix(b"\n").unwrap_or(rest);
        commits.push(
            sha.filter(|_| kind == Some("commit"))
                .and_then(|sha| read(sha, body)),
        );
    }
    commits
}

fn read(sha: &str, body: &[u8]) -> Option<Head> {
    let end = body.windows(2).position(|pair| pair == b"\n\n")?;
    let (header, message) = (&body[..end], &body[end + 2..]);
    let field = |name: &[u8]| {
        header
            .split(|byte| *byte == b'\n')
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(b" "))
            .map(<[u8]>::to_vec)
    };
    Some(Head {
        sha: sha.to_owned(),
        tree: String::from_utf8(field(b"tree")?).ok()?,
        message: String::from_utf8_lossy(message).into_owned(),
        author: Identity {
            raw: field(b"author")?,
        },
        committer: Identity {
            raw: field(b"committer")?,
        },
    })
}

/// A commit's content.
pub(super) fn content(
    tree: &str,
    parent: Option<&str>,
    author: &Identity,
    committer: &Identity,
    message: &str,
) -> Vec<u8> {
    let mut content = format!("tree {tree}\n").into_bytes();
    if let Some(parent) = parent {
        content.extend_from_slice(format!("parent {parent}\n").as_bytes());
    }
    for (field, who) in [("author ", author), ("committer ", committer)] {
        content.extend_from_slice(field.as_bytes());
        content.extend_from_slice(&who.raw);
        content.push(b'\n');
    }
    content.push(b'\n');
    content.extend_from_slice(message.as_bytes());
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_answers_are_told_apart() {
        let body = "tree 4b825dc\nauthor A B <a@b> 1700000000 -0230\ncommitter C <c@d> 0 +0000\n\nsubject\n\nbody\n";
        let answer = format!(
            "HEAD missing\nabc commit {}\n{body}\ndef tree 0\n\n",
            body.len()
        );
        let commits = read_batch(answer.as_bytes());
        assert_eq!(commits.len(), 3);
        let head = commits[1].clone().unwrap();
        assert_eq!((head.sha.as_str(), head.tree.as_str()), ("abc", "4b825dc"));
        assert_eq!(head.message, "subject\n\nbody\n");
        assert_eq!(head.author.name(), "A B <a@b>");
        assert_eq!(
            head.author.timestamp().unwrap(),
            "2023-11-14T19:43:20-02:30"
        );
        assert_eq!(
            head.committer.timestamp().unwrap(),
            "1970-01-01T00:00:00+00:00"
        );
        assert!(commits[0].is_none() && commits[2].is_none());
    }
}
