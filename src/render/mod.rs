//! Settings and topology → the files of the project folder. Pure: bytes in, bytes out.

pub mod filters;
mod fingerprint;

use std::collections::BTreeMap;

use serde::Serialize;
use tera::{Context, Tera};

use fingerprint::Fingerprint;

use crate::assets::{CONFIG_FOLDER, LOCAL_CONF, Sources};
use crate::error::{Failure, Kind, Problem};
use crate::settings::{self, Settings};
use crate::topology::{MASTER_SERVICE, Node, POOL_SERVICE, Topology};

/// The folder of what only the user and the tool may read.
pub const PRIVATE_FOLDER: &str = ".pgcluster";

/// Stands in the first line of every rendered Compose file, and tells it from a user's own.
pub const COMPOSE_MARK: &str = "Rendered by pgcluster";

/// The only file of the pool that changes when nodes come and go.
const POOL_BACKENDS: &str = "pgpool/backends.conf";

/// A file of the project folder that the tool owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// From the project folder, with forward slashes.
    pub path: String,
    pub content: Vec<u8>,
    /// Holds a secret: only its owner may read it.
    pub private: bool,
}

/// What the folder should hold, and the fingerprints by which a running cluster is compared with it.
#[derive(Clone, Debug)]
pub struct Rendering {
    pub files: Vec<Rendered>,
    pub images: Images,
    /// Compose service → fingerprint of everything that needs a new container when it changes.
    pub specs: BTreeMap<String, String>,
    /// Node → fingerprint of its configuration files.
    pub config_hashes: BTreeMap<u32, String>,
}

/// Image names with a tag made from their content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Images {
    pub node: String,
    pub pool: String,
}

/// What the Compose template sees of a node.
#[derive(Serialize)]
struct NodeView {
    name: String,
    title: String,
    service: String,
    dir: String,
    entrypoint: &'static str,
    port: u16,
    replica_id: u32,
    slot: String,
    spec: String,
}

/// What every template sees.
#[derive(Serialize)]
struct Common<'a> {
    project: &'a str,
    node_image: &'a str,
    pool_image: &'a str,
    pgdata: &'a str,
    bind: String,
    postgres_user: &'a str,
    postgres_db: &'a str,
    replication_user: &'a str,
    pool_user: &'a str,
    extra_packages: &'a str,
}

/// Renders everything.
///
/// # Errors
/// A broken template, with its file and line as Tera reports them.
pub fn render(settings: &Settings, topology: &Topology, sources: &Sources) -> Result<Rendering, Failure> {
    let tera = engine(sources)?;
    let images = fingerprint::images(settings, sources);
    let common = Common {
        project: &topology.project,
        node_image: &images.node,
        pool_image: &images.pool,
        pgdata: &settings.pgdata,
        bind: settings.bind.to_string(),
        postgres_user: &settings.admin.user,
        postgres_db: &settings.database,
        replication_user: &settings.replication.user,
        pool_user: &settings.pool.user,
        extra_packages: &settings.extra_packages,
    };
    let mut context = Context::from_serialize(&common).map_err(|error| broken(&error))?;
    context.insert("primary_conninfo", &primary_conninfo(settings));

    let mut files = Vec::new();
    let mut config_hashes = BTreeMap::new();
    for node in &topology.nodes {
        let (node_files, config_hash) = node_folder(&tera, &mut context, sources, node)?;
        files.extend(node_files);
        config_hashes.insert(node.id, config_hash);
    }

    let mut specs = fingerprint::node_specs(&common, topology, sources);
    let nodes: Vec<NodeView> = topology.nodes.iter().map(|node| view(node, &specs)).collect();
    context.insert("nodes", &nodes);
    context.insert("replicas", &nodes[1..]);
    let pool_files = pool_folder(&tera, &context, sources)?;
    specs.insert(
        POOL_SERVICE.to_owned(),
        fingerprint::pool_spec(&common, topology, sources, &pool_files),
    );
    files.extend(pool_files);

    let pool = BTreeMap::from([
        ("port", topology.pool_port.to_string()),
        ("spec", specs[POOL_SERVICE].clone()),
    ]);
    context.insert("pool", &pool);
    files.push(public(
        "docker-compose.yml",
        format!(
            "# {COMPOSE_MARK}: a change here is lost. Yours go into compose.override.yaml.\n{}",
            run(&tera, "templates/docker-compose.yml.tera", &context)?
        ),
    ));

    for (name, secret) in settings::secrets(settings) {
        files.push(Rendered {
            path: format!("{PRIVATE_FOLDER}/secrets/{name}"),
            content: secret.as_bytes().to_vec(),
            private: true,
        });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Rendering {
        files,
        images,
        specs,
        config_hashes,
    })
}

