//! The cluster's own authority, and the certificates that it gives its servers where `TLS=on`: which of those that are
//! there are good for longer, and new ones for the others. Pure, but for the randomness of keys.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use x509_cert::der::Decode;

/// The file of the authority among the secrets: its key, its certificate, then those of authorities before it.
pub const AUTHORITY: &str = "tls_ca";

const DAY: Duration = Duration::from_secs(86_400);
const SERVER_LIFE: Duration = Duration::from_secs(365 * 86_400);
/// A server's certificate is replaced when it ends within so long.
const SERVER_RESERVE: Duration = Duration::from_secs(30 * 86_400);
const AUTHORITY_LIFE: Duration = Duration::from_secs(3650 * 86_400);
/// No certificate outlives the authority that signed it.
const AUTHORITY_RESERVE: Duration = Duration::from_secs(396 * 86_400);

/// What every server has, and what clients trust.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// Certificates of the authority and of those before it that have not ended, as PEM.
    pub trusted: String,
    /// The certificate that signs, as PEM: another one is another authority.
    pub authority: String,
    /// File among the secrets → content. A server's holds its key, its certificate and [`Self::trusted`].
    pub files: BTreeMap<String, String>,
}

/// Certificates for `servers`, from the file of each to the host names and addresses by which it is reached.
///
/// Those of `there` stay, byte for byte, while they are valid for all names and the authority, and for some time.
/// `now` counts from 1970.
///
/// # Errors
/// A name that no certificate can hold.
pub fn renewed(
    there: &BTreeMap<String, Vec<u8>>,
    servers: &BTreeMap<String, Vec<String>>,
    now: Duration,
) -> Result<Certificates> {
    let before = there.get(AUTHORITY).map_or("", |file| text(file));
    let kept = Pair::read(before).filter(|pair| pair.lasts_until(now + AUTHORITY_RESERVE));
    let authority = match kept {
        Some(pair) => pair,
        None => Pair::authority(now)?,
    };
    let is_former = |pem: &&str| *pem != authority.certificate && ends_at(pem).is_some_and(|end| end > now);
    let former: String = blocks(before)
        .into_iter()
        .filter(|block| is_certificate(block))
        .filter(is_former)
        .collect();
    let trusted = format!("{}{former}", authority.certificate);
    let mut files = BTreeMap::from([(AUTHORITY.to_owned(), format!("{}{trusted}", authority.key))]);
    for (file, names) in servers {
        let old = there.get(file).and_then(|file| Pair::read(text(file)));
        let pair = match old.filter(|pair| pair.serves(names, &authority, now)) {
            Some(pair) => pair,
            None => Pair::signed(names, &authority, now)?,
        };
        files.insert(file.clone(), format!("{}{}{trusted}", pair.key, pair.certificate));
    }
    Ok(Certificates {
        trusted,
        authority: authority.certificate,
        files,
    })
}

/// The authorities' certificates in what is `there`, as PEM: also where TLS is off now, servers may not know it yet.
pub fn trusted(there: &BTreeMap<String, Vec<u8>>) -> Option<String> {
    let file = there.get(AUTHORITY).map(|file| blocks(text(file)))?;
    Some(file.into_iter().filter(|block| is_certificate(block)).collect())
}

/// The certificates in a PEM text, for whom trusts them.
pub fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok));
    roots
}

/// A key and its certificate, each as a block of PEM.
struct Pair {
    key: String,
    certificate: String,
}

impl Pair {
    /// The first two blocks, if they belong together.
    fn read(text: &str) -> Option<Pair> {
        let blocks = blocks(text);
        let (key, certificate) = (blocks.first()?, blocks.get(1)?);
        let der = der(certificate)?;
        let parsed = x509_cert::Certificate::from_der(&der).ok()?;
        let public = parsed.tbs_certificate.subject_public_key_info.subject_public_key;
        (public.raw_bytes() == read_key(key)?.public_key_raw()).then(|| Pair {
            key: (*key).to_owned(),
            certificate: (*certificate).to_owned(),
        })
    }

    fn authority(now: Duration) -> Result<Pair> {
        let key = KeyPair::generate()?;
        let params = authority_params(now);
        Ok(Pair {
            certificate: params.self_signed(&key)?.pem(),
            key: key.serialize_pem(),
        })
    }

    fn signed(names: &[String], authority: &Pair, now: Duration) -> Result<Pair> {
        let mut params = CertificateParams::new(names)?;
        params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(DAY);
        params.not_after = date_time_ymd(1970, 1, 1) + now + SERVER_LIFE;
        params.distinguished_name = rcgen::DistinguishedName::new();
        let name = names.first().map_or("", String::as_str);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let signing = read_key(&authority.key).context("the key of the authority cannot be used")?;
        let key = KeyPair::generate()?;
        let signed = params.signed_by(&key, &Issuer::new(authority_params(now), signing))?;
        Ok(Pair {
            certificate: signed.pem(),
            key: key.serialize_pem(),
        })
    }

    fn lasts_until(&self, time: Duration) -> bool {
        ends_at(&self.certificate).is_some_and(|end| end >= time)
    }

    /// Whether a client that trusts `authority` takes it for each of `names`, now and for a while.
    fn serves(&self, names: &[String], authority: &Pair, now: Duration) -> bool {
        let Some(der) = der(&self.certificate) else {
            return false;
        };
        let Ok(parsed) = ParsedCertificate::try_from(&der) else {
            return false;
        };
        let (roots, algorithms) = (
            roots(&authority.certificate),
            ring::default_provider().signature_verification_algorithms,
        );
        let is_valid = |time: Duration| {
            let time = UnixTime::since_unix_epoch(time);
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], time, algorithms.all).is_ok()
        };
        let is_for = |name: &String| {
            let name = ServerName::try_from(name.as_str());
            name.is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
        };
        is_valid(now) && is_valid(now + SERVER_RESERVE) && names.iter().all(is_for)
    }
}

fn authority_params(now: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(DAY);
    params.not_after = date_time_ymd(1970, 1, 1) + now + AUTHORITY_LIFE;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "pgcluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn read_key(pem: &str) -> Option<KeyPair> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    KeyPair::try_from(&key).ok()
}

fn der(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

/// When a certificate ends, counted from 1970.
fn ends_at(pem: &str) -> Option<Duration> {
    let der = der(pem)?;
    let parsed = x509_cert::Certificate::from_der(&der).ok()?;
    Some(parsed.tbs_certificate.validity.not_after.to_unix_duration())
}

fn is_certificate(block: &str) -> bool {
    block.starts_with("-----BEGIN CERTIFICATE-----")
}

/// Each block of a PEM text with the end of its last line; what stands between them is left out.
fn blocks(text: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let mut start = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("-----BEGIN ") {
            start = Some(at);
        }
        at += line.len();
        if line.starts_with("-----END ")
            && let Some(start) = start.take()
        {
            blocks.push(&text[start..at]);
        }
    }
    blocks
}

fn text(file: &[u8]) -> &str {
    std::str::from_utf8(file).unwrap_or_default()
}

#[cfg(test)]
mod tests;
