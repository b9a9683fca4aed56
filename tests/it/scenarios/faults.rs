//! What is away for so long that the pool leaves it out is used again when it is back, without pgcluster.

use crate::cluster::{Cluster, eventually};
use crate::ledger::Load;

#[test]
fn a_replica_that_was_away_gets_reads_again() {
    let Some(cluster) = Cluster::new("replica away") else {
        return;
    };
    cluster.up(2);
    let ledger = cluster.ledger(Load::default());
    ledger.goes_on(100, 30);

    cluster.docker_each("stop", "postgres-slave1");
    eventually("the pool leaves it out", 40, true, || {
        cluster.replication().contains("postgres-slave1 down/")
    });
    ledger.goes_on(50, 30);
    cluster.docker_each("start", "postgres-slave1");
    cluster.replicates_again_to(2);

    let report = ledger.close();
    let verdict = cluster.audit(&report, 2);
    assert!(verdict.is_clean(), "{verdict:?}");
    eventually("reads reach it again", 10, true, || {
        cluster.try_sql("pool", "SELECT current_setting('cluster_name')") == "slave1"
    });
}

#[test]
fn after_a_restart_of_the_pool_no_node_stays_down() {
    let Some(cluster) = Cluster::new("pool restarts") else {
        return;
    };
    cluster.up(1);
    // The pool notes it as down; the restart must not keep that.
    cluster.docker_each("stop", "postgres-slave1");
    eventually("the pool leaves it out", 40, true, || {
        cluster.replication().contains("postgres-slave1 down/")
    });
    cluster.docker_each("start", "postgres-slave1");

    cluster.docker_each("restart", "pgpool-loadbalancer");

    cluster.replicates_again_to(1);
}
