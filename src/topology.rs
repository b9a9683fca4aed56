//! What the cluster is made of: nodes with their names, ports and directories. Pure names, nothing observed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::settings::{ConnectionMode, ReadConsistency, Settings};

/// The folder of what only the user and the tool may read.
pub const PRIVATE_FOLDER: &str = ".pgcluster";

/// The files that Compose hands to the containers.
pub const SECRETS_FOLDER: &str = ".pgcluster/secrets";

/// How the names of files begin that are to be renamed into place.
pub const STAGED: &str = ".pgcluster-";

/// The certificates that clients trust where TLS is on, for everyone to read.
pub const TRUSTED_FILE: &str = "pgcluster-ca.crt";

/// The roles that `pgcluster user` made, with their passwords, in a folder that the pool sees.
pub const LOGINS_FILE: &str = ".pgcluster/logins/users";

/// Where the master's container puts a copy of its newly made cluster, for the first replicas.
pub const NEWBORN_FOLDER: &str = ".pgcluster/newborn";

pub const MASTER_SERVICE: &str = "postgres-master";
pub const POOL_SERVICE: &str = "pgpool-loadbalancer";
/// Only in the connection modes that need it.
pub const BOUNCER_SERVICE: &str = "pgbouncer";
const REPLICA_SERVICE: &str = "postgres-slave";
/// The file of the certificate that Pgpool-II and PgBouncer have, among the secrets.
pub const POOL_CERTIFICATE: &str = "tls_pool";

/// One PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// 0 is the master, N is replica N; also its slot number in Pgpool, for ever.
    pub id: u32,
    /// Port on this machine.
    pub port: u16,
}

impl Node {
    pub fn is_master(&self) -> bool {
        self.id == 0
    }

    /// The Compose service, which is its host name inside the network too.
    pub fn service(&self) -> String {
        service(self.id)
    }

    /// What users see, and its folder: `master`, `slave-1`.
    pub fn title(&self) -> String {
        title(self.id)
    }

    /// The file of its certificate among the secrets.
    pub fn certificate(&self) -> String {
        format!("tls_{}", self.name())
    }

    /// Its `cluster_name` and `application_name`, and for a replica its replication slot: `master`, `slave1`.
    pub fn name(&self) -> String {
        name(self.id)
    }
}

/// The Compose service of node `id`.
pub fn service(id: u32) -> String {
    match id {
        0 => MASTER_SERVICE.to_owned(),
        n => format!("{REPLICA_SERVICE}{n}"),
    }
}

/// The folder and title of node `id`.
pub fn title(id: u32) -> String {
    match id {
        0 => "master".to_owned(),
        n => format!("slave-{n}"),
    }
}

/// The node name of node `id`.
pub fn name(id: u32) -> String {
    match id {
        0 => "master".to_owned(),
        n => format!("slave{n}"),
    }
}

/// The replica number in a service name such as `postgres-slave12`.
pub fn replica_of_service(service: &str) -> Option<u32> {
    number(service.strip_prefix(REPLICA_SERVICE)?)
}

/// The replica number in a slot or node name such as `slave12`.
pub fn replica_of_name(name: &str) -> Option<u32> {
    number(name.strip_prefix("slave")?)
}

/// The node of a node name: `master`, `slave12`.
pub fn id_of_name(node: &str) -> Option<u32> {
    if node == name(0) {
        Some(0)
    } else {
        replica_of_name(node)
    }
}

/// The replica number in a folder name such as `slave-12`.
pub fn replica_of_folder(folder: &str) -> Option<u32> {
    number(folder.strip_prefix("slave-")?)
}

fn number(digits: &str) -> Option<u32> {
    let canonical = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    canonical.then(|| digits.parse().ok()).flatten()
}

/// The whole cluster.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Compose's project name, from the folder's absolute path.
    pub project: String,
    /// The project folder, absolute.
    pub folder: PathBuf,
    /// The master first, then the replicas by their numbers, among which there may be gaps.
    pub nodes: Vec<Node>,
    pub pool_port: u16,
    pub mode: ConnectionMode,
    /// A commit waits until every replica shows it.
    pub strict: bool,
    /// Bytes that a replica which gets reads may be behind.
    pub max_lag: u64,
}

impl Topology {
    pub fn new(folder: &Path, settings: &Settings) -> Self {
        let master = Node {
            id: 0,
            port: settings.master_port,
        };
        let replicas = (1..)
            .zip(&settings.replica_ports)
            .map(|(id, &port)| Node { id, port });
        Topology {
            project: project_name(folder),
            folder: folder.to_owned(),
            nodes: std::iter::once(master).chain(replicas).collect(),
            pool_port: settings.pool_port,
            mode: settings.mode,
            strict: settings.consistency == ReadConsistency::Strict,
            max_lag: settings.max_replica_lag,
        }
    }

    /// The same without the replicas that are not among `replicas`.
    pub fn only(mut self, replicas: &BTreeSet<u32>) -> Self {
        self.nodes
            .retain(|node| node.is_master() || replicas.contains(&node.id));
        self
    }

    pub fn master(&self) -> &Node {
        &self.nodes[0]
    }

    pub fn replicas(&self) -> &[Node] {
        &self.nodes[1..]
    }

