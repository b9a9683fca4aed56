//! The folder of each node and of the pool.

use std::collections::BTreeMap;
use std::sync::Arc;

use tera::{Context, Tera};

use super::configured::{self, Configured, OfNode};
use super::engine::run;
use super::fingerprint::Fingerprint;
use super::{POOL_BACKENDS, Rendered, public};
use crate::assets::{COMMON, CONFIG_FOLDER, LOCAL_CONF, Sources};
use crate::error::Failure;
use crate::extensions::{self, TEMPLATE};
use crate::settings::Settings;
use crate::topology::{NEWBORN_FOLDER, Node};

/// Stands for the hash of the configuration, which is a hash over the text that it stands in.
pub const HASH_TO_COME: &str = "hash-to-come";

pub const CLUSTER_CONF: &str = "config/cluster.conf";
pub const BACKENDS_TEMPLATE: &str = "templates/backends.conf.tera";

/// What the nodes of a kind share.
pub struct Kind<'a> {
    /// The user's files, of which PostgreSQL reads some.
    users: &'a BTreeMap<String, Vec<u8>>,
    /// By their paths below the folder of a node: what each has as it is.
    files: Vec<(&'a str, Arc<[u8]>)>,
    /// Of the user's configuration.
    hash: Fingerprint,
}

impl<'a> Kind<'a> {
    pub fn master(sources: &'a Sources) -> Kind<'a> {
        // Its own files are the user's, and stay as they are.
        Kind::of(sources, &sources.master).0
    }

    /// The user's files come from `slave-template/`.
    pub fn replica(sources: &'a Sources) -> Kind<'a> {
        let (mut kind, users) = Kind::of(sources, &sources.slave_template);
        let users = users.into_iter().map(|(path, content)| (path, content.into()));
        kind.files.extend(users);
        let entrypoint = sources.slave_template["slave-entrypoint.sh"].as_slice();
        kind.files.push(("slave-entrypoint.sh", entrypoint.into()));
        kind
    }

    fn of(
        sources: &'a Sources,
        users: &'a BTreeMap<String, Vec<u8>>,
    ) -> (Kind<'a>, Vec<(&'a str, &'a [u8])>) {
        let files = users
            .iter()
            .map(|(path, content)| (path.as_str(), content.as_slice()));
        let files: Vec<_> = files
            .filter(|(path, _)| path.starts_with(CONFIG_FOLDER) && !is_tool_owned(path))
            .collect();
        let mut hash = Fingerprint::default();
        for (path, content) in &files {
            hash.add(path, content);
        }
        let ident = sources.template(IDENT).as_bytes();
        let common = sources.slave_template["node-common.sh"].as_slice();
        let shared = vec![
            ("config/cluster_ident.conf", ident.into()),
            ("node-common.sh", common.into()),
        ];
        let files_of_kind = Kind {
            users,
            files: shared,
            hash,
        };
        (files_of_kind, files)
    }
}

/// What is rendered for a node, or for all replicas that differ in a few words only.
pub struct Own<'a> {
    pub hba: String,
    /// `cluster.conf`, in which its hash is still to come.
    pub cluster: String,
    pub local: Option<&'a Vec<u8>>,
}

impl<'a> Own<'a> {
    /// For the node that is `node` in `context`.
    pub fn render(
        tera: &Tera,
        context: &mut Context,
        local: Option<&'a Vec<u8>>,
    ) -> Result<Own<'a>, Failure> {
        // Including one that is not there is a line of log at every look at the files.
        context.insert("has_local", &local.is_some());
        Ok(Own {
            hba: run(tera, "templates/cluster_hba.conf.tera", context)?,
            cluster: run(tera, "templates/cluster.conf.tera", context)?,
            local,
        })
    }

    /// The fingerprint of the configuration, to which only `cluster.conf` has to be added.
    pub fn hash(&self, kind: &Kind<'_>, sources: &Sources) -> Fingerprint {
        let mut hash = kind.hash.clone();
        if let Some(local) = self.local {
            hash.add(LOCAL_CONF, local);
        }
        hash.add("", self.hba.as_bytes());
        hash.add("", sources.template(IDENT).as_bytes());
        hash
    }

    /// Everything in the node's folder but `cluster.conf`, by its path from there.
    pub fn files<'k>(&self, kind: &Kind<'k>) -> Vec<(&'k str, Arc<[u8]>)> {
        let mut files = kind.files.clone();
        files.push(("config/cluster_hba.conf", self.hba.as_bytes().into()));
        files
    }

    /// What the server will read from `files` and the user's, where `cluster` is its `cluster.conf`.
    pub fn configured(&self, kind: &Kind<'_>, files: &[(&str, Arc<[u8]>)], cluster: &str) -> Configured {
        let users = kind.users.iter();
        let mut all: BTreeMap<&str, &[u8]> = users
            .map(|(path, content)| (path.as_str(), content.as_slice()))
            .collect();
        all.extend(files.iter().map(|(path, content)| (*path, content.as_ref())));
        all.insert(CLUSTER_CONF, cluster.as_bytes());
        all.remove(LOCAL);
        if let Some(local) = self.local {
            all.insert(LOCAL, local);
        }
        configured::read(CLUSTER_CONF, &all)
    }
}

