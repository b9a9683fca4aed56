//! The project's Compose files: the rendered one, and the user's override of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;

use crate::assets::{override_file, read_if_there};
use crate::docker::Compose;
use crate::error::{Failure, Kind, Problem};
use crate::render::COMPOSE_MARK;
use crate::topology;

const COMPOSE_FILE: &str = "docker-compose.yml";

/// Compose for the project in `folder`, with the files that are there.
pub fn compose<'a>(folder: &'a Path, project: &'a str) -> Compose<'a> {
    let file = folder.join(COMPOSE_FILE);
    let files = if file.exists() {
        std::iter::once(file).chain(override_file(folder)).collect()
    } else {
        Vec::new()
    };
    Compose {
        folder,
        project,
        files,
    }
}

/// The text of the folder's Compose file, if there is one.
///
/// # Errors
/// It is not one that pgcluster wrote.
pub fn own_compose_file(folder: &Path) -> Result<Option<String>> {
    let Some(bytes) = read_if_there(&folder.join(COMPOSE_FILE))? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if text
        .lines()
        .next()
        .is_some_and(|line| line.contains(COMPOSE_MARK))
    {
        return Ok(Some(text));
    }
    Err(Failure::new(
        Kind::Input,
        Problem::new(format!(
            "{COMPOSE_FILE} in {} was not written by pgcluster",
            folder.display()
        ))
        .fix("work in another folder (-C DIR), or move that file away"),
    )
    .into())
}

/// What the folder's Compose file says of the cluster that it was written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Compose's name for it; that of another folder, where this one was moved or copied.
    pub project: String,
    /// Their numbers.
    pub replicas: BTreeSet<u32>,
    pub in_volumes: bool,
}

/// Reads the folder's Compose file, if there is one.
///
/// # Errors
/// The file is not one that pgcluster wrote, or cannot be read any more.
pub fn written(folder: &Path) -> Result<Option<Written>> {
    let Some(text) = own_compose_file(folder)? else {
        return Ok(None);
    };
    let written = read_compose_file(&text).map_err(|error| {
        Failure::new(
            Kind::Input,
            Problem::new(format!("{COMPOSE_FILE} cannot be read: {error}"))
                .fix("remove it; `pgcluster generate N` writes it again"),
        )
    })?;
    Ok(Some(written))
}

/// What `text` says, which is a Compose file of ours.
///
/// # Errors
/// It is not the YAML that it should be.
pub fn read_compose_file(text: &str) -> serde_yaml::Result<Written> {
    #[derive(Deserialize)]
    struct ComposeFile {
        #[serde(default)]
        name: String,
        services: BTreeMap<String, serde_yaml::Value>,
        #[serde(default)]
        volumes: BTreeMap<String, serde_yaml::Value>,
    }
    let parsed: ComposeFile = serde_yaml::from_str(text)?;
    let services = parsed.services.keys();
    let replicas = services.filter_map(|service| topology::replica_of_service(service));
    Ok(Written {
        project: parsed.name,
        replicas: replicas.collect(),
        in_volumes: parsed.volumes.contains_key(&topology::title(0)),
    })
}

/// The numbers of the replicas in the folder's Compose file, if there is one.
///
/// # Errors
/// As [`written`].
pub fn existing_replicas(folder: &Path) -> Result<Option<BTreeSet<u32>>> {
    Ok(written(folder)?.map(|written| written.replicas))
}

/// # Errors
/// [`Kind::Input`] where no Compose file of ours is: there is nothing to look at, stop or connect to.
pub fn refuse_without_cluster(folder: &Path) -> Result<()> {
    match own_compose_file(folder)? {
        Some(_) => Ok(()),
        None => Err(Failure::new(
            Kind::Input,
            Problem::new(format!("there is no cluster in {}", folder.display()))
                .fix("`pgcluster up` makes one; -C DIR looks in another folder"),
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_compose_file_tells_whose_data_is_where() {
        fn check(text: &str, project: &str, in_volumes: bool) {
            let folder = tempfile::tempdir().unwrap();
            let text = format!("# Rendered by pgcluster\n{text}\nservices: {{postgres-master: {{}}}}\n");
            fs::write(folder.path().join(COMPOSE_FILE), text).unwrap();
            let written = written(folder.path()).unwrap().unwrap();
            assert_eq!(
                (written.project.as_str(), written.in_volumes),
                (project, in_volumes)
            );
        }
        check("name: p", "p", false);
        check("name: p\nvolumes: {master: {labels: {a: b}}}", "p", true);
        check("volumes: {mine: }", "", false);
    }

    #[test]
    fn replicas_are_read_from_our_own_compose_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let there = || existing_replicas(folder.path());
        let compose = |text: &str| fs::write(folder.path().join(COMPOSE_FILE), text).unwrap();
        assert_eq!(there().unwrap(), None);
        compose(
            "# Rendered by pgcluster\nservices: {postgres-master: {}, postgres-slave1: {}, postgres-slave3: {}}\n",
        );
        assert_eq!(there().unwrap(), Some(BTreeSet::from([1, 3])));
        compose("services: {web: {}}\n");
        assert!(
            there()
                .unwrap_err()
                .to_string()
                .contains("was not written by pgcluster")
        );
    }
}
