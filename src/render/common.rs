//! What every template sees of the settings.

use serde::Serialize;

use super::{Images, secure};
use crate::assets::Sources;
use crate::extensions;
use crate::settings::{self, Choice, DataPlace, Settings, Sizing};
use crate::topology::Topology;

/// Counts how often a password was changed, so that containers which hold the old one are told by their fingerprint.
/// A hash of the passwords would serve too, and tell everyone who can run `docker inspect` whether a guess is right.
pub const GENERATION: &str = "generation";

/// What every template sees.
#[derive(Serialize)]
pub struct Common<'a> {
    pub project: &'a str,
    pub node_image: &'a str,
    pub pool_image: &'a str,
    pub pgdata: &'a str,
    pub bind: String,
    pub postgres_user: &'a str,
    pub postgres_db: &'a str,
    pub replication_user: &'a str,
    pub pool_user: &'a str,
    /// Only this machine reaches the published ports.
    pub on_loopback: bool,
    pub pool_needs_passwords: bool,
    pub tls: bool,
    /// Of pool_hba.conf: the kinds of connections that are let in, each with whence.
    pub doors: &'static [[&'static str; 2]],
    pub extra_packages: &'a str,
    pub generation: u64,
    /// The words of `.env`.
    pub connection_mode: &'static str,
    /// PgBouncer stands in front of Pgpool-II.
    pub has_bouncer: bool,
    pub read_consistency: &'static str,
    pub query_cache: &'static str,
    pub profile: &'static str,
    /// The numbers of the profile, by their own names.
    #[serde(flatten)]
    pub sizing: Sizing,
    /// Seconds.
    pub cache_ttl: u32,
    /// Bytes.
    pub max_replica_lag: u64,
    /// Data in named volumes rather than in the folders of the nodes.
    pub in_volumes: bool,
    pub extensions: &'a [String],
    pub extensions_in_template: bool,
    /// For `shared_preload_libraries`.
    pub preload_libraries: String,
    /// How a standby reaches the primary.
    pub primary_conninfo: String,
}

impl<'a> Common<'a> {
    pub fn of(settings: &'a Settings, topology: &'a Topology, sources: &Sources, images: &'a Images) -> Self {
        Common {
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
            tls: settings.tls,
            doors: secure::doors(settings.tls),
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
            primary_conninfo: secure::primary_conninfo(settings),
        }
    }
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
