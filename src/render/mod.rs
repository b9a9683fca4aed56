//! Settings and topology → the files of the project folder. Pure: bytes in, bytes out.

pub mod bouncer;
mod common;
pub mod configured;
mod consistency;
mod draining;
#[cfg(test)]
mod effects;
mod engine;
pub mod filters;
mod fingerprint;
mod folders;
mod pattern;
mod quick;
mod secure;
#[cfg(test)]
mod tests;
mod unrolled;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tera::Context;

use self::common::{Common, GENERATION};
use self::configured::OfNode;
pub use self::consistency::HOT_STANDBY;
pub use self::draining::draining;
use self::engine::{broken, run};
use self::folders::{BACKENDS_TEMPLATE, Folders};
use self::pattern::Blank;
use crate::assets::Sources;
use crate::error::{Failure, Kind, Problem};
use crate::settings::{self, Settings};
use crate::topology::{BOUNCER_SERVICE, LOGINS_FILE, Node, POOL_SERVICE, SECRETS_FOLDER, Topology};

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
    /// Most replicas have most files alike.
    pub content: Arc<[u8]>,
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
    /// Node → fingerprint of its certificate; none where TLS is off.
    pub certificates: BTreeMap<u32, String>,
    /// Node → what its server will read from those files.
    pub configured: BTreeMap<u32, OfNode>,
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
struct NodeView<Number = u32> {
    name: String,
    title: String,
    service: String,
    dir: String,
    entrypoint: &'static str,
    port: Number,
    replica_id: Number,
    slot: String,
    spec: String,
}

/// Renders everything.
///
/// # Errors
/// A broken template, with its file and line as Tera reports them; configuration files that contradict each other.
pub fn render(settings: &Settings, topology: &Topology, sources: &Sources) -> Result<Rendering, Failure> {
    render_by(settings, topology, sources, true)
}

/// `quickly`: where that is known to give the same.
fn render_by(
    settings: &Settings,
    topology: &Topology,
    sources: &Sources,
    quickly: bool,
) -> Result<Rendering, Failure> {
    let images = fingerprint::images(settings, sources);
    let common = Common::of(settings, topology, sources, &images);
    let mut context = Context::from_serialize(&common).map_err(|error| broken(&error))?;
    let quickly = quickly && quick::is_right(sources, &common);
    let users;
    let tera = if quickly {
        &*engine::BUILT_IN
    } else {
        users = engine::of(sources)?;
        &users
    };

    let mut specs = fingerprint::node_specs(&common, topology, sources);
    let mut folders = Folders::default();
    let kind = folders::Kind::master(sources);
    folders::node(
        tera,
        &mut context,
        sources,
        &kind,
        topology.master(),
        &mut folders,
    )?;
    let kind = folders::Kind::replica(sources);
    let mut words = Vec::new();
    if quickly {
        words = quick::words(topology, &specs);
        quick::replicas(tera, &context, sources, &kind, topology, &mut words, &mut folders)?;
    } else {
        for node in topology.replicas() {
            folders::node(tera, &mut context, sources, &kind, node, &mut folders)?;
        }
        let nodes: Vec<NodeView> = topology.nodes.iter().map(|node| view(node, &specs)).collect();
        context.insert("nodes", &nodes);
        context.insert("replicas", &nodes[1..]);
    }
    let Folders {
        mut files,
        hashes: config_hashes,
        configured,
    } = folders;
    files.extend(folders::extensions(settings));

    let master = view(topology.master(), &specs);
    let of_all_nodes = |template: &str, context: &Context| match quickly {
        true => unrolled::run(tera, context, template, &master, &words),
        false => run(tera, template, context),
    };
    let backends = of_all_nodes(BACKENDS_TEMPLATE, &context)?;
    let pool_files = folders::pool(tera, &context, sources, backends)?;
    specs.insert(
        POOL_SERVICE.to_owned(),
        fingerprint::pool_spec(&common, topology, sources, &pool_files),
    );
    // The built-in list of nodes is long, and has nothing that is looked at.
    let read = pool_files.iter();
    let read = read.filter(|file| !quickly || file.path != POOL_BACKENDS);
    let pool_configured = folders::pool_configured(read);
    let problems = consistency::problems(topology, settings.profile, &configured, &pool_configured);
    Failure::unless_empty(Kind::Input, problems)?;
    files.extend(pool_files);
    let mut bouncer = bouncer::view(common.sizing.pool_children);
    if common.has_bouncer {
        context.insert("bouncer", &bouncer);
        let bouncer_files = folders::bouncer(tera, &context, sources)?;
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
    let compose = of_all_nodes(COMPOSE_TEMPLATE, &context)?;
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

    let secrets = settings::secrets(settings).map(|(name, secret)| (name, secret.to_owned()));
    let generation = (GENERATION, common.generation.to_string());
    for (name, content) in secrets.into_iter().chain([generation]) {
        files.push(Rendered {
            path: format!("{SECRETS_FOLDER}/{name}"),
            content: content.into_bytes().into(),
            private: true,
        });
    }
    // Written as it is, so that the folder is there, and closed to others, before Docker would make it.
    files.push(Rendered {
        path: LOGINS_FILE.to_owned(),
        content: sources.logins.as_slice().into(),
        private: true,
    });
    files.push(folders::newborn());
    files.extend(secure::files(sources));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Rendering {
        files,
        images,
        specs,
        config_hashes,
        certificates: secure::fingerprints(topology, sources),
        configured,
    })
}

fn public(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Rendered {
    Rendered {
        path: path.into(),
        content: content.into().into(),
        private: false,
    }
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
        port: node.port.into(),
        replica_id: node.id,
        slot: node.name(),
        spec: specs[&node.service()].clone(),
    }
}

impl NodeView<String> {
    /// Any replica, with marks for all that tells it from the others.
    fn marked() -> Self {
        NodeView {
            name: Blank::Name.mark(),
            title: Blank::Title.mark(),
            service: Blank::Service.mark(),
            dir: format!("./{}", Blank::Title.mark()),
            entrypoint: "slave-entrypoint.sh",
            port: Blank::Port.mark(),
            replica_id: Blank::Id.mark(),
            slot: Blank::Name.mark(),
            spec: Blank::Spec.mark(),
        }
    }
}
