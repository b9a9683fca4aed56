//! More replicas and fewer, while the cluster runs.

use crate::cluster::{Cluster, docker};

#[test]
fn replicas_come_and_go_and_come_back_with_their_data() {
    let Some(cluster) = Cluster::new("scaling") else {
        return;
    };
    cluster.up(1);
    cluster.writes("pool", "a: with one");
    let first = cluster.containers();

    cluster.up(3);

    cluster.replicates_to(3);
    cluster.reads_everywhere(3, &["a: with one"]);
    let second = cluster.containers();
    assert!(
        first
            .iter()
            .all(|(service, container)| second[service] == *container),
        "only new ones were started"
    );

    let shrunk = cluster.up(2);

    cluster.replicates_to(2);
    assert!(cluster.exists("slave-3/pgdata"));
    shrunk.says("slave-3/pgdata");
    cluster.writes("pool", "b: without the third");
    // As much as a user does in between, and not only a row.
    cluster.sql("master", "CREATE TABLE more AS SELECT generate_series(1, 100000)");
    cluster.sql("master", "CHECKPOINT");

    cluster.up(3);

    cluster.replicates_to(3);
    cluster.reads_everywhere(3, &["a: with one", "b: without the third"]);
    let third = cluster.containers();
    assert!(
        first
            .iter()
            .all(|(service, container)| third[service] == *container),
        "the others ran on"
    );
    let log = cluster.log("postgres-slave3");
    assert!(!log.contains("cloning"), "its own data was not used:\n{log}");
}

/// By itself, and what it had is kept.
#[test]
fn a_replica_whose_wal_is_gone_is_cloned_again() {
    let Some(cluster) = Cluster::new("long away") else {
        return;
    };
    cluster.run(["generate", "1"]).exits(0);
    cluster.append("master/config/postgresql.conf", "wal_keep_size = 0");
    cluster.up(1);
    cluster.up(0);
    cluster.replicates_to(0);
    cluster.writes("master", "while it was away");
    for _ in 0..3 {
        cluster.sql("master", "SELECT pg_switch_wal()");
        cluster.sql("master", "CHECKPOINT");
    }

    let told = cluster.run(["up", "-v", "--replicas", "1"]).exits(0);

    told.says("the WAL it needs is gone")
        .says("kept: slave-1/pgdata.old");
    assert!(cluster.exists("slave-1/pgdata.old"));
    cluster.replicates_to(1);
    cluster.reads_everywhere(1, &["while it was away"]);
}

/// Its slot keeps what it misses, up to a limit: then the replica is given up, and not the master's disk.
#[test]
fn a_replica_that_is_away_fills_no_disk() {
    let Some(cluster) = Cluster::new("very long away") else {
        return;
    };
    cluster.run(["generate", "1"]).exits(0);
    let small = "max_slot_wal_keep_size = 64MB\nwal_keep_size = 0\nmin_wal_size = 32MB\nmax_wal_size = 64MB";
    cluster.append("master/config/postgresql.conf", small);
    cluster.up(1);
    cluster.docker_each("stop", "postgres-slave1");
    let fill = "SELECT count(pg_logical_emit_message(true, 'fill', repeat('x', 1000000))) FROM generate_series(1, 40)";
    for _ in 0..10 {
        cluster.sql("master", fill);
        cluster.sql("master", "CHECKPOINT");
    }
    cluster.writes("master", "while it was away");

    let slot = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'slave1'";
    assert_eq!(cluster.sql("master", slot), "lost");
    let kept: u64 = cluster
        .sql("master", "SELECT sum(size) FROM pg_ls_waldir()")
        .parse()
        .expect("bytes");
    assert!(kept < 200_000_000, "{kept} bytes of WAL");
    cluster.run(["status"]).exits(3).says("slave-1: ");

    cluster
        .run(["up", "-v"])
        .exits(0)
        .says("the WAL it needs is gone");
    cluster.replicates_to(1);
    cluster.reads_everywhere(1, &["while it was away"]);
}

