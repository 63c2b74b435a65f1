//! Tokens are verified with OpenSSL, and the key survives.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::secret::Sealer;
use crate::store::{Embedded, Journal, Limits, Store as _};

/// An integer as DER has it.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap();
    let mut body = bytes[start..].to_vec();
    if body[0] & 0x80 != 0 {
        body.insert(0, 0);
    }
    [vec![2, u8::try_from(body.len()).unwrap()], body].concat()
}

fn openssl(folder: &Path, script: &str) -> String {
    let output = Command::new("sh")
        .args(["-euc", script])
        .current_dir(folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{words}");
    text
}

#[tokio::test]
async fn openssl_verifies_a_token_by_the_certificate() {
    let world = World::new().await;
    let person = world.sources.token(Role::Viewer, None);
    let answer = world.ask(Some(("ann", &person)), "").await;
    let token = answer.body["token"].as_str().unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let numbers = [integer(&signature[..32]), integer(&signature[32..])].concat();
    let der = [vec![0x30, u8::try_from(numbers.len()).unwrap()], numbers].concat();

    let folder = world.dir.path();
    std::fs::write(folder.join("certificate.pem"), world.key.certificate()).unwrap();
    std::fs::write(folder.join("signed"), signed).unwrap();
    std::fs::write(folder.join("signature"), der).unwrap();
    let verified = openssl(
        folder,
        "openssl x509 -in certificate.pem -noout -pubkey > public.pem
         openssl dgst -sha256 -verify public.pem -signature signature signed",
    );
    assert!(verified.contains("Verified OK"), "{verified}");

    let head = URL_SAFE_NO_PAD
        .decode(token.split('.').next().unwrap())
        .unwrap();
    let head: Value = serde_json::from_slice(&head).unwrap();
    assert_eq!(
        (&head["typ"], &head["alg"]),
        (&"JWT".into(), &"ES256".into())
    );
    let chain = head["x5c"][0].as_str().unwrap();
    assert_eq!(STANDARD.decode(chain).unwrap(), world.key.certificate_der());
    // As docker's libtrust: 30 bytes of the hash of the public key in base32.
    let kid = openssl(
        folder,
        "openssl pkey -pubin -in public.pem -outform der | openssl dgst -sha256 -binary \
         | head -c 30 | base32 | tr -d '\\n'",
    );
    assert_eq!(head["kid"].as_str().unwrap().replace(':', ""), kid);
}

#[tokio::test]
async fn key_survives_a_restart_and_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let sealer = Sealer::for_tests();
    let mut certificates = Vec::new();
    for _ in 0..2 {
        let store = Embedded::open(&dir.path().join("store.redb")).unwrap();
        let mut records = store.load().unwrap();
        let journal = Journal::start(store, Limits::default()).unwrap();
        let key = load_key(&mut records, &journal, &sealer).unwrap();
        assert!(records.0.is_empty());
        certificates.push(key.certificate().to_owned());
        journal.close().await;
    }
    assert_eq!(certificates[0], certificates[1]);
    let store = Embedded::open(&dir.path().join("store.redb")).unwrap();
    let records = store.load().unwrap();
    let kept: Value = serde_json::from_slice(&records.0["registry/key"]).unwrap();
    let sealed = kept["key"].as_str().unwrap();
    let text = sealed.rsplit(':').next().unwrap();
    // PKCS#8 of a P-256 key begins so.
    let clear = [0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a];
    let bytes = STANDARD.decode(text).unwrap();
    assert!(!bytes.windows(clear.len()).any(|window| window == clear));
}
