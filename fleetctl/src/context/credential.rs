//! What git asks a credential helper, and what it is answered.

use super::config::Context;

/// The answer to git's question on its helper's stdin: name and password for this
/// context's server, and nothing for any other.
pub(super) fn answer(question: &str, context: &Context) -> Option<String> {
    let value = |key: &str| {
        question
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| *name == key)
            .map(|(_, value)| value)
            .next_back()
    };
    let asked = match value("url") {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("{}://{}", value("protocol")?, value("host")?),
    };
    // git tells the path only where it is told to.
    let server = context.server.as_str();
    let asked = asked.to_ascii_lowercase();
    let asked = asked.strip_suffix(":443").unwrap_or(&asked);
    if asked != server.strip_suffix(":443").unwrap_or(server) {
        return None;
    }
    let user = if context.user.is_empty() {
        "fleet"
    } else {
        &context.user
    };
    // A line of its own would be a word of the protocol.
    if user.contains(['\n', '\0']) || context.token.contains(['\n', '\0']) {
        return None;
    }
    Some(format!("username={user}\npassword={}\n", context.token))
}
