//! The folder of each node and of the pool.

use std::collections::BTreeMap;

use tera::{Context, Tera};

use super::configured::{self, Configured};
use super::fingerprint::Fingerprint;
use super::{POOL_BACKENDS, Rendered, public, run};
use crate::assets::{CONFIG_FOLDER, LOCAL_CONF, Sources};
use crate::error::Failure;
use crate::extensions::{self, TEMPLATE};
use crate::settings::Settings;
use crate::topology::{NEWBORN_FOLDER, Node};

/// Stands for the hash of the configuration, which is a hash over the text that it stands in.
const HASH_TO_COME: &str = "hash-to-come";

/// What the nodes of a kind share: the user's files, from where they are, and the hash of them.
pub struct Kind<'a> {
    files: Vec<(&'a String, &'a Vec<u8>)>,
    hash: Fingerprint,
}

impl<'a> Kind<'a> {
    pub fn of(folder: &'a BTreeMap<String, Vec<u8>>) -> Kind<'a> {
        let files = folder.iter();
        let files: Vec<_> = files
            .filter(|(path, _)| path.starts_with(CONFIG_FOLDER) && !is_tool_owned(path))
            .collect();
        let mut hash = Fingerprint::default();
        for (path, content) in &files {
            hash.add(path, content);
        }
        Kind { files, hash }
    }
}

/// A node's configuration, entrypoint and the fingerprint of its configuration.
///
/// `cluster*.conf` are the tool's. For a replica the rest comes from `slave-template/`, except `local.conf`;
/// the master's own files are the user's and stay as they are.
pub fn node(
    tera: &Tera,
    context: &mut Context,
    sources: &Sources,
    kind: &Kind<'_>,
    node: &Node,
) -> Result<(Vec<Rendered>, String), Failure> {
    let folder = node.title();
    context.insert(
        "node",
        &BTreeMap::from([("name", node.name()), ("slot", node.name())]),
    );
    // Including one that is not there is a line of log at every look at the files.
    context.insert("has_local", &sources.locals.contains_key(&node.id));
    context.insert("config_hash", HASH_TO_COME);
    let mut fingerprint = kind.hash.clone();
    if let Some(local) = sources.locals.get(&node.id) {
        fingerprint.add(LOCAL_CONF, local);
    }
    let hba = run(tera, "templates/cluster_hba.conf.tera", context)?;
    let ident = sources.template("templates/cluster_ident.conf");
    let without_hash = run(tera, "templates/cluster.conf.tera", context)?;
    for part in [&hba, ident, &without_hash] {
        fingerprint.add("", part.as_bytes());
    }
    let config_hash = fingerprint.digits(16);
    let cluster = without_hash.replace(HASH_TO_COME, &config_hash);

    let mut files = vec![
        public(format!("{folder}/config/cluster.conf"), cluster),
        public(format!("{folder}/config/cluster_hba.conf"), hba),
        public(format!("{folder}/config/cluster_ident.conf"), ident),
        public(
            format!("{folder}/node-common.sh"),
            sources.slave_template["node-common.sh"].clone(),
        ),
    ];
    if !node.is_master() {
        for (path, content) in &kind.files {
            files.push(public(format!("{folder}/{path}"), content.as_slice()));
        }
        files.push(public(
            format!("{folder}/slave-entrypoint.sh"),
            sources.slave_template["slave-entrypoint.sh"].clone(),
        ));
    }
    Ok((files, config_hash))
}

/// What the node's server will read: the user's files and `rendered`, from `cluster.conf` on.
pub fn configured(sources: &Sources, node: &Node, rendered: &[Rendered]) -> Configured {
    let users = match node.is_master() {
        true => &sources.master,
        false => &sources.slave_template,
    };
    let own = users
        .iter()
        .map(|(path, content)| (path.clone(), content.as_slice()));
    let mut files: BTreeMap<String, &[u8]> = own.collect();
    let prefix = format!("{}/", node.title());
    let below = |path: &str| path.strip_prefix(&prefix).map(str::to_owned);
    files.extend(
        rendered
            .iter()
            .filter_map(|file| Some((below(&file.path)?, file.content.as_slice()))),
    );
    files.remove(LOCAL);
    if let Some(local) = sources.locals.get(&node.id) {
        files.insert(LOCAL.to_owned(), local);
    }
    configured::read("config/cluster.conf", &files)
}

/// What Pgpool-II will read.
pub fn pool_configured(rendered: &[Rendered]) -> Configured {
    let files = rendered
        .iter()
        .map(|file| (file.path.clone(), file.content.as_slice()));
    configured::read("pgpool/pgpool.conf", &files.collect::<BTreeMap<_, _>>())
}

/// A node's own file, from its folder.
const LOCAL: &str = "config/local.conf";

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
        content: content.into(),
        private: true,
    }
}

/// What Pgpool reads, and what its image is built from.
pub fn pool(tera: &Tera, context: &Context, sources: &Sources) -> Result<Vec<Rendered>, Failure> {
    Ok(vec![
        public(POOL_BACKENDS, run(tera, "templates/backends.conf.tera", context)?),
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
        public(
            "pgpool/pool-refresh.sh",
            sources.template("templates/pool-refresh.sh"),
        ),
        public(
            "pgpool/pool-sessions.sh",
            sources.template("templates/pool-sessions.sh"),
        ),
        public(
            "pgpool/node-common.sh",
            sources.slave_template["node-common.sh"].clone(),
        ),
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
        public(
            "pgbouncer/node-common.sh",
            sources.slave_template["node-common.sh"].clone(),
        ),
    ])
}
