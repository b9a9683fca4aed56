//! What is replaced and restarted, in which order.

use super::*;

/// The plan after `change` where every container has an old definition, and the forecast.
fn rolls(change: impl Fn(&mut Observed)) -> (String, String) {
    let old = |o: &mut Observed| {
        for container in o.containers.values_mut() {
            container.spec = "old".into();
            container.image = "pgcluster-node:1".into();
        }
        o.containers.get_mut("postgres-slave2").unwrap().image = "pgcluster-node:0".into();
        change(o);
    };
    let wanted = topology(2);
    let mut observed = healthy(&wanted);
    old(&mut observed);
    let steps = forecast(&wanted, &rendering(&wanted), &observed, &BTreeMap::new());
    let text = steps.iter().map(|step| format!("{step}\n")).collect();
    (plan(2, old), text)
}

#[test]
fn what_serves_is_replaced_one_at_a_time_and_the_forecast_tells_all() {
    let (plan, forecast) = rolls(|_| {});
    insta::assert_snapshot!(plan, @r"
    detach slave-1 from the pool  (its server stops for a moment)
    replace postgres-slave1  (its definition changed)
    ");
    insta::assert_snapshot!(forecast, @r"
    detach slave-1 from the pool  (its server stops for a moment)
    replace postgres-slave1  (its definition changed)
    detach slave-2 from the pool  (its server stops for a moment)
    replace postgres-slave2  (its image changed)
    replace postgres-master  (its definition changed)
    replace pgpool-loadbalancer  (its definition changed)
    ");
}

#[test]
fn what_does_not_serve_is_recreated_at_once_and_the_others_wait() {
    let (plan, forecast) = rolls(|o| {
        o.nodes.insert(1, Answer::NotAsked);
        o.containers.get_mut("postgres-slave1").unwrap().state = "restarting".into();
    });
    insta::assert_snapshot!(plan, @"start postgres-slave1  (its definition changed)");
    insta::assert_snapshot!(forecast, @r"
    detach slave-2 from the pool  (its server stops for a moment)
    replace postgres-slave2  (its image changed)
    replace postgres-master  (its definition changed)
    replace pgpool-loadbalancer  (its definition changed)
    ");
}

#[test]
fn servers_read_their_files_before_one_is_replaced_and_the_pool_comes_last() {
    let (plan, _) = rolls(|o| facts(o, 2).config_hash = Some("old".into()));
    insta::assert_snapshot!(plan, @"reload slave-2  (its configuration files changed)");
    let (plan, _) = rolls(|o| {
        for id in 0..=2 {
            o.containers.get_mut(&topology::service(id)).unwrap().spec = "spec".into();
        }
    });
    insta::assert_snapshot!(plan, @"replace pgpool-loadbalancer  (its definition changed)");
}

/// As before the servers have read their files.
#[test]
fn the_forecast_knows_which_settings_need_a_restart() {
    let wanted = topology(2);
    let assigned = |value: &str| crate::render::configured::Assigned {
        value: value.into(),
        file: "".into(),
        line: 1,
    };
    let mut rendering = rendering(&wanted);
    let fixed = Fixed {
        name: "max_connections".into(),
        value: "300".into(),
        kind: "integer".into(),
        from_file: true,
        ..Fixed::default()
    };
    for id in [0, 2] {
        let configured = [("max_connections".to_owned(), assigned("250"))];
        let configured = crate::render::configured::Configured::from(configured);
        rendering.configured.insert(id, configured.into());
    }
    let mut observed = healthy(&wanted);
    for id in 0..=2 {
        facts(&mut observed, id).config_hash = Some("old".into());
    }
    let fixed = (0..=2).map(|id| (id, vec![fixed.clone()])).collect();
    let steps = forecast(&wanted, &rendering, &observed, &fixed);
    let text: String = steps.iter().map(|step| format!("{step}\n")).collect();
    insta::assert_snapshot!(text, @r"
    reload slave-1  (its configuration files changed)
    reload slave-2  (its configuration files changed)
    reload master  (its configuration files changed)
    restart master  (a restart brings max_connections into effect)
    detach slave-2 from the pool  (its server stops for a moment)
    restart slave-2  (a restart brings max_connections into effect)
    ");
}

/// With certificates for all nodes; the pool and the nodes have the definition of before.
fn with_tls(has: Option<&str>) -> (Topology, Rendering, Observed) {
    let topology = topology(1);
    let mut rendering = rendering(&topology);
    rendering.certificates = [0, 1].map(|id| (id, "new".to_owned())).into();
    let mut observed = healthy(&topology);
    for id in [0, 1] {
        facts(&mut observed, id).certificate = has.map(str::to_owned);
    }
    if has.is_none() {
        for container in observed.containers.values_mut() {
            container.spec = "before".into();
        }
    }
    (topology, rendering, observed)
}

fn text(steps: &[Planned]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}

#[test]
fn the_pool_learns_tls_before_the_servers_refuse_who_does_not_know_it() {
    let (topology, rendering, mut observed) = with_tls(None);
    insta::assert_snapshot!(text(&corrections(&topology, &rendering, &observed)), @"replace pgpool-loadbalancer  (its definition changed)");
    insta::assert_snapshot!(text(&forecast(&topology, &rendering, &observed, &BTreeMap::new())), @r"
    replace pgpool-loadbalancer  (its definition changed)
    reload slave-1  (its configuration files changed)
    reload master  (its configuration files changed)
    detach slave-1 from the pool  (its server stops for a moment)
    replace postgres-slave1  (its definition changed)
    replace postgres-master  (its definition changed)
    ");
    observed.containers.get_mut("pgpool-loadbalancer").unwrap().spec = "spec".into();
    insta::assert_snapshot!(text(&corrections(&topology, &rendering, &observed)), @r"
    reload slave-1  (its configuration files changed)
    reload master  (its configuration files changed)
    ");
}

#[test]
fn a_server_with_an_old_certificate_reads_the_new_one() {
    let (topology, rendering, observed) = with_tls(Some("old"));
    insta::assert_snapshot!(text(&corrections(&topology, &rendering, &observed)), @r"
    reload slave-1  (its configuration files changed)
    reload master  (its configuration files changed)
    ");
    let (topology, rendering, observed) = with_tls(Some("new"));
    assert!(is_settled(&topology, &rendering, &observed));
}
