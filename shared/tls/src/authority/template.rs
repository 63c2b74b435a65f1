//! What stands in the certificates that an authority signs.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose as Purpose, GeneralSubtree, IsCa, KeyUsagePurpose as Usage,
    NameConstraints, SanType, SerialNumber,
};

use super::{Error, Validity};
use crate::certificate::{self, Role};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Certificates of authorities last ten years; they begin before any that they sign.
pub(super) fn ca_validity(now: SystemTime) -> Validity {
    Validity {
        from: now - 2 * DAY,
        until: now + 3650 * DAY,
    }
}

pub(super) fn root(instance: &str, now: SystemTime) -> CertificateParams {
    let mut params = plain(&format!("Fleet {instance} root"), ca_validity(now));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![Usage::KeyCertSign, Usage::CrlSign];
    params
}

pub(super) fn intermediate(instance: &str, role: Role, validity: Validity) -> CertificateParams {
    let (name, purposes) = match role {
        Role::Agent => ("agents", vec![Purpose::ClientAuth]),
        Role::Coordinator => (
            "coordinators",
            vec![Purpose::ServerAuth, Purpose::ClientAuth],
        ),
    };
    let mut params = plain(&format!("Fleet {instance} {name}"), validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![Usage::KeyCertSign, Usage::CrlSign];
    params.extended_key_usages = purposes;
    params.use_authority_key_identifier_extension = true;
    if role == Role::Agent {
        // No host can be called by a name that it signs.
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: Vec::new(),
            excluded_subtrees: vec![
                GeneralSubtree::DnsName(String::new()),
                GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
                GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
            ],
        });
    }
    params
}

/// A coordinator's certificate.
///
/// # Errors
/// [`Error::Name`].
pub(super) fn coordinator(
    instance: &str,
    node: &str,
    names: &[String],
    validity: Validity,
) -> Result<CertificateParams, Error> {
    let mut params = leaf(instance, Role::Coordinator, node, validity)?;
    params.extended_key_usages = vec![Purpose::ServerAuth, Purpose::ClientAuth];
    for name in names {
        params.subject_alt_names.push(host(name)?);
    }
    Ok(params)
}

/// An agent's certificate.
///
/// # Errors
/// [`Error::Name`].
pub(super) fn agent(
    instance: &str,
    name: &str,
    validity: Validity,
) -> Result<CertificateParams, Error> {
    let mut params = leaf(instance, Role::Agent, name, validity)?;
    params.extended_key_usages = vec![Purpose::ClientAuth];
    Ok(params)
}

fn leaf(
    instance: &str,
    role: Role,
    name: &str,
    validity: Validity,
) -> Result<CertificateParams, Error> {
    let wrong = || Error::Name(name.to_owned());
    if !certificate::is_name(name) {
        return Err(wrong());
    }
    let mut params = plain(name, validity);
    let uri = certificate::uri(instance, role, name);
    params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(|_| wrong())?)];
    params.key_usages = vec![Usage::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn plain(name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial());
    params.not_before = validity.from.into();
    params.not_after = validity.until.into();
    params
}

/// 128 random bits. The byte before them keeps the number positive and its length
/// the same.
fn serial() -> SerialNumber {
    let mut bytes = [1; 17];
    // Uniqueness matters little here: nothing is looked up by serial number. Without
    // randomness there would be no key either.
    let _ = getrandom::fill(&mut bytes[1..]);
    SerialNumber::from_slice(&bytes)
}

fn host(name: &str) -> Result<SanType, Error> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let wrong = || Error::Name(name.to_owned());
    if !rustls_pki_types::DnsName::try_from(name).is_ok_and(|_| !name.ends_with('.')) {
        return Err(wrong());
    }
    Ok(SanType::DnsName(
        name.to_owned().try_into().map_err(|_| wrong())?,
    ))
}
