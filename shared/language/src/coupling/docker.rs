//! What a `docker` command does to the images of its engine.

/// An argument as the shell hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Its text, with `${NAME}` for what is not known; none: it cannot be told.
    pub(super) text: Option<String>,
    /// The word it comes from, if it is all that the word becomes.
    pub(super) word: Option<usize>,
    /// It is one unknown variable without quotes, which may be any number of arguments.
    pub(super) loose: bool,
}

/// What a command does to its engine's images. Images are indexes into its fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Makes images of these names.
    Build {
        images: Vec<usize>,
        pushed: Pushed,
        /// Whether the engine has them afterwards, as far as that can be told.
        kept: bool,
    },
    /// Gives an image another name.
    Tag { from: usize, to: usize },
    /// Makes an image of something that is none.
    Commit { to: usize },
    /// Takes them to a registry.
    Push { image: usize, all: bool },
    /// Gets them from a registry.
    Pull { image: usize, all: bool },
    /// Starts a container; docker pulls the image if it lacks it.
    Run { image: usize },
    /// Needs images in the engine.
    Use { images: Vec<usize> },
    /// Takes names away.
    Remove { images: Vec<usize> },
    /// Takes all away that is not used.
    RemoveAll,
    /// Nothing to images.
    Nothing,
    /// It is about another engine than the host's.
    Elsewhere,
    /// Anything.
    Unread,
}

/// Whether a build pushes, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Yes,
    No,
    Unknown,
}

/// Options of `docker` itself that take a value.
const GLOBAL_WITH_VALUE: &[&str] = &[
    "--config",
    "-l",
    "--log-level",
    "--tlscacert",
    "--tlscert",
    "--tlskey",
];
/// Those that choose the engine.
const GLOBAL_ENGINE: &[&str] = &["-H", "--host", "-c", "--context"];

/// Options of `docker run` and `docker create` that take no value; all others do.
const RUN_FLAGS: &[&str] = &[
    "--detach",
    "--disable-content-trust",
    "--help",
    "--init",
    "--interactive",
    "--no-healthcheck",
    "--oom-kill-disable",
    "--privileged",
    "--publish-all",
    "--quiet",
    "--read-only",
    "--rm",
    "--sig-proxy",
    "--tty",
    "--use-api-socket",
];
/// Their short forms.
const RUN_SHORT_FLAGS: &str = "ditPq";

/// Commands that leave images alone.
const HARMLESS: &[&str] = &[
    "attach", "cp", "diff", "events", "exec", "export", "images", "info", "kill", "login",
    "logout", "logs", "network", "node", "pause", "port", "ps", "rename", "restart", "rm",
    "search", "secret", "start", "stats", "stop", "top", "unpause", "update", "version", "volume",
    "wait",
];

/// The index of the subcommand's field: behind `docker` and its own options. Before it
/// stands what a further command to the same engine must have, too.
pub(super) fn subcommand(fields: &[Field]) -> Result<usize, Action> {
    let mut at = 1;
    loop {
        let Some(field) = fields.get(at) else {
            return Err(Action::Nothing);
        };
        let Some(text) = field.text.as_deref().filter(|_| !field.loose) else {
            return Err(Action::Unread);
        };
        let (name, has_value) = match text.split_once('=') {
            Some((name, _)) if text.starts_with("--") => (name, true),
            _ => (text, false),
        };
        if !text.starts_with('-') {
            return Ok(at);
        }
        if GLOBAL_ENGINE
            .iter()
            .any(|option| name == *option || is_glued(text, option))
        {
            return Err(Action::Elsewhere);
        }
        at += if GLOBAL_WITH_VALUE.contains(&name) && !has_value {
            2
        } else {
            1
        };
    }
}

/// `-Hunix://...`: a short option with its value in one word.
fn is_glued(text: &str, option: &str) -> bool {
    option.len() == 2 && text.starts_with(option) && !text.starts_with("--")
}

/// What the subcommand at `at` does.
pub(super) fn action(fields: &[Field], at: usize) -> Action {
    let Some(mut name) = text(fields, at) else {
        return Action::Unread;
    };
    let mut rest = at + 1;
    let group = name;
    if matches!(group, "image" | "container" | "buildx" | "builder") {
        let Some(inner) = text(fields, rest) else {
            return Action::Nothing;
        };
        rest += 1;
        name = match (group, inner) {
            ("image", "rm" | "remove") => "rmi",
            ("image", "ls" | "list") => "images",
            ("image", "build" | "tag" | "push" | "pull" | "save" | "inspect" | "history") => inner,
            ("image", "prune") => return prune(fields, rest),
            ("container", "run" | "create" | "commit") => inner,
            ("container", "prune" | "inspect" | "ls" | "list") => return Action::Nothing,
            ("container", inner) if HARMLESS.contains(&inner) => return Action::Nothing,
            ("buildx" | "builder", "build" | "b") => "build",
            ("buildx", "create" | "use" | "ls" | "inspect" | "version" | "rm" | "stop" | "du")
            | ("buildx" | "builder", "prune") => return Action::Nothing,
            _ => return Action::Unread,
        };
    }
    match name {
        "build" => build(fields, rest, group == "buildx"),
        "run" | "create" => run(fields, rest),
        "tag" => match positionals(fields, rest, &[]) {
            Some(found) => match found.as_slice() {
                [from, to] => Action::Tag {
                    from: *from,
                    to: *to,
                },
                _ => Action::Unread,
            },
            None => Action::Unread,
        },
        "commit" => {
            let options = ["-a", "--author", "-c", "--change", "-m", "--message"];
            match positionals(fields, rest, &options).as_deref() {
                Some([_, to]) => Action::Commit { to: *to },
                Some([_]) => Action::Nothing,
                _ => Action::Unread,
            }
        }
        "push" | "pull" => {
            let all = flag(fields, rest, "-a", "--all-tags");
            match (name, positionals(fields, rest, &["--platform"]).as_deref()) {
                ("push", Some([image])) => Action::Push { image: *image, all },
                ("pull", Some([image])) => Action::Pull { image: *image, all },
                _ => Action::Unread,
            }
        }
        "save" | "history" | "inspect" => {
            let options = ["-o", "--output", "-f", "--format", "--platform", "--type"];
            match positionals(fields, rest, &options) {
                Some(images) => Action::Use { images },
                None => Action::Nothing,
            }
        }
        "rmi" => match positionals(fields, rest, &["--platform"]) {
            Some(images) => Action::Remove { images },
            None => Action::RemoveAll,
        },
        "system" => match text(fields, rest) {
            Some("prune") => prune(fields, rest + 1),
            _ => Action::Nothing,
        },
        name if HARMLESS.contains(&name) => Action::Nothing,
        _ => Action::Unread,
    }
}

