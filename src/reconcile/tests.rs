//! Plans, compared as text.

use super::*;
use crate::health::samples::{facts, healthy, in_mode, topology};
use crate::observed::Answer;
use crate::render::Images;
use crate::settings::ConnectionMode;

mod elastic;
mod roll;

fn rendering(topology: &Topology) -> Rendering {
    Rendering {
        files: Vec::new(),
        images: Images {
            node: "pgcluster-node:1".into(),
            pool: "pgcluster-pool:1".into(),
        },
        specs: topology
            .services()
            .map(|service| (service, "spec".to_owned()))
            .collect(),
        certificates: Default::default(),
        configured: Default::default(),
        config_hashes: topology
            .nodes
            .iter()
            .map(|node| (node.id, "conf".to_owned()))
            .collect(),
    }
}

/// The plan for two replicas after `change` to a healthy cluster of `replicas`, as text.
fn plan(replicas: u32, change: impl FnOnce(&mut Observed)) -> String {
    let mut observed = healthy(&topology(replicas));
    change(&mut observed);
    plan_for(&topology(2), observed)
}

fn plan_for(wanted: &Topology, observed: Observed) -> String {
    let rendering = rendering(wanted);
    let mut steps = images(&rendering, &[]);
    steps.extend(containers(wanted, &rendering, &observed));
    steps.extend(corrections(wanted, &rendering, &observed));
    assert_eq!(
        is_settled(wanted, &rendering, &observed),
        steps.is_empty(),
        "settled means that there is nothing to do"
    );
    steps.iter().map(|step| format!("{step}\n")).collect()
}

#[test]
fn a_healthy_cluster_needs_nothing() {
    assert_eq!(plan(2, |_| {}), "");
}

