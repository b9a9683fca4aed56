//! Does the cluster fit into the engine's memory? Pure.

use bytesize::ByteSize;

use crate::error::Problem;
use crate::project::Project;
use crate::render::configured;

const MB: u64 = 1 << 20;

/// PostgreSQL's default for `shared_buffers`.
const DEFAULT_BUFFERS: u64 = 128 * MB;

/// Where the sizes of `project` do not fit into `total` bytes: an error if the servers' buffers alone do not, a
/// warning if they do not with all that the containers may take for parallel queries.
///
/// Neither is exact: buffers are taken page by page as they are used, and so is `/dev/shm`.
pub fn check(project: &Project, total: u64) -> (Option<Problem>, Option<String>) {
    let buffers: u64 = project
        .rendering
        .configured
        .values()
        .map(|node| {
            let assigned = node.get("shared_buffers");
            assigned
                .and_then(|assigned| configured::memory(&assigned.value))
                .unwrap_or(DEFAULT_BUFFERS)
        })
        .fold(0, u64::saturating_add);
    let nodes = project.topology.nodes.len() as u64;
    let shm = nodes * u64::from(project.settings.profile.sizing().shm_size) * MB;
    judge(buffers, shm, nodes, total)
}

fn judge(buffers: u64, shm: u64, nodes: u64, total: u64) -> (Option<Problem>, Option<String>) {
    const FIX: &str = "choose a smaller PROFILE in .env or fewer replicas, or give the engine more memory";
    let what = format!(
        "the shared_buffers of {nodes} nodes are {}, and the engine has {} of memory",
        ByteSize(buffers),
        ByteSize(total)
    );
    if buffers > total {
        (Some(Problem::new(what).fix(FIX)), None)
    } else if buffers.saturating_add(shm) > total {
        let warning = format!(
            "warning: {what}; with up to {} for parallel queries it is too little: {FIX}",
            ByteSize(shm)
        );
        (None, Some(warning))
    } else {
        (None, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_impossible_is_an_error() {
        fn check(buffers: u64, shm: u64, expected: (bool, bool)) {
            let (problem, warning) = judge(buffers * MB, shm * MB, 3, 1024 * MB);
            assert_eq!(
                (problem.is_some(), warning.is_some()),
                expected,
                "{buffers} {shm}"
            );
        }
        check(384, 640, (false, false));
        check(384, 641, (false, true));
        check(1024, 768, (false, true));
        check(1025, 0, (true, false));
    }
}
