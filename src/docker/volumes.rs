//! The same for the volumes that hold the nodes' data where `DATA=volume`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::docker;
use crate::process::Argv;
use crate::topology;

/// The label by which a node's volume, like its container, tells which node's it is.
pub(super) const NODE_LABEL: &str = "pgcluster.node";

/// Node → name of its volume.
pub type Volumes = BTreeMap<u32, String>;

/// The volumes of the project's nodes, one JSON object a line. A user's own volumes are not among them.
pub fn volumes(project: &str) -> Argv {
    let format = format!("{{\"name\":{{{{json .Name}}}},\"node\":{{{{json (.Label \"{NODE_LABEL}\")}}}}}}");
    docker()
        .and(["volume", "ls", "--filter"])
        .and([format!("label=com.docker.compose.project={project}")])
        .and(["--filter".to_owned(), format!("label={NODE_LABEL}")])
        .and(["--format".to_owned(), format])
}

/// Reads the output of [`volumes`].
///
/// # Errors
/// A line that is not the JSON asked for.
pub fn parse_volumes(output: &str) -> serde_json::Result<Volumes> {
    #[derive(Deserialize)]
    struct Line {
        name: String,
        node: String,
    }
    let mut volumes = BTreeMap::new();
    for line in output.lines().filter(|line| !line.trim().is_empty()) {
        let line: Line = serde_json::from_str(line)?;
        volumes.extend(topology::id_of_name(&line.node).map(|id| (id, line.name)));
    }
    Ok(volumes)
}

/// The containers that have one of these volumes, running or not: name and volumes.
pub fn users_of_volumes<'a>(volumes: impl Iterator<Item = &'a String>) -> Argv {
    let filters = volumes.flat_map(|name| ["--filter".to_owned(), format!("volume={name}")]);
    docker()
        .and(["ps", "-a"])
        .and(filters)
        .and(["--format", "{{.Names}}"])
}

pub fn remove_volumes(names: &[&String]) -> Argv {
    docker().and(["volume", "rm"]).and(names.iter().copied())
}

/// Where Docker keeps its volumes; inside its virtual machine, where it has one.
pub fn root_folder() -> Argv {
    docker().and(["info", "--format", "{{.DockerRootDir}}"])
}

/// Lists what the nodes have in their volumes, as `<node>/<name>` a line, in a throw-away container that cannot write.
pub fn data_in_volumes(volumes: &Volumes, image: &str) -> Argv {
    let words = [
        "-mindepth",
        "2",
        "-maxdepth",
        "2",
        "-name",
        "pgdata*",
        "-printf",
        "%P\\n",
    ];
    helper(volumes, image, "find").and(["/volumes"]).and(words)
}

/// The nodes with a complete data directory, from the output of [`data_in_volumes`].
pub fn parse_data_in_volumes(output: &str) -> Vec<u32> {
    let whole = |line: &str| line.strip_suffix("/pgdata")?.parse().ok();
    output.lines().filter_map(whole).collect()
}

/// Sizes in bytes, as `<bytes> /volumes/<node>` a line.
pub fn sizes_of_volumes(volumes: &Volumes, image: &str) -> Argv {
    let folders = volumes.keys().map(|id| format!("/volumes/{id}"));
    helper(volumes, image, "du").and(["-sb"]).and(folders)
}

/// Node → bytes, from the output of [`sizes_of_volumes`].
pub fn parse_sizes(output: &str) -> BTreeMap<u32, u64> {
    let size = |line: &str| {
        let (bytes, folder) = line.split_once(char::is_whitespace)?;
        let id = folder.trim().strip_prefix("/volumes/")?;
        Some((id.parse().ok()?, bytes.parse().ok()?))
    };
    output.lines().filter_map(size).collect()
}

/// Runs `program` as root in a throw-away container that has the volumes, read-only, below `/volumes`.
fn helper(volumes: &Volumes, image: &str, program: &str) -> Argv {
    let mounts = volumes.iter().flat_map(|(id, name)| {
        let mount = format!("type=volume,source={name},target=/volumes/{id},readonly");
        ["--mount".to_owned(), mount]
    });
    docker()
        .and(["run", "--rm", "--network", "none"])
        .and(mounts)
        .and(["--entrypoint", program, image])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read_by_node() {
        let output = "{\"name\":\"p_master\",\"node\":\"master\"}\n{\"name\":\"p_slave-2\",\"node\":\"slave2\"}\n\
                      {\"name\":\"other\",\"node\":\"pool\"}\n";
        let volumes = parse_volumes(output).unwrap();
        assert_eq!(
            volumes,
            BTreeMap::from([(0, "p_master".to_owned()), (2, "p_slave-2".to_owned())])
        );
        assert!(parse_volumes("nonsense").is_err());
    }

    #[test]
    fn a_half_made_clone_is_no_data() {
        assert_eq!(
            parse_data_in_volumes("0/pgdata\n1/pgdata.new\n12/pgdata\n"),
            [0, 12]
        );
    }

    #[test]
    fn sizes_are_read_by_node() {
        let sizes = parse_sizes("4096\t/volumes/0\n17\t/volumes/3\ndu: cannot read\n");
        assert_eq!(sizes, BTreeMap::from([(0, 4096), (3, 17)]));
    }

    #[test]
    fn the_helper_cannot_change_what_it_looks_at() {
        let volumes = BTreeMap::from([(1, "p_slave-1".to_owned())]);
        assert_eq!(
            sizes_of_volumes(&volumes, "image").pasteable(),
            "docker run --rm --network none --mount type=volume,source=p_slave-1,target=/volumes/1,readonly \
             --entrypoint du image -sb /volumes/1"
        );
    }
}