/// The folder of one node: every template run for it alone.
pub fn node(
    tera: &Tera,
    context: &mut Context,
    sources: &Sources,
    kind: &Kind<'_>,
    node: &Node,
    all: &mut Folders,
) -> Result<(), Failure> {
    let names = BTreeMap::from([("name", node.name()), ("slot", node.name())]);
    context.insert("node", &names);
    context.insert("config_hash", HASH_TO_COME);
    let own = Own::render(tera, context, sources.locals.get(&node.id))?;
    let mut hash = own.hash(kind, sources);
    hash.add("", own.cluster.as_bytes());
    let hash = hash.digits(16);
    let cluster = own.cluster.replace(HASH_TO_COME, &hash);
    let files = own.files(kind);
    let configured = own.configured(kind, &files, &cluster);
    all.add(&node.title(), &files, cluster);
    all.hashes.insert(node.id, hash);
    all.configured.insert(node.id, configured.into());
    Ok(())
}

/// The folders of the nodes.
#[derive(Default)]
pub struct Folders {
    pub files: Vec<Rendered>,
    /// Node → fingerprint of its configuration.
    pub hashes: BTreeMap<u32, String>,
    pub configured: BTreeMap<u32, OfNode>,
}

impl Folders {
    pub fn add(&mut self, folder: &str, files: &[(&str, Arc<[u8]>)], cluster: String) {
        let path = |below: &str| format!("{folder}/{below}");
        self.files.push(public(path(CLUSTER_CONF), cluster));
        self.files.extend(files.iter().map(|(below, content)| Rendered {
            path: path(below),
            content: content.clone(),
            private: false,
        }));
    }
}

/// What Pgpool-II will read from these files.
pub fn pool_configured<'a>(rendered: impl Iterator<Item = &'a Rendered>) -> OfNode {
    let files = rendered.map(|file| (file.path.as_str(), file.content.as_ref()));
    configured::read("pgpool/pgpool.conf", &files.collect::<BTreeMap<_, _>>()).into()
}

/// A node's own file, from its folder.
const LOCAL: &str = "config/local.conf";

const IDENT: &str = "templates/cluster_ident.conf";

/// Files of a configuration folder that never come from the user's template folder.
fn is_tool_owned(path: &str) -> bool {
    let name = path.strip_prefix(CONFIG_FOLDER).unwrap_or(path);
    name.starts_with("cluster") || name == LOCAL_CONF
}

/// What the master's entrypoint runs when it makes a cluster. They are no part of a fingerprint: in a cluster that is
/// there, `up` does the same.
pub fn extensions(settings: &Settings) -> [Rendered; 2] {
    let template = match settings.extensions_in_template {
        true => extensions::script(&settings.extensions, TEMPLATE),
        false => String::new(),
    };
    [
        public("master/config/cluster_template1.sql", template),
        public(
            "master/config/cluster_database.sql",
            extensions::script(&settings.extensions, &settings.database),
        ),
    ]
}

/// A file that is there so that its folder is, closed to others, before Docker would make it.
pub fn newborn() -> Rendered {
    let content = "A master that was just made puts a copy of itself here, which its first replicas unpack instead of each\n\
                   taking a base backup. It is removed once they have it, or after a minute.\n";
    Rendered {
        path: format!("{NEWBORN_FOLDER}/README"),
        content: content.as_bytes().into(),
        private: true,
    }
}

/// What Pgpool reads, and what its image is built from.
pub fn pool(
    tera: &Tera,
    context: &Context,
    sources: &Sources,
    backends: String,
) -> Result<Vec<Rendered>, Failure> {
    Ok(vec![
        public(POOL_BACKENDS, backends),
        public(
            "pgpool/pgpool.conf",
            run(tera, "templates/pgpool.conf.tera", context)?,
        ),
        public(
            "pgpool/pool_hba.conf",
            run(tera, "templates/pool_hba.conf.tera", context)?,
        ),
        public(
            "pgpool/pool-entrypoint.sh",
            sources.template("templates/pool-entrypoint.sh"),
        ),
        public(
            "pgpool/pool-logins.sh",
            sources.template("templates/pool-logins.sh"),
        ),
        public(
            "pgpool/pool-watch.sh",
            sources.template("templates/pool-watch.sh"),
        ),
        public("pgpool/pool-node.sh", sources.template("templates/pool-node.sh")),
        public(
            "pgpool/pool-refresh.sh",
            sources.template("templates/pool-refresh.sh"),
        ),
        public(
            "pgpool/pool-sessions.sh",
            sources.template("templates/pool-sessions.sh"),
        ),
        public("pgpool/node-common.sh", COMMON),
        public("pgpool/Dockerfile", sources.template("templates/pool.Dockerfile")),
    ])
}

/// What PgBouncer reads; it runs from the pool's image.
pub fn bouncer(tera: &Tera, context: &Context, sources: &Sources) -> Result<Vec<Rendered>, Failure> {
    Ok(vec![
        public(
            "pgbouncer/pgbouncer.ini",
            run(tera, "templates/pgbouncer.ini.tera", context)?,
        ),
        public(
            "pgbouncer/pgbouncer-entrypoint.sh",
            sources.template("templates/pgbouncer-entrypoint.sh"),
        ),
        public(
            "pgbouncer/pool-logins.sh",
            sources.template("templates/pool-logins.sh"),
        ),
        public(
            "pgbouncer/pool-refresh.sh",
            sources.template("templates/pool-refresh.sh"),
        ),
        public(
            "pgbouncer/pool-sessions.sh",
            sources.template("templates/pool-sessions.sh"),
        ),
        public("pgbouncer/node-common.sh", COMMON),
    ])
}