fn prune(fields: &[Field], from: usize) -> Action {
    if flag(fields, from, "-a", "--all") {
        Action::RemoveAll
    } else {
        Action::Nothing
    }
}

fn build(fields: &[Field], from: usize, buildx: bool) -> Action {
    let mut images = Vec::new();
    let (mut pushed, mut load, mut output) = (Pushed::No, false, false);
    let mut at = from;
    while let Some(field) = fields.get(at) {
        at += 1;
        let Some(text) = field.text.as_deref() else {
            // A value that is not known hides nothing; an option would.
            continue;
        };
        match text {
            "-t" | "--tag" | "-qt" => {
                images.push(at);
                at += 1;
            }
            "--push" | "--push=true" => pushed = Pushed::Yes,
            "--load" | "--load=true" => load = true,
            "-o" | "--output" => {
                output = true;
                at += 1;
            }
            // Its image has no field of its own, so it stays unknown.
            _ if text.starts_with("--tag=") || is_glued(text, "-t") => images.push(at - 1),
            _ if text.starts_with("--output=") => output = true,
            _ if text.starts_with("--builder") => output = true,
            // The last is the folder that is built.
            _ if field.loose && at < fields.len() && pushed == Pushed::No => {
                pushed = Pushed::Unknown;
            }
            _ => {}
        }
    }
    if output && pushed == Pushed::No {
        pushed = Pushed::Unknown;
    }
    Action::Build {
        images,
        pushed,
        kept: load || (!output && (!buildx || pushed == Pushed::Yes)),
    }
}

/// `--tag=X` and `-tX`: the text of the image.
pub(super) fn tag_value(text: &str) -> &str {
    let value = text.strip_prefix("--tag=");
    value
        .or_else(|| text.strip_prefix("-t"))
        .filter(|_| text.starts_with('-'))
        .unwrap_or(text)
}

fn run(fields: &[Field], from: usize) -> Action {
    let mut at = from;
    let mut pulls = false;
    while let Some(field) = fields.get(at) {
        let Some(text) = field.text.as_deref() else {
            return Action::Unread;
        };
        if text == "--" {
            at += 1;
            break;
        }
        if !text.starts_with('-') || text == "-" {
            break;
        }
        at += 1;
        if text == "--pull=always" {
            pulls = true;
        } else if text == "--pull" {
            pulls |= self::text(fields, at) == Some("always");
            at += 1;
        } else if text.starts_with("--") {
            if !text.contains('=') && !RUN_FLAGS.contains(&text) {
                at += 1;
            }
        } else if takes_next(&text[1..]) {
            at += 1;
        }
    }
    match fields.get(at) {
        None => Action::Nothing,
        // Docker gets it, whatever the engine has.
        Some(_) if pulls => Action::Pull {
            image: at,
            all: false,
        },
        Some(_) => Action::Run { image: at },
    }
}

/// Whether short options that stand together (`-it`, `-itv`) end in one that wants
/// the next word as its value.
fn takes_next(cluster: &str) -> bool {
    let valued = cluster.find(|option| !RUN_SHORT_FLAGS.contains(option));
    valued.is_some_and(|at| cluster[at..].chars().count() == 1)
}

/// What is no option and no value of one; none: it cannot be told.
fn positionals(fields: &[Field], from: usize, with_value: &[&str]) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    let mut at = from;
    while let Some(field) = fields.get(at) {
        match field.text.as_deref() {
            Some(text) if text.starts_with('-') && text.len() > 1 => {
                if with_value.contains(&text) {
                    at += 1;
                }
            }
            _ => found.push(at),
        }
        at += 1;
    }
    (!found.is_empty()).then_some(found)
}

/// Whether there is a flag, alone or among short ones.
fn flag(fields: &[Field], from: usize, short: &str, long: &str) -> bool {
    let letter = short.trim_start_matches('-');
    fields.iter().skip(from).any(|field| {
        let text = field.text.as_deref().unwrap_or_default();
        text == long
            || text.starts_with('-') && !text.starts_with("--") && text[1..].contains(letter)
    })
}

fn text(fields: &[Field], at: usize) -> Option<&str> {
    fields.get(at)?.text.as_deref()
}
