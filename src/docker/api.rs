//! The same questions to the engine itself, as paths of its interface, and what its answers mean.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{SERVES_LABEL, SPEC_LABEL, Volumes, volumes::NODE_LABEL};
use crate::observed::{Container, Containers};
use crate::topology;

/// Compose's.
const PROJECT_LABEL: &str = "com.docker.compose.project";

/// The containers of one project, or of all of Compose's, running or not; read by [`parse_container_list`].
pub fn container_list(project: Option<&str>) -> String {
    let mut labels = vec![SERVES_LABEL.to_owned()];
    labels.extend(project.map(project_label));
    format!("/containers/json?all=1&filters={}", labelled(&labels))
}

/// As [`super::signal`].
pub fn signal(signal: &str, id: &str) -> String {
    format!("/containers/{id}/kill?signal={signal}")
}

/// Reads of a project what the engine says to [`container_list`]; `None` where it makes no sense.
pub fn parse_container_list(body: &[u8], project: &str) -> Option<Containers> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry {
        id: String,
        state: String,
        status: String,
        image: String,
        labels: BTreeMap<String, String>,
        ports: Vec<Port>,
    }
    #[derive(Deserialize)]
    struct Port {
        #[serde(rename = "IP", default)]
        address: String,
        #[serde(rename = "PrivatePort")]
        inner: u16,
        #[serde(rename = "PublicPort", default)]
        outer: Option<u16>,
        #[serde(rename = "Type")]
        kind: String,
    }
    let port = |port: &Port| match port.outer {
        Some(outer) => format!("{}:{outer}->{}/{}", port.address, port.inner, port.kind),
        None => format!("{}/{}", port.inner, port.kind),
    };
    let entries: Vec<Entry> = serde_json::from_slice(body).ok()?;
    let container = |entry: Entry| {
        let label = |name: &str| entry.labels.get(name).cloned().unwrap_or_default();
        if label(PROJECT_LABEL) != project {
            return None;
        }
        let ports: Vec<String> = entry.ports.iter().map(port).collect();
        let service = label("com.docker.compose.service");
        let container = Container {
            spec: label(SPEC_LABEL),
            ports: ports.join(", "),
            id: entry.id,
            state: entry.state,
            status: entry.status,
            image: entry.image,
        };
        Some((service, container))
    };
    Some(entries.into_iter().filter_map(container).collect())
}

/// The volumes of the project's nodes; read by [`parse_volume_list`].
pub fn volume_list(project: &str) -> String {
    let labels = [project_label(project), NODE_LABEL.to_owned()];
    format!("/volumes?filters={}", labelled(&labels))
}

/// Reads what the engine says to [`volume_list`].
pub fn parse_volume_list(body: &[u8]) -> Option<Volumes> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        volumes: Option<Vec<Volume>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Volume {
        name: String,
        labels: Option<BTreeMap<String, String>>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let volume = |volume: Volume| {
        let labels = volume.labels.unwrap_or_default();
        Some((topology::id_of_name(labels.get(NODE_LABEL)?)?, volume.name))
    };
    Some(
        answer
            .volumes
            .unwrap_or_default()
            .into_iter()
            .filter_map(volume)
            .collect(),
    )
}

/// One image; the status is 404 where it is not there.
pub fn image(name: &str) -> String {
    format!("/images/{}/json", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

/// The engine's version; read by [`parse_version`].
pub const VERSION: &str = "/version";

/// Reads what the engine says to [`VERSION`].
pub fn parse_version(body: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(answer.get("Version")?.as_str()?.to_owned())
}

/// What machine the engine has; read by [`parse_memory`].
pub const INFO: &str = "/info";

/// Bytes of memory, from what the engine says to [`INFO`].
pub fn parse_memory(body: &[u8]) -> Option<u64> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    answer.get("MemTotal")?.as_u64()
}

fn project_label(project: &str) -> String {
    format!("{PROJECT_LABEL}={project}")
}

/// A filter by labels, for a query string.
fn labelled(labels: &[String]) -> String {
    let filter = serde_json::json!({ "label": labels }).to_string();
    utf8_percent_encode(&filter, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_tells_what_docker_ps_tells() {
        let body = br#"[{"Id":"abc","Names":["/p-postgres-master-1"],"Image":"pgcluster-node:1","State":"running",
            "Status":"Up 2 seconds","Labels":{"com.docker.compose.service":"postgres-master","pgcluster.spec":"1f",
            "com.docker.compose.project":"p"},
            "Ports":[{"IP":"127.0.0.1","PrivatePort":5432,"PublicPort":5000,"Type":"tcp"},
                     {"PrivatePort":9898,"Type":"tcp"}]}]"#;
        let line = r#"{"id":"abc","state":"running","status":"Up 2 seconds","service":"postgres-master","spec":"1f","ports":"127.0.0.1:5000->5432/tcp, 9898/tcp","image":"pgcluster-node:1"}"#;
        assert_eq!(
            parse_container_list(body, "p"),
            crate::docker::parse_containers(line).ok()
        );
        for (body, project) in [(&body[..], "another"), (b"[]", "p")] {
            assert_eq!(parse_container_list(body, project), Some(Containers::new()));
        }
        assert_eq!(parse_container_list(br#"{"message":"no"}"#, "p"), None);
    }

    #[test]
    fn paths_are_escaped() {
        assert_eq!(
            container_list(Some("p-1")),
            "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22com%2Edocker%2Ecompose%2Eoneoff%3DFalse%22%2C%22com%2Edocker%2Ecompose%2Eproject%3Dp%2D1%22%5D%7D"
        );
        assert_eq!(image("pgcluster-node:1"), "/images/pgcluster%2Dnode%3A1/json");
    }

    #[test]
    fn volumes_are_read_by_node() {
        let body = br#"{"Volumes":[{"Name":"p_master","Labels":{"pgcluster.node":"master"}},{"Name":"x","Labels":null}],
            "Warnings":null}"#;
        assert_eq!(
            parse_volume_list(body),
            Some(BTreeMap::from([(0, "p_master".to_owned())]))
        );
        assert_eq!(parse_volume_list(br#"{"Volumes":null}"#), Some(BTreeMap::new()));
    }
}
