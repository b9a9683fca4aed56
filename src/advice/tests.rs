//! Evidence and the advice it leads to.

use super::*;

fn evidence(connected: u32, change: impl FnOnce(&mut Sessions)) -> Evidence {
    let mut master = Sessions::default();
    change(&mut master);
    let of = |node: &str, sessions| NodeSessions {
        node: node.to_owned(),
        sessions,
    };
    Evidence {
        clients: Clients {
            connected,
            pool_limit: 100,
            ..Clients::default()
        },
        nodes: vec![of("master", master), of("slave-1", Sessions::default())],
        temporary_tables: 0,
    }
}

/// The mode, and the words with which its first reason begins.
fn check(mode: ConnectionMode, evidence: &Evidence, recommended: &str, reason: &str) {
    let advice = advise(mode, ReadConsistency::Eventual, evidence);
    assert_eq!(advice.recommended, recommended, "{advice:?}");
    assert!(advice.reasons[0].starts_with(reason), "{advice:?}");
}

#[test]
fn few_clients_get_a_connection_each() {
    check(
        ConnectionMode::Session,
        &evidence(3, |_| {}),
        "session",
        "3 clients connected at most",
    );
    check(
        ConnectionMode::Transaction,
        &evidence(1, |_| {}),
        "session",
        "1 client connected",
    );
}

#[test]
fn many_clients_share() {
    check(
        ConnectionMode::Session,
        &evidence(80, |_| {}),
        "transaction",
        "80 clients",
    );
    check(
        ConnectionMode::Statement,
        &evidence(80, |_| {}),
        "statement",
        "80 clients",
    );
    let with_transactions = evidence(80, |node| node.transactions = 2);
    check(
        ConnectionMode::Statement,
        &with_transactions,
        "transaction",
        "80 clients",
    );
}

#[test]
fn what_needs_a_session_decides_whatever_the_numbers_are() {
    fn kind(change: impl FnOnce(&mut Sessions), reason: &str) {
        check(
            ConnectionMode::Transaction,
            &evidence(80, change),
            "session",
            reason,
        );
    }
    kind(
        |node| node.advisory_locks = 1,
        "idle sessions with an advisory lock: 1",
    );
    kind(|node| node.listens = 2, "sessions that LISTEN: 2");
    kind(|node| node.settings = 1, "sessions with a SET of their own: 1");
    kind(|node| node.sql_prepared = 1, "sessions with PREPARE");
    kind(|node| node.held_cursors = 1, "sessions with a cursor");
    let mut temporary = evidence(80, |_| {});
    temporary.temporary_tables = 1;
    check(
        ConnectionMode::Session,
        &temporary,
        "session",
        "temporary tables in use: 1",
    );
    let advice = advise(
        ConnectionMode::Session,
        ReadConsistency::Session,
        &evidence(1, |_| {}),
    );
    assert_eq!(
        advice.reasons,
        ["READ_CONSISTENCY=session holds in session mode only"]
    );
}

#[test]
fn several_looks_keep_the_most_of_each() {
    let application = |sessions| Application {
        name: "shop".into(),
        sessions,
        ..Application::default()
    };
    let mut first = Sessions {
        listens: 1,
        applications: vec![application(5)],
        ..Sessions::default()
    };
    first.merge(Sessions {
        settings: 2,
        applications: vec![application(3)],
        databases: vec!["shop".into()],
        ..Sessions::default()
    });
    assert_eq!((first.listens, first.settings), (1, 2));
    assert_eq!(first.applications, [application(5)]);
    assert_eq!(first.databases, ["shop"]);
}
