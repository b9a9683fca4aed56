//! Replicas that come and go.

use super::*;
use crate::health::samples::in_mode;
use crate::observed::Silence;
use crate::settings::ConnectionMode;

/// As far as it goes for the containers of a wanted cluster of one replica, after three.
fn leaving(mode: ConnectionMode, change: impl FnOnce(&mut Observed)) -> String {
    let wanted = in_mode(mode, 1);
    let mut observed = healthy(&in_mode(mode, 3));
    change(&mut observed);
    let steps = containers(&wanted, &rendering(&wanted), &observed);
    steps.iter().map(|step| format!("{}\n", step.step)).collect()
}

#[test]
fn replicas_run_empty_before_the_pool_lets_them_go_and_they_stop() {
    insta::assert_snapshot!(leaving(ConnectionMode::Transaction, |_| {}), @r"
    send no new session to slave-2, slave-3, and wait for those it has
    reload the pool
    detach slave-2 from the pool
    detach slave-3 from the pool
    remove postgres-slave2
    remove postgres-slave3
    ");
}

/// Taken for a pool without these nodes, all its clients would be cut.
#[test]
fn a_pool_too_busy_to_answer_may_use_what_is_removed() {
    let busy = |o: &mut Observed| {
        o.pool = Answer::Silent(Silence {
            reason: "no answer within 1500 ms".into(),
            refused: false,
        });
    };
    insta::assert_snapshot!(leaving(ConnectionMode::Session, busy), @r"
    send no new session to slave-2, slave-3, and wait for those it has
    reload the pool
    detach slave-2 from the pool
    detach slave-3 from the pool
    remove postgres-slave2
    remove postgres-slave3
    ");
    let stopped = |o: &mut Observed| {
        busy(o);
        o.containers.get_mut("pgpool-loadbalancer").unwrap().state = "exited".into();
    };
    insta::assert_snapshot!(leaving(ConnectionMode::Session, stopped), @r"
    remove postgres-slave2
    remove postgres-slave3
    start pgpool-loadbalancer
    ");
}

#[test]
fn a_replica_that_can_never_catch_up_is_cloned_again() {
    insta::assert_snapshot!(plan(2, |o| facts(o, 0).slots[1].wal_status = Some("lost".into())), @r"
    detach slave-2 from the pool  (it does not stream)
    clone slave-2 again, and keep what it has  (it was away too long: the WAL it needs is gone from the master)
    ");
}