/// The copy that a newborn master leaves for its first replicas is used only where it is what it should be.
#[test]
fn a_copy_that_does_not_fit_is_not_used() {
    let Some(cluster) = Cluster::new("odd copies") else {
        return;
    };
    cluster.up(0);
    cluster.writes("master", "before the copy");
    cluster.run(["down"]).exits(0);
    cluster.as_root("tar -C master/pgdata -cf own.tar .");
    cluster.up(0);
    // The master has moved on since.
    cluster.writes("master", "after the copy");
    cluster.sql("master", "CHECKPOINT");
    let other = Cluster::beside(&cluster, "the other");
    other.up(0);
    other.run(["down"]).exits(0);
    other.as_root("tar -C master/pgdata -cf foreign.tar . && chmod a+r foreign.tar");
    std::fs::copy(
        other.folder.join("foreign.tar"),
        cluster.folder.join("foreign.tar"),
    )
    .expect("a copy");

    for made in [
        "cp own.tar $copy",
        "cp foreign.tar $copy",
        "head -c 1000000 own.tar >$copy",
        "echo nothing >$copy",
    ] {
        cluster.as_root(&format!("copy=.pgcluster/newborn/copy.tar; umask 077; {made}"));

        cluster.run(["scale", "1"]).exits(0);

        cluster.replicates_to(1);
        let log = cluster.log("postgres-slave1");
        assert!(
            log.contains("cloned") && !log.contains("unpacked"),
            "{made}: {log}"
        );
        cluster.reads_everywhere(1, &["after the copy", "before the copy"]);
        cluster.run(["scale", "0", "--remove-volumes", "--yes"]).exits(0);
    }
}

/// Clients that log in again and again, and for each change of the pool the smallest number of its processes that were seen
/// to sleep instead of waiting for one, soon after it. The watcher would change it as well.
const SLEEPERS: &str = r#"
export PGPASSFILE=/run/pgcluster/pgpass
read -r main </run/pgcluster/pgpool.pid
asleep() { where=''; { IFS= read -rd '' where </proc/$1/wchan; } 2>/dev/null; [[ $where == *nanosleep* ]]; }
stopped() { state=''; { IFS= read -r state </proc/$1/stat; } 2>/dev/null; [[ $state == *') T '* ]]; }
look_again() { sleep 0.05; ((SECONDS < 120)) || exit; }
find_check() { check=$(pgrep -f '^pgpool: worker'); }
pkill -STOP -f '[p]ool-watch.sh'
for _ in {1..4}; do
  while psql -XAtqw -h 127.0.0.1 -U "$POOL_USER" -d postgres -c 'SELECT 1' >/dev/null; do :; done &
done
for verb in detach attach detach attach detach attach detach attach; do
  # Its main process takes the next order when it has slept itself, and does that when it has carried one out.
  while asleep $main; do look_again; done
  if [[ $verb == attach ]]; then
    until find_check && ! asleep $check; do ((SECONDS < 120)) || exit; done
  fi
  bash /pool/pool-node.sh $verb 1 || exit
  if [[ $verb == attach ]] && find_check && ! stopped $check; then echo "the lag is checked meanwhile"; fi
  # A login that had begun before may have marked the node as up again: then there is nothing to carry out.
  for _ in {1..40}; do if asleep $main; then break; fi; look_again; done
  counts=()
  while asleep $main; do
    count=0
    for process in /proc/[0-9]*; do
      title=''
      if asleep ${process#/proc/} && IFS= read -rd '' title <$process/cmdline && [[ $title == 'pgpool: wait'* ]]; then
        count=$((count + 1))
      fi
    done
    counts+=($count)
  done
  # In the last of these looks their second may be over as well.
  least=${counts[0]-0}
  for ((i = 0; i < ${#counts[@]} - 2; i++)); do least=$((counts[i] < least ? counts[i] : least)); done
  echo $least
  while pgrep -f '^bash /pool/pool-node.sh' >/dev/null; do look_again; done
  if find_check && stopped $check; then echo "the lag is not checked any more"; fi
done
kill $(jobs -p)
pkill -CONT -f '[p]ool-watch.sh'
"#;

/// Pgpool-II has a process that is to take a client sleep for a second then, and meanwhile no other takes one.
#[test]
fn a_node_that_comes_or_goes_holds_up_no_new_client() {
    let Some(cluster) = Cluster::new("logins") else {
        return;
    };
    cluster.up(2);

    let pool = cluster.container("pgpool-loadbalancer").id;
    let counts = docker(["exec", "--user", "postgres", &pool, "bash", "-c", SLEEPERS]);

    assert_eq!(counts.lines().collect::<Vec<_>>(), ["0"; 8]);
    cluster.replicates_again_to(2);
}
