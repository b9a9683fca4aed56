//! What `TLS=on` adds: the files of certificates, and who may come in clear.

use std::collections::BTreeMap;

use super::{Rendered, filters, public};
use crate::assets::Sources;
use crate::settings::Settings;
use crate::topology::{MASTER_SERVICE, POOL_CERTIFICATE, SECRETS_FOLDER, TRUSTED_FILE, Topology, hex};

/// Where a server finds its key, its certificate and those that it trusts: one file, so that all change at once.
const PEM: &str = "/run/pgcluster/server.pem";

/// How a standby reaches the primary; the password is in a file inside the container.
pub fn primary_conninfo(settings: &Settings) -> String {
    let tls = match settings.tls {
        true => format!(" sslmode=verify-full sslrootcert={PEM}"),
        false => String::new(),
    };
    format!(
        "host={MASTER_SERVICE} port=5432 user={} passfile=/run/pgcluster/pgpass connect_timeout=5 \
         keepalives_idle=30 keepalives_interval=10 keepalives_count=3{tls}",
        filters::conninfo(&settings.replication.user)
    )
}

/// Where TLS is on, only who is inside the pool's own container comes in clear.
pub fn doors(tls: bool) -> &'static [[&'static str; 2]] {
    match tls {
        true => &[["hostssl", "all"], ["hostnossl", "127.0.0.1/32"]],
        false => &[["host", "all"]],
    }
}

/// The secrets, and what clients trust.
pub fn files(sources: &Sources) -> Vec<Rendered> {
    let Some(certificates) = &sources.certificates else {
        return Vec::new();
    };
    let secrets = certificates.files.iter().map(|(name, content)| Rendered {
        path: format!("{SECRETS_FOLDER}/{name}"),
        content: content.clone().into_bytes().into(),
        private: true,
    });
    secrets
        .chain([public(TRUSTED_FILE, certificates.trusted.as_str())])
        .collect()
}

/// The fingerprint of each node's file, as the node computes it too.
pub fn fingerprints(topology: &Topology, sources: &Sources) -> BTreeMap<u32, String> {
    let nodes = topology.nodes.iter();
    nodes
        .filter_map(|node| Some((node.id, fingerprint(sources, &node.certificate())?)))
        .collect()
}

/// The same for Pgpool-II and PgBouncer, which read theirs only when they start.
pub fn pool_fingerprint(sources: &Sources) -> Option<String> {
    fingerprint(sources, POOL_CERTIFICATE)
}

fn fingerprint(sources: &Sources, file: &str) -> Option<String> {
    let content = sources.certificates.as_ref()?.files.get(file)?;
    Some(hex(content.as_bytes(), 16))
}
