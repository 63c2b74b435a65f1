use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command as Process;
use std::time::Duration;

use clap::{Args, Command, ValueEnum};

use crate::{Error, duration, parse, size};

#[derive(Args, Debug, PartialEq)]
struct Settings {
    #[arg(long, env = "FLEET_TEST_LISTEN", default_value = "0.0.0.0:7443")]
    listen: SocketAddr,
    #[arg(long, value_parser = duration, default_value = "30s")]
    orphan_deadline: Duration,
    #[arg(long, value_parser = size)]
    reserve: Option<u64>,
    #[arg(long, env = "FLEET_TEST_NAME", value_delimiter = ',')]
    name: Vec<String>,
    #[arg(long)]
    label: Vec<String>,
    #[arg(long, env = "FLEET_TEST_PLAIN")]
    plain: bool,
    #[arg(long, default_value_t = 4)]
    slots: u32,
    #[arg(long)]
    url: String,
    #[arg(long, value_enum, default_value = "text")]
    log_format: Format,
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn read(text: &str, argv: &[&str]) -> Result<Settings, String> {
    let folder = std::env::temp_dir().join(format!(
        "fleet-settings-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("fleet.toml");
    std::fs::write(&file, text).unwrap();
    let argv = ["example"].iter().chain(argv);
    let settings = parse(Command::new("example"), Some(file.clone()), argv);
    std::fs::remove_dir_all(&folder).unwrap();
    settings.map_err(|error| match error {
        Error::Usage(error) => error.to_string(),
        error => error
            .to_string()
            .replace(&file.display().to_string(), "fleet.toml"),
    })
}

const URL: &str = "url = \"https://fleet\"\n";

#[test]
fn a_file_gives_what_flags_give() {
    let settings = read(
        r#"
            url = "https://fleet"
            listen = "127.0.0.1:1"
            orphan-deadline = "10m"
            reserve = 4096
            name = ["a", "b"]
            label = "one"
            plain = true
            slots = 8
            log-format = "json"
        "#,
        &[],
    );
    let expected = Settings {
        listen: "127.0.0.1:1".parse().unwrap(),
        orphan_deadline: Duration::from_secs(600),
        reserve: Some(4096),
        name: vec!["a".to_owned(), "b".to_owned()],
        label: vec!["one".to_owned()],
        plain: true,
        slots: 8,
        url: "https://fleet".to_owned(),
        log_format: Format::Json,
        config: None,
    };
    assert_eq!(settings, Ok(expected));
}

#[test]
fn what_the_file_does_not_say_has_its_default() {
    let settings = read(URL, &[]).unwrap();
    assert_eq!(settings.slots, 4);
    assert_eq!(settings.orphan_deadline, Duration::from_secs(30));
    assert!(settings.name.is_empty() && !settings.plain);
}

#[test]
fn a_flag_goes_before_the_file() {
    let text = format!("{URL}slots = 8\nlabel = ['a', 'b']\n");
    let settings = read(&text, &["--slots", "2", "--label=c", "--url", "https://b"]).unwrap();
    assert_eq!(settings.slots, 2);
    assert_eq!(settings.label, ["c"]);
    assert_eq!(settings.url, "https://b");
}

/// The environment is set for a process of its own, where it does no harm.
#[test]
fn the_environment_goes_before_the_file_and_a_flag_before_both() {
    if std::env::var_os("FLEET_TEST_LISTEN").is_some() {
        let text = format!("{URL}listen = '127.0.0.1:1'\nname = ['file']\nplain = true\n");
        let settings = read(&text, &[]).unwrap();
        assert_eq!(settings.listen.port(), 2);
        assert_eq!(settings.name, ["a", "b"]);
        assert!(!settings.plain);
        let settings = read(&text, &["--listen", "127.0.0.1:3"]).unwrap();
        assert_eq!(settings.listen.port(), 3);
        return;
    }
    let this = std::env::current_exe().unwrap();
    let test = "file::tests::the_environment_goes_before_the_file_and_a_flag_before_both";
    let done = Process::new(this)
        .args(["--exact", test])
        .envs([
            ("FLEET_TEST_LISTEN", "127.0.0.1:2"),
            ("FLEET_TEST_NAME", "a,b"),
            ("FLEET_TEST_PLAIN", "false"),
        ])
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
}

#[test]
fn errors_name_file_line_and_setting() {
    for (text, expected) in [
        (
            "# settings\nlisten_ = '127.0.0.1:1'\n",
            "fleet.toml:2: there is no setting `listen_`: did you mean `listen`?",
        ),
        (
            "orphan_deadline = '1m'",
            "fleet.toml:1: there is no setting `orphan_deadline`: did you mean `orphan-deadline`?",
        ),
        (
            "colour = 'red'",
            "fleet.toml:1: there is no setting `colour`: settings are the long flags that example --help shows",
        ),
        (
            "config = 'x'",
            "fleet.toml:1: there is no setting `config`: settings are the long flags that example --help shows",
        ),
        (
            "slots = 1\n\nlisten = 'here'",
            "fleet.toml:3: setting `listen`: `here`: invalid socket address syntax",
        ),
        (
            "orphan-deadline = 30",
            "fleet.toml:1: setting `orphan-deadline`: `30`: expected a duration like 500ms, 30s, 15m, 24h, 7d or 1h30m",
        ),
        (
            "log-format = 'xml'",
            "fleet.toml:1: setting `log-format`: `xml` is none of: text, json",
        ),
        (
            "plain = 'yes'",
            "fleet.toml:1: setting `plain`: expected true or false, got text",
        ),
        (
            "slots = [1, 2]",
            "fleet.toml:1: setting `slots`: it has one value, not a list",
        ),
        (
            "label = [\n  'a',\n  ['b'],\n]",
            "fleet.toml:3: setting `label`: it is no list",
        ),
        (
            "[people]\nlisten = 1",
            "fleet.toml:1: there is no setting `people`: settings are the long flags that example --help shows",
        ),
        (
            "slots = -1",
            "fleet.toml:1: setting `slots`: `-1`: -1 is not in 0..=4294967295",
        ),
        ("slots = 1\nslots = 2", "fleet.toml:2: duplicate key"),
    ] {
        assert_eq!(read(text, &[]).unwrap_err(), expected, "{text}");
    }
    let error = read("slots = \n", &[]).unwrap_err();
    assert!(error.starts_with("fleet.toml:1: "), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let missing = PathBuf::from("/nowhere/fleet.toml");
    let error = parse::<Settings>(Command::new("example"), Some(missing), ["example"]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "cannot read the settings in /nowhere/fleet.toml"
    );
}

#[test]
fn no_file_at_all_breaks_it() {
    let long = "x".repeat(100_000);
    for text in [
        &long,
        "\"\" = 1",
        "\u{0}",
        "a.b.c = 1",
        "name = []",
        "label = [[[[[[]]]]]]",
    ] {
        let _ = read(&format!("{URL}{text}"), &[]);
    }
}
