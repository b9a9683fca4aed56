//! The folders of all replicas, where the templates are the built-in ones: rendered once for all that have the same
//! `local.conf`, with marks where they differ, and filled in for each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use tera::{Context, Tera};

use super::common::Common;
use super::configured::{Assigned, Configured, OfNode};
use super::fingerprint::Fingerprint;
use super::folders::{CLUSTER_CONF, Folders, HASH_TO_COME, Kind, Own};
use super::pattern::{Blank, MARK, Pattern, Words};
use super::{NodeView, Rendered};
use crate::assets::Sources;
use crate::error::Failure;
use crate::topology::Topology;

/// Whether the quick way gives what the plain one would. What a template of the user's makes of a mark is unknown, and
/// no setting may look like one.
pub fn is_right(sources: &Sources, common: &Common<'_>) -> bool {
    let built_in = |path: &String| !path.ends_with(".tera") || !sources.is_users(path);
    let values = serde_json::to_string(common).unwrap_or_else(|_| MARK.to_string());
    sources.templates.keys().all(built_in) && !values.contains(MARK) && !values.contains(HASH_TO_COME)
}

/// What each replica has for the blanks, as far as topology and fingerprints tell.
pub fn words(topology: &Topology, specs: &BTreeMap<String, String>) -> Vec<Words> {
    let replicas = topology.replicas().iter();
    let words = replicas.map(|node| {
        let (name, title, service) = (node.name(), node.title(), node.service());
        let spec = specs[&service].clone();
        [
            node.id.to_string(),
            name,
            title,
            service,
            node.port.to_string(),
            spec,
            String::new(),
        ]
    });
    words.collect()
}

/// The replicas that have the same `local.conf`, or none.
struct Group<'a> {
    /// Of the configuration, without `cluster.conf`.
    hash: Fingerprint,
    cluster: Pattern,
    /// By their paths in the folder of a replica; nothing stands for `cluster.conf`.
    files: Vec<(&'a str, Option<Arc<[u8]>>)>,
    configured: Arc<Configured>,
    /// Of `configured`, what differs: its name, where it stands, its value.
    own: Vec<(Arc<str>, Assigned, Pattern)>,
}

impl<'a> Group<'a> {
    fn new(sources: &Sources, kind: &Kind<'a>, own: &Own<'_>) -> Group<'a> {
        let files = own.files(kind);
        let configured = own.configured(kind, &files, &own.cluster);
        let is_ours = |assigned: &Assigned| *assigned.file == *CLUSTER_CONF && assigned.value.contains(MARK);
        let marked = configured.iter().filter(|(_, assigned)| is_ours(assigned));
        let marked = marked.map(|(name, assigned)| {
            (
                name.as_str().into(),
                assigned.clone(),
                Pattern::of(&assigned.value),
            )
        });
        let marked = marked.collect();
        let mut files: Vec<_> = files
            .into_iter()
            .map(|(path, content)| (path, Some(content)))
            .collect();
        files.push((CLUSTER_CONF, None));
        files.sort_by_key(|(path, _)| *path);
        Group {
            hash: own.hash(kind, sources),
            cluster: Pattern::of(&own.cluster),
            files,
            configured: Arc::new(configured),
            own: marked,
        }
    }

    /// The fingerprint of the configuration of the replica with these words.
    fn hash(&self, words: &mut Words) {
        words[Blank::ConfigHash as usize] = HASH_TO_COME.to_owned();
        let mut hash = self.hash.clone();
        hash.add_pieces("", self.cluster.filled(words));
        words[Blank::ConfigHash as usize] = hash.digits(16);
    }

    fn add(&self, words: &Words, all: &mut Vec<Rendered>) {
        let folder = &words[Blank::Title as usize];
        let path = |below: &&str| [folder.as_str(), "/", below].concat();
        all.extend(self.files.iter().map(|(below, content)| Rendered {
            path: path(below),
            content: match content {
                Some(content) => content.clone(),
                None => self.cluster.text(words).into_bytes().into(),
            },
            private: false,
        }));
    }

    fn configured(&self, words: &Words) -> OfNode {
        let own = self.own.iter().map(|(name, assigned, value)| {
            let value = value.text(words);
            (
                name.clone(),
                Assigned {
                    value,
                    ..assigned.clone()
                },
            )
        });
        OfNode::new(self.configured.clone(), own.collect())
    }
}

/// Adds the folders of all replicas to `all`.
pub fn replicas(
    tera: &Tera,
    context: &Context,
    sources: &Sources,
    kind: &Kind<'_>,
    topology: &Topology,
    words: &mut [Words],
    all: &mut Folders,
) -> Result<(), Failure> {
    let mut context = context.clone();
    context.insert("node", &NodeView::marked());
    context.insert("config_hash", &Blank::ConfigHash.mark());
    let mut groups: BTreeMap<Option<&Vec<u8>>, Group<'_>> = BTreeMap::new();
    for node in topology.replicas() {
        let local = sources.locals.get(&node.id);
        if let Entry::Vacant(group) = groups.entry(local) {
            let own = Own::render(tera, &mut context, local)?;
            group.insert(Group::new(sources, kind, &own));
        }
    }
    // By their folders, as all files are in the end.
    let mut nodes: Vec<_> = topology.replicas().iter().zip(words).collect();
    nodes.sort_by(|(_, a), (_, b)| a[Blank::Title as usize].cmp(&b[Blank::Title as usize]));
    for (node, words) in nodes {
        let group = &groups[&sources.locals.get(&node.id)];
        group.hash(words);
        group.add(words, &mut all.files);
        all.hashes
            .insert(node.id, words[Blank::ConfigHash as usize].clone());
        all.configured.insert(node.id, group.configured(words));
    }
    Ok(())
}