fn public(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Rendered {
    Rendered {
        path: path.into(),
        content: content.into(),
        private: false,
    }
}

fn engine(sources: &Sources) -> Result<Tera, Failure> {
    let mut tera = Tera::new();
    filters::register(&mut tera);
    let templates = sources
        .templates
        .iter()
        .filter(|(path, _)| path.ends_with(".tera"));
    tera.add_raw_templates(templates)
        .map_err(|error| broken(&error))?;
    Ok(tera)
}

fn run(tera: &Tera, template: &str, context: &Context) -> Result<String, Failure> {
    tera.render(template, context).map_err(|error| broken(&error))
}

fn broken(error: &tera::Error) -> Failure {
    let text = error.to_string();
    let mut lines = text.lines().map(str::to_owned);
    let what = lines.next().unwrap_or_default();
    Failure::new(
        Kind::Input,
        Problem::new(format!("a template is broken: {what}"))
            .evidence(lines.collect())
            .fix("correct the template, or remove your copy from templates/ to use the built-in one"),
    )
}

/// How a standby reaches the primary; the password is in a file inside the container.
fn primary_conninfo(settings: &Settings) -> String {
    format!(
        "host={MASTER_SERVICE} port=5432 user={} passfile=/run/pgcluster/pgpass connect_timeout=5 \
         keepalives_idle=30 keepalives_interval=10 keepalives_count=3",
        filters::conninfo(&settings.replication.user)
    )
}

/// A node's configuration, entrypoint and the fingerprint of its configuration.
///
/// `cluster*.conf` are the tool's. For a replica the rest comes from `slave-template/`, except `local.conf`;
/// the master's own files are the user's and stay as they are.
fn node_folder(
    tera: &Tera,
    context: &mut Context,
    sources: &Sources,
    node: &Node,
) -> Result<(Vec<Rendered>, String), Failure> {
    let folder = node.title();
    let user_files: Vec<(&String, &Vec<u8>)> = if node.is_master() {
        &sources.master
    } else {
        &sources.slave_template
    }
    .iter()
    .filter(|(path, _)| path.starts_with(CONFIG_FOLDER) && !is_tool_owned(path))
    .collect();

    context.insert(
        "node",
        &BTreeMap::from([("name", node.name()), ("slot", node.name())]),
    );
    context.insert("config_hash", "");
    let mut fingerprint = Fingerprint::default();
    for (path, content) in &user_files {
        fingerprint.add(path, content);
    }
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
    context.insert("config_hash", &config_hash);

    let mut files = vec![
        public(
            format!("{folder}/config/cluster.conf"),
            run(tera, "templates/cluster.conf.tera", context)?,
        ),
        public(format!("{folder}/config/cluster_hba.conf"), hba),
        public(format!("{folder}/config/cluster_ident.conf"), ident),
        public(
            format!("{folder}/node-common.sh"),
            sources.slave_template["node-common.sh"].clone(),
        ),
    ];
    if !node.is_master() {
        for (path, content) in user_files {
            files.push(public(format!("{folder}/{path}"), content.clone()));
        }
        files.push(public(
            format!("{folder}/slave-entrypoint.sh"),
            sources.slave_template["slave-entrypoint.sh"].clone(),
        ));
    }
    Ok((files, config_hash))
}

/// Files of a configuration folder that never come from the user's template folder.
fn is_tool_owned(path: &str) -> bool {
    let name = path.strip_prefix(CONFIG_FOLDER).unwrap_or(path);
    name.starts_with("cluster") || name == LOCAL_CONF
}

/// What Pgpool reads, and what its image is built from.
fn pool_folder(tera: &Tera, context: &Context, sources: &Sources) -> Result<Vec<Rendered>, Failure> {
    Ok(vec![
        public(POOL_BACKENDS, run(tera, "templates/backends.conf.tera", context)?),
        public(
            "pgpool/pgpool.conf",
            run(tera, "templates/pgpool.conf.tera", context)?,
        ),
        public(
            "pgpool/pool_hba.conf",
            sources.template("templates/pool_hba.conf"),
        ),
        public(
            "pgpool/pool-entrypoint.sh",
            sources.template("templates/pool-entrypoint.sh"),
        ),
        public(
            "pgpool/node-common.sh",
            sources.slave_template["node-common.sh"].clone(),
        ),
        public("pgpool/Dockerfile", sources.template("templates/pool.Dockerfile")),
    ])
}

fn view(node: &Node, specs: &BTreeMap<String, String>) -> NodeView {
    NodeView {
        name: node.name(),
        title: node.title(),
        service: node.service(),
        dir: format!("./{}", node.title()),
        entrypoint: if node.is_master() {
            "master-entrypoint.sh"
        } else {
            "slave-entrypoint.sh"
        },
        port: node.port,
        replica_id: node.id,
        slot: node.name(),
        spec: specs[&node.service()].clone(),
    }
}
