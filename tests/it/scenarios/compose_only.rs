//! No lock-in: the rendered folder works with nothing but Docker Compose.

use crate::cluster::Cluster;

#[test]
fn plain_compose_runs_what_generate_wrote() {
    let Some(cluster) = Cluster::new("compose only") else {
        return;
    };
    cluster.run(["generate", "1"]).exits(0);

    cluster.compose(["up", "--detach"]).exits(0);

    cluster.replicates_again_to(1);
    cluster.writes("pool", "without pgcluster");
    cluster.reads_everywhere(1, &["without pgcluster"]);
    for service in ["postgres-master", "postgres-slave1", "pgpool-loadbalancer"] {
        let log = cluster.compose(["logs", service]).exits(0).stdout;
        assert!(!log.trim().is_empty(), "{service} logs nothing");
    }

    cluster.compose(["down"]).exits(0);
    cluster.up(1);

    cluster.replicates_to(1);
    cluster.reads_everywhere(1, &["without pgcluster"]);
}
