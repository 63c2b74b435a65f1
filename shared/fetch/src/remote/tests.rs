use super::*;

fn remote(prefixes: &[&str], private: bool) -> (Remote, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let allowed = Allowed {
        prefixes: prefixes.iter().map(|it| (*it).to_owned()).collect(),
        private,
    };
    (Remote::new(allowed, folder.path().to_owned()), folder)
}

fn why(remote: &Remote, url: &str) -> Why {
    remote.get(url, None).unwrap_err().why
}

#[test]
fn a_prefix_is_a_whole_host_or_folder() {
    let allowed = |prefix: &str| Allowed {
        prefixes: vec![prefix.to_owned()],
        private: false,
    };
    assert!(allowed("https://").covers("https://any.example/x.yml"));
    assert!(allowed("https://a.example").covers("https://a.example/x.yml"));
    assert!(allowed("https://a.example/ci").covers("https://a.example/ci/x.yml"));
    assert!(!allowed("https://a.example").covers("https://a.example.evil.example/x.yml"));
    assert!(!allowed("https://a.example").covers("https://a.example@evil.example/x.yml"));
    assert!(!allowed("https://a.example").covers("https://a.example:8443/x.yml"));
    assert!(!allowed("https://a.example/ci").covers("https://a.example/cities/x.yml"));
}

#[test]
fn what_is_not_allowed_is_not_asked_for() {
    let (remote, _folder) = remote(&["https://"], false);
    for url in [
        "http://a.example/x.yml",
        "git://a.example/x.yml",
        "https://user@a.example/x.yml",
        "https://127.0.0.1/x.yml",
        "https://[::1]/x.yml",
        "https://localhost/x.yml",
        "https://2130706433/x.yml",
        "https://169.254.169.254/latest/meta-data/x.yml",
    ] {
        let why = why(&remote, url);
        assert!(matches!(why, Why::Blocked(_)), "{url}: {why:?}");
    }
}

#[test]
fn what_does_not_answer_is_tried_again() {
    let (remote, _folder) = remote(&["https://"], true);
    // Nothing has listened on this port for decades.
    let url = "https://127.0.0.1:1/x.yml";
    assert_eq!(why(&remote, url), Why::Socket { attempts: 3 });
}

#[test]
fn a_copy_is_good_for_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let copies = Copies::new(folder.path().to_owned());
    let hour = Duration::from_secs(3600);
    assert_eq!(copies.get("https://a.example/x.yml", hour), None);
    copies.put("https://a.example/x.yml", b"a").unwrap();
    let copy = || copies.get("https://a.example/x.yml", hour);
    assert_eq!(copy().as_deref(), Some(&b"a"[..]));
    assert_eq!(copies.get("https://a.example/y.yml", hour), None);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let file = std::fs::File::options()
            .write(true)
            .open(entry.unwrap().path())
            .unwrap();
        file.set_modified(std::time::SystemTime::now() - 2 * hour)
            .unwrap();
    }
    assert_eq!(copy(), None);
}

#[test]
fn a_redirect_leads_as_its_text_says() {
    let from = "https://a.example:8443/ci/x.yml?y=/z";
    for (location, to) in [
        ("https://b.example/y.yml", "https://b.example/y.yml"),
        ("//b.example/y.yml", "https://b.example/y.yml"),
        ("/y.yml", "https://a.example:8443/y.yml"),
        ("y.yml", "https://a.example:8443/ci/y.yml"),
        ("http://b.example/", "http://b.example/"),
    ] {
        assert_eq!(joined(from, location), to);
    }
}