#[test]
fn an_empty_machine_needs_everything() {
    insta::assert_snapshot!(plan(2, |o| {
        o.containers.clear();
        o.nodes.clear();
        o.pool = Answer::NotAsked;
    }), @r"
    start postgres-master  (no container)
    start postgres-slave1  (no container)
    start postgres-slave2  (no container)
    start pgpool-loadbalancer  (no container)
    ");
}

#[test]
fn one_more_replica_touches_nothing_else() {
    insta::assert_snapshot!(plan(1, |_| {}), @r"
    start postgres-slave2  (no container)
    reload the pool  (it does not know every node yet)
    ");
}

#[test]
fn a_replica_leaves_the_pool_before_its_container_goes() {
    insta::assert_snapshot!(plan(3, |o| facts(o, 0).slots[2].active = false), @r"
    send no new session to slave-3, and wait for those it has  (the replica is removed)
    reload the pool  (it has fewer nodes)
    detach slave-3 from the pool  (the replica is removed)
    remove postgres-slave3  (not among the wanted nodes; its data directory stays)
    drop slot slave3  (its replica is removed)
    ");
}

#[test]
fn stopped_paused_and_changed_containers_are_told_apart() {
    let change = |o: &mut Observed| {
        o.containers.get_mut("postgres-slave1").unwrap().state = "exited".into();
        o.containers.get_mut("postgres-slave2").unwrap().state = "paused".into();
        let pool = o.containers.get_mut("pgpool-loadbalancer").unwrap();
        (pool.spec, pool.state) = ("old".into(), "exited".into());
    };
    insta::assert_snapshot!(plan(2, change), @r"
    start postgres-slave1  (stopped)
    unpause postgres-slave2  (paused)
    start pgpool-loadbalancer  (its definition changed)
    ");
}

#[test]
fn only_what_ran_before_is_started_again_while_it_is_waited_for() {
    let wanted = topology(2);
    let mut observed = healthy(&wanted);
    for service in ["postgres-slave1", "postgres-slave2"] {
        observed.containers.get_mut(service).unwrap().state = "exited".into();
    }
    // It runs, and waits for its turn to be replaced.
    observed.pool = Answer::NotAsked;
    observed.containers.get_mut("pgpool-loadbalancer").unwrap().spec = "old".into();
    let ran = ["postgres-master", "postgres-slave2", "pgpool-loadbalancer"];
    let ran = BTreeSet::from(ran.map(str::to_owned));

    let steps = ended(&wanted, &rendering(&wanted), &observed, &ran);

    let steps: Vec<String> = steps.iter().map(Planned::to_string).collect();
    assert_eq!(steps, ["start postgres-slave2  (stopped)"]);
}

#[test]
fn all_servers_read_their_files_before_any_restarts() {
    let change = |o: &mut Observed| {
        for id in 0..=2 {
            facts(o, id).config_hash = Some("old".into());
        }
        facts(o, 2).config_hash = Some("conf".into());
        facts(o, 2).pending_restart = vec!["shared_buffers".into()];
    };
    insta::assert_snapshot!(plan(2, change), @r"
    reload slave-1  (its configuration files changed)
    reload master  (its configuration files changed)
    ");
}

/// The plan where every node waits for a restart, after one more `change`.
fn restarts(change: impl FnOnce(&mut Observed)) -> String {
    plan(2, |o| {
        for id in 0..=2 {
            facts(o, id).pending_restart = vec!["max_connections".into()];
        }
        change(o);
    })
}

#[test]
fn one_node_restarts_at_a_time_replicas_first() {
    insta::assert_snapshot!(restarts(|_| {}), @r"
    detach slave-1 from the pool  (its server stops for a moment)
    restart slave-1  (a restart brings max_connections into effect)
    ");
}

#[test]
fn the_master_restarts_first_where_a_hot_standby_parameter_falls() {
    let change = |o: &mut Observed| facts(o, 0).lowers_hot_standby = true;
    insta::assert_snapshot!(restarts(change), @"restart master  (a restart brings max_connections into effect)");
}

#[test]
fn nothing_restarts_while_a_node_does_not_serve() {
    let change = |o: &mut Observed| {
        o.nodes.insert(1, Answer::NotAsked);
        o.containers.get_mut("postgres-slave1").unwrap().state = "restarting".into();
    };
    insta::assert_snapshot!(restarts(change), @"restart postgres-slave1  (it kept failing)");
}

#[test]
fn a_slot_in_use_is_not_dropped() {
    let plan = plan(3, |_| {});
    assert!(!plan.contains("drop slot"), "{plan}");
}

#[test]
fn a_replica_that_came_back_gets_its_slot() {
    insta::assert_snapshot!(plan(2, |o| { facts(o, 0).slots.pop(); }), @"create slot slave2  (the master has no slot for it)");
}

/// The plan for two replicas where commits wait for all, after `change` to a healthy cluster of `replicas`, whose
/// master waits for `listed`.
fn strict_plan(replicas: u32, listed: &str, change: impl FnOnce(&mut Observed)) -> String {
    let mut wanted = topology(2);
    wanted.strict = true;
    let mut observed = healthy(&topology(replicas));
    facts(&mut observed, 0).synchronous = (!listed.is_empty()).then(|| listed.to_owned());
    change(&mut observed);
    plan_for(&wanted, observed)
}

#[test]
fn commits_wait_for_the_replicas_that_stream() {
    assert_eq!(strict_plan(2, "FIRST 2 (slave1, slave2)", |_| {}), "");
    insta::assert_snapshot!(strict_plan(2, "", |_| {}), @"let commits wait for slave1, slave2  (slave1 streams)");
    // Somebody else's list is not ours to keep to.
    insta::assert_snapshot!(strict_plan(2, "ANY 1 (slave1, slave2)", |_| {}), @"let commits wait for slave1, slave2  (slave1 streams)");
}

#[test]
fn a_new_replica_is_waited_for_before_it_gets_reads() {
    fn joins(o: &mut Observed) {
        if let Answer::Got(backends) = &mut o.pool {
            backends.get_mut(&2).unwrap().status = "down".into();
        }
    }
    insta::assert_snapshot!(strict_plan(2, "FIRST 1 (slave1)", joins), @"let commits wait for slave1, slave2  (slave2 streams)");
    insta::assert_snapshot!(strict_plan(2, "FIRST 2 (slave1, slave2)", joins), @"attach slave-2 to the pool  (the node serves, and the pool leaves it out)");
}

#[test]
fn no_commit_waits_for_a_replica_that_clones() {
    let clones = |o: &mut Observed| {
        facts(o, 0).senders.pop();
        if let Answer::Got(backends) = &mut o.pool {
            backends.get_mut(&2).unwrap().status = "down".into();
        }
    };
    let plan = without_settling(|o| {
        facts(o, 0).synchronous = Some("FIRST 2 (slave1, slave2)".into());
        clones(o);
    });
    insta::assert_snapshot!(plan, @"let commits wait for slave1  (the others do not stream, or are no longer wanted)");
}

#[test]
fn a_replica_that_is_away_gets_no_reads_before_commits_go_on_without_it() {
    let plan = without_settling(|o| {
        facts(o, 0).synchronous = Some("FIRST 2 (slave1, slave2)".into());
        facts(o, 0).senders.pop();
    });
    insta::assert_snapshot!(plan, @"detach slave-2 from the pool  (it does not show what is committed)");
}

#[test]
fn a_removed_replica_is_waited_for_no_more_before_its_container_goes() {
    let gone = |o: &mut Observed| facts(o, 0).slots[2].active = false;
    insta::assert_snapshot!(strict_plan(3, "FIRST 3 (slave1, slave2, slave3)", gone), @r"
    send no new session to slave-3, and wait for those it has  (the replica is removed)
    reload the pool  (it has fewer nodes)
    detach slave-3 from the pool  (the replica is removed)
    let commits wait for slave1, slave2  (the replica is removed)
    remove postgres-slave3  (not among the wanted nodes; its data directory stays)
    drop slot slave3  (its replica is removed)
    let commits wait for slave1, slave2  (the others do not stream, or are no longer wanted)
    ");
}

#[test]
fn nobody_is_waited_for_where_reads_may_be_late() {
    let listed = |text: &'static str| move |o: &mut Observed| facts(o, 0).synchronous = Some(text.into());
    insta::assert_snapshot!(plan(2, listed("FIRST 2 (slave1, slave2)")), @"let commits wait for no replica  (READ_CONSISTENCY is not strict)");
    assert_eq!(
        plan(2, listed("ANY 1 (slave1, slave2)")),
        "",
        "the user's own list"
    );
}

/// The corrections for a cluster where commits wait for all, after `change`; a replica is away, so it cannot settle.
fn without_settling(change: impl FnOnce(&mut Observed)) -> String {
    let mut wanted = topology(2);
    wanted.strict = true;
    let mut observed = healthy(&wanted);
    change(&mut observed);
    let steps = corrections(&wanted, &rendering(&wanted), &observed);
    steps.iter().map(|step| format!("{step}\n")).collect()
}

#[test]
fn a_detached_node_is_attached_only_when_it_serves() {
    fn detach(o: &mut Observed) {
        if let Answer::Got(backends) = &mut o.pool {
            backends.get_mut(&2).unwrap().status = "down".into();
        }
    }
    insta::assert_snapshot!(plan(2, detach), @"attach slave-2 to the pool  (the node serves, and the pool leaves it out)");

    // By how much more than MAX_REPLICA_LAG it is behind.
    for (more, expected) in [(0, 1), (1, 0)] {
        let wanted = topology(2);
        let mut observed = healthy(&wanted);
        detach(&mut observed);
        facts(&mut observed, 0).senders[1].behind = Some(wanted.max_lag + more);
        let steps = corrections(&wanted, &rendering(&wanted), &observed);
        assert_eq!(steps.len(), expected, "{steps:?}");
    }
}

#[test]
fn pgbouncer_comes_and_goes_with_the_mode() {
    let (session, statement) = (topology(1), in_mode(ConnectionMode::Statement, 1));
    insta::assert_snapshot!(plan_for(&statement, healthy(&session)), @"start pgbouncer  (no container)");
    insta::assert_snapshot!(plan_for(&session, healthy(&statement)), @"remove pgbouncer  (the connection mode has none)");
    assert_eq!(plan_for(&statement, healthy(&statement)), "");
}