    /// Who answers on the pool's port: PgBouncer where the mode has it, else Pgpool-II itself.
    pub fn entry_service(&self) -> &'static str {
        match self.mode.has_bouncer() {
            true => BOUNCER_SERVICE,
            false => POOL_SERVICE,
        }
    }

    /// Every service, in the order in which they depend on each other.
    pub fn services(&self) -> impl Iterator<Item = String> {
        let bouncer = self.mode.has_bouncer().then_some(BOUNCER_SERVICE);
        let pool = [POOL_SERVICE].into_iter().chain(bouncer).map(str::to_owned);
        self.nodes.iter().map(Node::service).chain(pool)
    }

    /// By which names clients reach each server that has a certificate: the certificate's file, and the names.
    ///
    /// Where the ports listen on every address, which those are is not known.
    pub fn certificate_names(&self, settings: &Settings) -> BTreeMap<String, Vec<String>> {
        let names = |hosts: &[&str]| {
            let here = ["localhost", "127.0.0.1", "::1"];
            let mut names: Vec<String> = hosts.iter().chain(&here).map(|name| (*name).to_owned()).collect();
            let address = settings.host().to_string();
            if !names.contains(&address) {
                names.push(address);
            }
            names
        };
        let nodes = self.nodes.iter();
        nodes
            .map(|node| (node.certificate(), names(&[&node.service()])))
            .chain([(
                POOL_CERTIFICATE.to_owned(),
                names(&[POOL_SERVICE, BOUNCER_SERVICE]),
            )])
            .collect()
    }

    pub fn has(&self, id: u32) -> bool {
        self.nodes.iter().any(|node| node.id == id)
    }
}

/// The numbers of the replicas that there will be, `count` of them, or as many as are left without `removed`.
///
/// The highest go first; the lowest that are free come first, those of `removed` excepted.
pub fn resized(there: &BTreeSet<u32>, count: Option<u32>, removed: &BTreeSet<u32>) -> BTreeSet<u32> {
    let mut ids: BTreeSet<u32> = there.difference(removed).copied().collect();
    let count = count.map_or(ids.len(), |count| count as usize);
    while ids.len() > count {
        ids.pop_last();
    }
    for id in (1..).filter(|id| !removed.contains(id)) {
        if ids.len() >= count {
            break;
        }
        ids.insert(id);
    }
    ids
}

/// A project name that two folders of the same base name do not share: `pgcluster-<base>-<8 hex of the path>`.
///
/// Compose allows lower-case letters, digits, `-` and `_`.
pub fn project_name(folder: &Path) -> String {
    let base: String = folder
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c))
        .take(20)
        .collect();
    let hash = hex(folder.as_os_str().as_encoded_bytes(), 8);
    match base.trim_matches(['-', '_']) {
        "" => format!("pgcluster-{hash}"),
        base => format!("pgcluster-{base}-{hash}"),
    }
}

/// The first `digits` hexadecimal digits of the SHA-256 of `bytes`.
pub fn hex(bytes: &[u8], digits: usize) -> String {
    digits_of(&Sha256::digest(bytes), digits)
}

/// The first so many hexadecimal digits of a hash.
pub fn digits_of(hash: &[u8], digits: usize) -> String {
    let digit = |at: usize| {
        let byte = hash[at / 2];
        let half = if at.is_multiple_of(2) {
            byte >> 4
        } else {
            byte & 15
        };
        char::from_digit(u32::from(half), 16)
    };
    (0..digits.min(hash.len() * 2)).filter_map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_go_first_and_gaps_are_filled_first() {
        fn check(there: &[u32], count: Option<u32>, removed: &[u32], expected: &[u32]) {
            let set = |ids: &[u32]| ids.iter().copied().collect::<BTreeSet<u32>>();
            let ids = resized(&set(there), count, &set(removed));
            assert_eq!(ids, set(expected), "{there:?} to {count:?} without {removed:?}");
        }
        check(&[1, 2, 3], Some(1), &[], &[1]);
        check(&[1, 3], Some(1), &[], &[1]);
        check(&[1, 3], None, &[], &[1, 3]);
        check(&[1, 3], Some(4), &[], &[1, 2, 3, 4]);
        check(&[1, 2, 3], None, &[2], &[1, 3]);
        check(&[1, 2, 3, 4], Some(2), &[1], &[2, 3]);
        // Another one takes its place.
        check(&[1, 2], Some(2), &[1], &[2, 3]);
        check(&[1], Some(0), &[], &[]);
        check(&[], Some(2), &[], &[1, 2]);
    }

    #[test]
    fn names_follow_the_contract() {
        let node = Node { id: 2, port: 5002 };
        assert_eq!(
            (node.service(), node.title(), node.name()),
            ("postgres-slave2".into(), "slave-2".into(), "slave2".into())
        );
    }

    #[test]
    fn only_canonical_numbers_are_replicas() {
        fn check(service: &str, expected: Option<u32>) {
            assert_eq!(replica_of_service(service), expected, "{service}");
        }
        check("postgres-slave12", Some(12));
        check("postgres-slave0", None);
        check("postgres-slave01", None);
        check("postgres-slave", None);
        check("postgres-slave1x", None);
        check("postgres-master", None);
    }

    #[test]
    fn project_names_are_valid_and_differ_by_path() {
        fn check(path: &str, prefix: &str) {
            let name = project_name(Path::new(path));
            assert!(name.starts_with(prefix), "{name}");
            assert!(
                name.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
            );
        }
        check("/a/My Cluster", "pgcluster-mycluster-");
        check("/a/数据", "pgcluster-");
        assert_ne!(project_name(Path::new("/a/db")), project_name(Path::new("/b/db")));
    }
}
