//! Settings and topology → the files of the project folder. Pure: bytes in, bytes out.

pub mod bouncer;
pub mod configured;
mod consistency;
mod draining;
#[cfg(test)]
mod effects;
pub mod filters;
mod fingerprint;
mod folders;

use std::collections::BTreeMap;

use serde::Serialize;
use tera::{Context, Tera};

use self::configured::Configured;
pub use self::consistency::HOT_STANDBY;
pub use self::draining::draining;
use crate::assets::Sources;
use crate::error::{Failure, Kind, Problem};
use crate::extensions;
use crate::settings::{self, Choice, DataPlace, Settings, Sizing};
use crate::topology::{
    BOUNCER_SERVICE, LOGINS_FILE, MASTER_SERVICE, Node, POOL_SERVICE, SECRETS_FOLDER, Topology,
};

/// Counts how often a password was changed, so that containers which hold the old one are told by their fingerprint.
/// A hash of the passwords would serve too, and tell everyone who can run `docker inspect` whether a guess is right.
const GENERATION: &str = "generation";

/// Stands in the first line of every rendered Compose file, and tells it from a user's own.
pub const COMPOSE_MARK: &str = "Rendered by pgcluster";

const COMPOSE_TEMPLATE: &str = "templates/docker-compose.yml.tera";

/// The only file of the pool that changes when nodes come and go.
pub const POOL_BACKENDS: &str = "pgpool/backends.conf";

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
    /// Node → what its server will read from those files.
    pub configured: BTreeMap<u32, Configured>,
}

/// Image names with a tag made from their content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Images {
    pub node: String,
    pub pool: String,
}

impl Images {
    pub fn contains(&self, image: &str) -> bool {
        self.node == image || self.pool == image
    }
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
pub struct Common<'a> {
    project: &'a str,
    node_image: &'a str,
    pool_image: &'a str,
    pgdata: &'a str,
    bind: String,
    postgres_user: &'a str,
    postgres_db: &'a str,
    replication_user: &'a str,
    pool_user: &'a str,
    /// Only this machine reaches the published ports.
    on_loopback: bool,
    pool_needs_passwords: bool,
    extra_packages: &'a str,
    generation: u64,
    /// The words of `.env`.
    connection_mode: &'static str,
    /// PgBouncer stands in front of Pgpool-II.
    has_bouncer: bool,
    read_consistency: &'static str,
    query_cache: &'static str,
    profile: &'static str,
    /// The numbers of the profile, by their own names.
    #[serde(flatten)]
    sizing: Sizing,
    /// Seconds.
    cache_ttl: u32,
    /// Bytes.
    max_replica_lag: u64,
    /// Data in named volumes rather than in the folders of the nodes.
    in_volumes: bool,
    extensions: &'a [String],
    extensions_in_template: bool,
    /// For `shared_preload_libraries`.
    preload_libraries: String,
}

