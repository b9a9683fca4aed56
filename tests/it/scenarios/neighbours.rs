//! Clusters that share a machine.

use crate::cluster::Cluster;

/// Compose would call both by the name of their folder.
#[test]
fn two_clusters_in_folders_of_the_same_name_do_not_meet() {
    let Some(one) = Cluster::new("same") else {
        return;
    };
    let other = Cluster::beside(&one, "same");
    one.up(1);
    let before = one.containers();

    other.up(1);

    assert_ne!(one.project(), other.project());
    assert_eq!(one.containers(), before);
    one.writes("pool", "of the one");
    other.writes("pool", "of the other");
    for (cluster, row) in [(&one, "of the one"), (&other, "of the other")] {
        cluster.replicates_to(1);
        cluster.reads_everywhere(1, &[row]);
    }

    other.run(["down", "--remove-volumes", "--yes"]).exits(0);

    assert_eq!(one.containers(), before);
    one.replicates_to(1);
    one.reads_everywhere(1, &["of the one"]);
}
