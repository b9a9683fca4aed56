//! Hashes of content: image tags, and what tells a running container or server from the files of today.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::common::Common;
use super::{Images, POOL_BACKENDS, Rendered, secure};
use crate::assets::{CONFIG_FOLDER, Sources};
use crate::settings::Settings;
use crate::topology::{Node, Topology, digits_of};

pub fn images(settings: &Settings, sources: &Sources) -> Images {
    let mut node = Fingerprint::default();
    node.add("PGDATA", settings.pgdata.as_bytes());
    node.add("EXTRA_PACKAGES", settings.extra_packages.as_bytes());
    for (path, content) in &sources.slave_template {
        let mounted = path.starts_with(CONFIG_FOLDER) || path.ends_with(".sh");
        if !mounted {
            node.add(path, content);
        }
    }
    let mut pool = Fingerprint::default();
    pool.add(
        "Dockerfile",
        sources.template("templates/pool.Dockerfile").as_bytes(),
    );
    Images {
        node: format!("pgcluster-node:{}", node.digits(12)),
        pool: format!("pgcluster-pool:{}", pool.digits(12)),
    }
}

/// The part of every service's fingerprint that they share.
pub fn base_spec(common: &Common<'_>, sources: &Sources) -> Fingerprint {
    let mut base = Fingerprint::default();
    base.add(
        "compose",
        sources.template("templates/docker-compose.yml.tera").as_bytes(),
    );
    base.add("override", &sources.compose_override);
    base.add("shm", common.sizing.shm_size.to_string().as_bytes());
    base.add("secrets", common.generation.to_string().as_bytes());
    // Who speaks only with those of another authority cannot be asked, and so not told of this one either.
    let authority = sources.certificates.as_ref().map(|made| made.authority.as_str());
    base.add("tls", authority.unwrap_or_default().as_bytes());
    base.add("tls", &[u8::from(common.tls)]);
    for value in [
        &common.bind,
        common.pgdata,
        common.postgres_user,
        common.postgres_db,
        common.replication_user,
        common.pool_user,
    ] {
        base.add("value", value.as_bytes());
    }
    base
}

/// For each node the fingerprint of what its container cannot take up while it runs.
///
/// It leaves out which other nodes there are, so that scaling recreates nothing.
pub fn node_specs(common: &Common<'_>, topology: &Topology, sources: &Sources) -> BTreeMap<String, String> {
    let mut base = base_spec(common, sources);
    base.add("image", common.node_image.as_bytes());
    base.add("volume", &[u8::from(common.in_volumes)]);
    base.add("common", &sources.slave_template["node-common.sh"]);
    let (mut master, mut slave) = (base.clone(), base);
    master.add("entrypoint", &sources.master["master-entrypoint.sh"]);
    slave.add("entrypoint", &sources.slave_template["slave-entrypoint.sh"]);
    let spec = |node: &Node| {
        let mut spec = if node.is_master() { &master } else { &slave }.clone();
        spec.add("port", node.port.to_string().as_bytes());
        spec.digits(16)
    };
    topology
        .nodes
        .iter()
        .map(|node| (node.service(), spec(node)))
        .collect()
}

/// The same for the pool, which reads its list of nodes again at a reload and nothing else.
pub fn pool_spec(common: &Common<'_>, topology: &Topology, sources: &Sources, files: &[Rendered]) -> String {
    let mut pool = base_spec(common, sources);
    pool.add("image", common.pool_image.as_bytes());
    pool.add(
        "certificate",
        secure::pool_fingerprint(sources).unwrap_or_default().as_bytes(),
    );
    // Behind PgBouncer it publishes none.
    let port = (!common.has_bouncer).then(|| topology.pool_port.to_string());
    pool.add("port", port.unwrap_or_default().as_bytes());
    // The list of nodes changes by scaling and is read again; its template does so by hand.
    pool.add(
        "backends",
        sources.template("templates/backends.conf.tera").as_bytes(),
    );
    for file in files.iter().filter(|file| file.path != POOL_BACKENDS) {
        pool.add(&file.path, &file.content);
    }
    pool.digits(16)
}

/// The same for PgBouncer. Its configuration holds the mode, so that each mode has a container of its own.
pub fn bouncer_spec(
    common: &Common<'_>,
    topology: &Topology,
    sources: &Sources,
    files: &[Rendered],
) -> String {
    let mut bouncer = base_spec(common, sources);
    bouncer.add("image", common.pool_image.as_bytes());
    bouncer.add(
        "certificate",
        secure::pool_fingerprint(sources).unwrap_or_default().as_bytes(),
    );
    bouncer.add("port", topology.pool_port.to_string().as_bytes());
    for file in files {
        bouncer.add(&file.path, &file.content);
    }
    bouncer.digits(16)
}

/// A hash over named parts, each with its length, so that no two lists of parts run together.
///
/// A clone goes on from what was added until then, without hashing it again.
#[derive(Clone, Default)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    pub fn add(&mut self, name: &str, content: &[u8]) {
        self.0.update(format!("{}:{name}{}:", name.len(), content.len()));
        self.0.update(content);
    }

    /// As [`Fingerprint::add`], for a content in pieces.
    pub fn add_pieces<'a>(&mut self, name: &str, content: impl Iterator<Item = &'a str> + Clone) {
        let length: usize = content.clone().map(str::len).sum();
        self.0.update(format!("{}:{name}{length}:", name.len()));
        for piece in content {
            self.0.update(piece);
        }
    }

    /// The first so many hexadecimal digits.
    pub fn digits(self, digits: usize) -> String {
        digits_of(&self.0.finalize(), digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lists_of_parts_run_together() {
        let of = |parts: &[(&str, &str)]| {
            let mut fingerprint = Fingerprint::default();
            for (name, content) in parts {
                fingerprint.add(name, content.as_bytes());
            }
            fingerprint.digits(16)
        };
        let one = of(&[("a", "bc"), ("d", "")]);
        assert_eq!(one, of(&[("a", "bc"), ("d", "")]));
        for other in [
            of(&[("a", "b"), ("c", "d")]),
            of(&[("ab", "c"), ("d", "")]),
            of(&[("a", "bcd")]),
            of(&[("d", ""), ("a", "bc")]),
        ] {
            assert_ne!(one, other);
        }
    }
}
