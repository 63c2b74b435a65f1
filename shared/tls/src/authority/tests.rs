use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    SystemTime::now()
}

fn authority() -> Authority {
    Authority::load(&Parts::create("4f", now()).unwrap()).unwrap()
}

fn valid(from: SystemTime, lifetime: Duration) -> Validity {
    Validity {
        from,
        until: from + lifetime,
    }
}

fn agent(authority: &Authority, validity: Validity) -> (Key, CertificateDer<'static>) {
    let key = Key::generate().unwrap();
    let request = Request::from_der(&key.request().unwrap()).unwrap();
    let chain = authority.issue_agent("b3", &request, validity).unwrap();
    (key, certificates(&chain).unwrap().swap_remove(0))
}

#[test]
fn an_agent_is_known_by_its_certificate() {
    let authority = authority();
    let (key, leaf) = agent(&authority, valid(now() - BACKDATED, HOUR));
    let checked = authority.check_agent(&leaf, now()).unwrap();
    assert_eq!(
        (checked.role, checked.name.as_str(), &checked.key),
        (Role::Agent, "b3", &key.hash())
    );
    assert_eq!(checked.instance, "4f");
}

#[test]
fn what_a_request_says_of_itself_is_left_aside() {
    let key = Key::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["coordinator.example".to_owned()]).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "somebody else");
    let der = params.serialize_request(key.pair()).unwrap();
    let request = Request::from_der(der.der()).unwrap();
    let validity = valid(now() - BACKDATED, HOUR);
    let chain = authority().issue_agent("b3", &request, validity).unwrap();
    let leaf = certificates(&chain).unwrap().swap_remove(0);
    let parsed = certificate::parse(&leaf).unwrap();
    assert_eq!(parsed.subject().to_string(), "CN=b3");
    assert_eq!(Leaf::from_der(&leaf).unwrap().name, "b3");
    assert!(parsed.raw_serial().len() >= 16);
}

#[test]
fn an_expired_certificate_is_told_from_a_forged_one() {
    let (ours, theirs) = (authority(), authority());
    let old = valid(now() - 3 * HOUR, HOUR);
    let later = valid(now() + HOUR, HOUR);
    let (_, leaf) = agent(&ours, old);
    let Err(Rejected::Expired(leaf_said)) = ours.check_agent(&leaf, now()) else {
        panic!("it has expired");
    };
    assert_eq!(leaf_said.name, "b3");
    let (_, leaf) = agent(&ours, later);
    assert!(matches!(
        ours.check_agent(&leaf, now()),
        Err(Rejected::NotYetValid(_))
    ));
    // The same, of a fleet that has the same id.
    for validity in [old, later, valid(now() - BACKDATED, HOUR)] {
        let (_, leaf) = agent(&theirs, validity);
        assert_eq!(ours.check_agent(&leaf, now()), Err(Rejected::Foreign));
    }
}

#[test]
fn a_coordinator_is_no_agent() {
    let authority = authority();
    let issued = authority
        .issue_coordinator("c1", &["localhost".to_owned()], now(), HOUR)
        .unwrap();
    for certificate in certificates(&issued.chain).unwrap() {
        assert_eq!(
            authority.check_agent(&certificate, now()),
            Err(Rejected::NoAgent)
        );
    }
    assert_eq!(
        authority.check_agent(b"nothing", now()),
        Err(Rejected::NoAgent)
    );
}

#[test]
fn an_authority_is_the_same_after_it_was_kept() {
    let parts = Parts::create("4f", now()).unwrap();
    let (before, after) = (
        Authority::load(&parts).unwrap(),
        Authority::load(&parts).unwrap(),
    );
    assert_eq!(before.pin(), after.pin());
    let (_, leaf) = agent(&before, valid(now() - BACKDATED, HOUR));
    assert!(after.check_agent(&leaf, now()).is_ok());
}

#[test]
fn swapped_keys_are_found_when_an_authority_is_loaded() {
    let mut parts = Parts::create("4f", now()).unwrap();
    std::mem::swap(&mut parts.agents_key, &mut parts.coordinators_key);
    assert!(matches!(
        Authority::load(&parts),
        Err(Error::Mismatch { .. })
    ));
    parts.agents_key = "-----BEGIN EC PRIVATE KEY-----".to_owned();
    let error = Authority::load(&parts).unwrap_err();
    assert!(
        error.to_string().contains("openssl pkcs8 -topk8"),
        "{error}"
    );
}

#[test]
fn certificates_end_with_what_signed_them() {
    let parts = Parts::create("4f", now() - 3649 * 24 * HOUR).unwrap();
    let authority = Authority::load(&parts).unwrap();
    let (_, leaf) = agent(&authority, valid(now() - BACKDATED, 100 * 24 * HOUR));
    let leaf = Leaf::from_der(&leaf).unwrap();
    assert!(leaf.not_after <= now() + 25 * HOUR);
    let issued = authority
        .issue_coordinator("c1", &["localhost".to_owned()], now(), 100 * 24 * HOUR)
        .unwrap();
    assert!(Leaf::from_pem(&issued.chain).unwrap().not_after <= now() + 25 * HOUR);
}

#[test]
fn names_that_cannot_stand_in_a_certificate_are_refused() {
    let authority = authority();
    for name in [
        "",
        "a b",
        "a_b!",
        "https://host",
        "host:8443",
        "*.example",
        "host.",
    ] {
        let names = [name.to_owned()];
        let issued = authority.issue_coordinator("c1", &names, now(), HOUR);
        assert_eq!(issued.err(), Some(Error::Name(name.to_owned())));
    }
    let names = ["build-1", "ci.example.net", "127.0.0.1", "::1"].map(str::to_owned);
    assert!(
        authority
            .issue_coordinator("c1", &names, now(), HOUR)
            .is_ok()
    );
}

/// A CA as an operator has one: certificate and key.
fn operators(change: impl FnOnce(&mut rcgen::CertificateParams)) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = template::root("operator", now());
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn an_operators_own_ca_is_the_root() {
    let (pem, key) = operators(|_| ());
    let operator = Operator::load(&pem, &key, now()).unwrap();
    let parts = Parts::under(&operator, "4f", now()).unwrap();
    assert!(parts.root_key.is_none());
    let authority = Authority::load(&parts).unwrap();
    assert_eq!(authority.bundle(), operator.pem());
    let root = &certificates(&pem).unwrap()[0];
    assert_eq!(authority.pin(), Pin::of_certificate(root).unwrap());
    let (_, leaf) = agent(&authority, valid(now() - BACKDATED, HOUR));
    assert!(authority.check_agent(&leaf, now()).is_ok());
}

#[test]
fn an_operators_ca_that_cannot_serve_is_refused_with_the_reason() {
    type Change = fn(&mut rcgen::CertificateParams);
    let cases: [(Change, &str); 5] = [
        (|ca| ca.is_ca = rcgen::IsCa::NoCa, "of no CA"),
        (
            |ca| ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0)),
            "pathlen:0",
        ),
        (
            |ca| ca.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature],
            "keyCertSign",
        ),
        (|ca| ca.not_after = (now() - HOUR).into(), "expired"),
        (|ca| ca.not_before = (now() + HOUR).into(), "not valid yet"),
    ];
    for (change, reason) in cases {
        let (pem, key) = operators(change);
        let error = Operator::load(&pem, &key, now()).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
    let ((pem, _), (_, key)) = (operators(|_| ()), operators(|_| ()));
    assert!(matches!(
        Operator::load(&pem, &key, now()),
        Err(Error::Mismatch { .. })
    ));
}
