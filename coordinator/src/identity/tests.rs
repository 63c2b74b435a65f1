use std::time::Duration;

use fleet_proto::v1;
use fleet_tls::request::Key;

use super::*;
use crate::secret::Sealer;
use crate::store::{Journal, Records};

struct Fleet {
    identity: Identity,
    dir: tempfile::TempDir,
}

fn fleet(lifetime: Duration) -> Fleet {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::load(
        &mut Records::default(),
        Setup {
            journal: Journal::volatile(),
            sealer: Sealer::for_tests(),
            audit: Audit::open(&dir.path().join("audit.jsonl")).unwrap(),
            lifetime,
            operator: None,
        },
    )
    .unwrap();
    Fleet { identity, dir }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Fleet {
    fn token(&self, name: Option<&str>, ttl: Option<Duration>) -> String {
        let wish = Wish {
            tags: vec!["linux".into()],
            name: name.map(str::to_owned),
            run_untagged: true,
            protected_only: false,
            projects: None,
            ttl,
        };
        self.identity
            .create_join_token(wish, "ann")
            .unwrap()
            .0
            .secret
    }

    async fn join(&self, token: &str, name: &str, key: &Key) -> Result<v1::JoinResponse, Refused> {
        let request = v1::JoinRequest {
            token: token.to_owned(),
            csr: key.request().unwrap().into(),
            name: name.to_owned(),
            clock_unix_ms: now_ms(),
        };
        self.identity.join(request, None).await
    }

    fn peer(&self, chain: &str) -> Result<Peer, Refused> {
        self.identity.peer(&[der(chain)], None)
    }

    fn audit(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("audit.jsonl")).unwrap()
    }
}

/// The first certificate of a PEM text, as a connection shows it.
fn der(pem: &str) -> Vec<u8> {
    use base64::Engine as _;
    let body: String = pem
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('-'))
        .collect();
    base64::engine::general_purpose::STANDARD
        .decode(body)
        .unwrap()
}

#[tokio::test]
async fn token_makes_one_agent_and_a_lost_answer_is_given_again() {
    let fleet = fleet(DAY);
    let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
    let token = fleet.token(None, None);
    let joined = fleet.join(&token, "b1", &key).await.unwrap();
    assert_eq!((joined.agent.as_str(), joined.generation), ("b1", 1));
    assert_eq!(joined.tags, ["linux"]);
    assert_eq!(fleet.peer(&joined.certificate_chain).unwrap().agent, "b1");
    assert!(fleet.join(&token, "b1", &key).await.is_ok());
    let again = fleet.join(&token, "b2", &other).await.unwrap_err();
    assert!(again.to_string().starts_with("join_denied"), "{again}");
    assert!(fleet.audit().contains("token_used"));
}

#[tokio::test]
async fn tokens_that_are_expired_wrong_or_for_another_are_refused_alike() {
    let fleet = fleet(DAY);
    let key = Key::generate().unwrap();
    let expired = fleet.token(None, Some(Duration::from_millis(1)));
    std::thread::sleep(Duration::from_millis(5));
    let bound = fleet.token(Some("b1"), None);
    let mut wrong = fleet.token(None, None);
    wrong.pop();
    let mut said = Vec::new();
    for (token, name) in [(&expired, "b1"), (&bound, "b2"), (&wrong, "b1")] {
        said.push(fleet.join(token, name, &key).await.unwrap_err().to_string());
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    for why in [
        "expired token",
        "for agent b1 was used for b2",
        "wrong secret",
    ] {
        assert!(fleet.audit().contains(why), "{why}");
    }
    assert!(fleet.join(&bound, "", &key).await.is_ok());
}

#[tokio::test]
async fn many_failures_from_one_address_are_held_up() {
    let fleet = fleet(DAY);
    let key = Key::generate().unwrap();
    for _ in 0..10 {
        let refused = fleet.join("fjt_a_b", "b1", &key).await.unwrap_err();
        assert!(matches!(refused, Refused::Denied(_)));
    }
    let refused = fleet.join("fjt_a_b", "b1", &key).await.unwrap_err();
    assert!(matches!(refused, Refused::TooMany(_)));
}

#[tokio::test]
async fn certificates_that_are_expired_foreign_or_revoked_are_refused_with_words() {
    let (fleet, other) = (fleet(Duration::from_secs(1)), fleet(DAY));
    let key = Key::generate().unwrap();
    let short = fleet
        .join(&fleet.token(None, None), "b1", &key)
        .await
        .unwrap();
    let foreign = other
        .join(&other.token(None, None), "b1", &key)
        .await
        .unwrap();
    let refused = fleet.peer(&foreign.certificate_chain).unwrap_err();
    assert!(
        refused.to_string().contains("another authority"),
        "{refused}"
    );
    let refused = loop {
        match fleet.peer(&short.certificate_chain) {
            Err(refused) => break refused,
            Ok(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    assert!(refused.to_string().contains("has expired"), "{refused}");
    other.identity.revoke("b1").unwrap();
    let refused = other.peer(&foreign.certificate_chain).unwrap_err();
    assert!(refused.to_string().contains("was revoked"), "{refused}");
    assert!(matches!(refused, Refused::Revoked(_)));
    assert!(fleet.audit().contains("has expired"));
    assert!(fleet.identity.peer(&[], None).is_err());
}

#[tokio::test]
async fn copied_key_that_renews_after_the_original_locks_both_out() {
    let fleet = fleet(DAY);
    let key = Key::generate().unwrap();
    let joined = fleet
        .join(&fleet.token(None, None), "b1", &key)
        .await
        .unwrap();
    let peer = fleet.peer(&joined.certificate_chain).unwrap();
    let renew = |key: &Key, generation| v1::RenewRequest {
        csr: key.request().unwrap().into(),
        generation,
        clock_unix_ms: now_ms(),
    };
    let new = Key::generate().unwrap();
    let renewed = fleet.identity.renew(&peer, renew(&new, 1)).await.unwrap();
    assert_eq!(renewed.generation, 2);
    // The answer was lost: the same question has the same answer.
    let again = fleet.identity.renew(&peer, renew(&new, 1)).await.unwrap();
    assert_eq!(again.generation, 2);
    assert!(fleet.peer(&joined.certificate_chain).is_ok());
    let copy = Key::generate().unwrap();
    let refused = fleet
        .identity
        .renew(&peer, renew(&copy, 1))
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("possible_agent_clone"),
        "{refused}"
    );
    assert!(fleet.peer(&renewed.certificate_chain).is_err());
    assert!(fleet.audit().contains("possible_clone"));
}

#[tokio::test]
async fn clock_that_is_far_off_is_refused_with_the_difference() {
    let fleet = fleet(DAY);
    let behind = now_ms() - 20 * 60_000;
    let refused = fleet.identity.check_clock("b1", behind, None).unwrap_err();
    assert!(refused.to_string().contains("20 min behind"), "{refused}");
    assert!(fleet.audit().contains("20 min behind"));
    assert!(
        fleet
            .identity
            .check_clock("b1", now_ms() - 60_000, None)
            .is_ok()
    );
}