/// Renders everything.
///
/// # Errors
/// A broken template, with its file and line as Tera reports them; configuration files that contradict each other.
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
        on_loopback: settings.bind.is_loopback(),
        pool_needs_passwords: settings.pool_needs_passwords(),
        extra_packages: &settings.extra_packages,
        generation: generation(settings, sources),
        connection_mode: settings.mode.word(),
        has_bouncer: settings.mode.has_bouncer(),
        read_consistency: settings.consistency.word(),
        query_cache: settings.cache.word(),
        profile: settings.profile.word(),
        sizing: settings.profile.sizing(),
        cache_ttl: settings.cache_ttl,
        max_replica_lag: settings.max_replica_lag,
        in_volumes: settings.data == DataPlace::Volume,
        extensions: &settings.extensions,
        extensions_in_template: settings.extensions_in_template,
        preload_libraries: extensions::libraries(&settings.extensions),
    };
    let mut context = Context::from_serialize(&common).map_err(|error| broken(&error))?;
    context.insert("primary_conninfo", &primary_conninfo(settings));

    let mut files = Vec::new();
    let mut config_hashes = BTreeMap::new();
    let mut configured = BTreeMap::new();
    let master = folders::Kind::of(&sources.master);
    let slave = folders::Kind::of(&sources.slave_template);
    for node in &topology.nodes {
        let kind = if node.is_master() { &master } else { &slave };
        let (node_files, config_hash) = folders::node(&tera, &mut context, sources, kind, node)?;
        configured.insert(node.id, folders::configured(sources, node, &node_files));
        files.extend(node_files);
        config_hashes.insert(node.id, config_hash);
    }

    files.extend(folders::extensions(settings));

    let mut specs = fingerprint::node_specs(&common, topology, sources);
    let nodes: Vec<NodeView> = topology.nodes.iter().map(|node| view(node, &specs)).collect();
    context.insert("nodes", &nodes);
    context.insert("replicas", &nodes[1..]);
    let pool_files = folders::pool(&tera, &context, sources)?;
    specs.insert(
        POOL_SERVICE.to_owned(),
        fingerprint::pool_spec(&common, topology, sources, &pool_files),
    );
    let pool_configured = folders::pool_configured(&pool_files);
    let problems = consistency::problems(topology, settings.profile, &configured, &pool_configured);
    Failure::unless_empty(Kind::Input, problems)?;
    files.extend(pool_files);
    let mut bouncer = bouncer::view(common.sizing.pool_children);
    if common.has_bouncer {
        context.insert("bouncer", &bouncer);
        let bouncer_files = folders::bouncer(&tera, &context, sources)?;
        bouncer.spec = fingerprint::bouncer_spec(&common, topology, sources, &bouncer_files);
        specs.insert(BOUNCER_SERVICE.to_owned(), bouncer.spec.clone());
        files.extend(bouncer_files);
    }
    context.insert("bouncer", &bouncer);

    let pool = BTreeMap::from([
        ("port", topology.pool_port.to_string()),
        ("spec", specs[POOL_SERVICE].clone()),
    ]);
    context.insert("pool", &pool);
    let compose = run(&tera, COMPOSE_TEMPLATE, &context)?;
    if sources.is_users(COMPOSE_TEMPLATE) {
        let volumes = match common.in_volumes {
            true => topology.nodes.iter().map(Node::title).collect(),
            false => Vec::new(),
        };
        check_parts(&compose, &specs, &volumes)?;
    }
    files.push(public(
        "docker-compose.yml",
        format!("# {COMPOSE_MARK}: a change here is lost. Yours go into compose.override.yaml.\n{compose}"),
    ));

    let secrets = settings::secrets(settings).map(|(name, secret)| (name, secret.as_bytes().to_vec()));
    let generation = (GENERATION, common.generation.to_string().into_bytes());
    for (name, content) in secrets.into_iter().chain([generation]) {
        files.push(Rendered {
            path: format!("{SECRETS_FOLDER}/{name}"),
            content,
            private: true,
        });
    }
    // Written as it is, so that the folder is there, and closed to others, before Docker would make it.
    files.push(Rendered {
        path: LOGINS_FILE.to_owned(),
        content: sources.logins.clone(),
        private: true,
    });
    files.push(folders::newborn());
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Rendering {
        files,
        images,
        specs,
        config_hashes,
        configured,
    })
}

/// One more than before if any secret differs from what the containers were given.
fn generation(settings: &Settings, sources: &Sources) -> u64 {
    let before = sources
        .secrets
        .get(GENERATION)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let before: u64 = String::from_utf8_lossy(before).parse().unwrap_or(0);
    let changed = settings::secrets(settings).iter().any(|(name, secret)| {
        sources
            .secrets
            .get(*name)
            .is_some_and(|old| old != secret.as_bytes())
    });
    before + u64::from(changed)
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

/// What a user's template gives must be YAML with every service that the tool will wait for, and every volume in which
/// it will look for data.
fn check_parts(compose: &str, specs: &BTreeMap<String, String>, volumes: &[String]) -> Result<(), Failure> {
    let problem = |what: String| {
        Problem::new(format!("{COMPOSE_TEMPLATE}: {what}"))
            .fix("correct the template, or remove your copy from templates/ to use the built-in one")
    };
    let parsed: serde_yaml::Value = serde_yaml::from_str(compose)
        .map_err(|error| Failure::new(Kind::Input, problem(format!("gives no valid YAML: {error}"))))?;
    let lacks = |kind: &str, name: &str| parsed.get(kind).and_then(|all| all.get(name)).is_none();
    let services = specs
        .keys()
        .filter(|service| lacks("services", service))
        .map(|service| problem(format!("gives no service {service}")));
    let volumes = volumes
        .iter()
        .filter(|volume| lacks("volumes", volume))
        .map(|volume| problem(format!("gives no volume {volume}, and DATA is `volume`")));
    let problems = services.chain(volumes).collect();
    Failure::unless_empty(Kind::Input, problems)
}

/// How a standby reaches the primary; the password is in a file inside the container.
fn primary_conninfo(settings: &Settings) -> String {
    format!(
        "host={MASTER_SERVICE} port=5432 user={} passfile=/run/pgcluster/pgpass connect_timeout=5 \
         keepalives_idle=30 keepalives_interval=10 keepalives_count=3",
        filters::conninfo(&settings.replication.user)
    )
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
