//! All faults. A strike returns when the fault is over; that everything is well again is waited for outside.

use super::Scene;

/// Something that happens to a cluster under load.
pub struct Fault {
    pub name: &'static str,
    pub strike: fn(&Scene<'_>),
}

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "the master's server is killed",
        strike: |scene| scene.cluster.crash("postgres-master"),
    },
    Fault {
        name: "the master is killed by docker kill, then up",
        strike: |scene| {
            // By hand, so it stays down until someone says otherwise.
            scene.cluster.docker_each("kill", "postgres-master");
            scene.cluster.run(["up"]).exits(0);
        },
    },
    Fault {
        name: "the master is restarted by docker restart",
        strike: |scene| scene.cluster.docker_each("restart", "postgres-master"),
    },
    Fault {
        name: "a backend of the master is killed",
        strike: |scene| scene.kill_process("postgres-master", "client backend"),
    },
    Fault {
        name: "the master's checkpointer is killed",
        strike: |scene| scene.kill_process("postgres-master", "checkpointer"),
    },
    Fault {
        name: "the master's sender to a replica is frozen",
        strike: |scene| {
            let pid = scene.process("postgres-master", "walsender");
            scene.signal("postgres-master", "STOP", &pid);
            scene.wait();
            scene.signal("postgres-master", "CONT", &pid);
        },
    },
    Fault {
        name: "the master is frozen",
        strike: |scene| scene.freeze("postgres-master"),
    },
    Fault {
        name: "the master is cut off the network",
        strike: |scene| scene.cut_off("postgres-master"),
    },
    Fault {
        name: "the master runs out of memory",
        strike: |scene| scene.out_of_memory(),
    },
    Fault {
        name: "a replica's server is killed",
        strike: |scene| {
            scene.cluster.crash("postgres-slave1");
            scene.ledger.goes_on(50, super::BACK);
        },
    },
    Fault {
        name: "all replicas' servers are killed",
        strike: |scene| {
            scene.cluster.crash("postgres-slave1");
            scene.cluster.crash("postgres-slave2");
            scene.ledger.goes_on(50, super::BACK);
        },
    },
    Fault {
        name: "a replica's receiver is killed",
        strike: |scene| scene.kill_process("postgres-slave1", "walreceiver"),
    },
    Fault {
        name: "a replica's startup process is killed",
        strike: |scene| scene.kill_process("postgres-slave1", "startup"),
    },
    Fault {
        name: "a replica is frozen",
        strike: |scene| scene.freeze("postgres-slave1"),
    },
    Fault {
        name: "a replica is cut off the network",
        strike: |scene| scene.cut_off("postgres-slave1"),
    },
    Fault {
        name: "a replica is stopped for a while",
        strike: |scene| {
            scene.cluster.docker_each("stop", "postgres-slave1");
            scene.wait();
            scene.cluster.docker_each("start", "postgres-slave1");
        },
    },
    Fault {
        name: "a replica's slot is dropped while it is away, then up",
        strike: |scene| {
            scene.cluster.docker_each("stop", "postgres-slave1");
            scene
                .cluster
                .sql("master", "SELECT pg_drop_replication_slot('slave1')");
            scene.ledger.goes_on(100, super::BACK);
            scene.cluster.run(["up"]).exits(0);
        },
    },
    Fault {
        name: "the master and a replica are killed together",
        strike: |scene| {
            scene.cluster.crash("postgres-slave1");
            scene.cluster.crash("postgres-master");
        },
    },
    Fault {
        name: "the pool is killed",
        strike: |scene| {
            let kill = "kill -9 $(head -n 1 /run/pgcluster/pgpool.pid)";
            scene.inside("pgpool-loadbalancer", kill);
        },
    },
    Fault {
        name: "a process of the pool is killed",
        strike: |scene| {
            let kill =
                "kill -9 $(grep -al '^pgpool: .* idle' /proc/[0-9]*/cmdline | head -n 1 | cut -d/ -f3)";
            scene.inside("pgpool-loadbalancer", kill);
        },
    },
    Fault {
        name: "the pool is frozen",
        strike: |scene| scene.freeze("pgpool-loadbalancer"),
    },
    Fault {
        name: "the pool is cut off the network",
        strike: |scene| scene.cut_off("pgpool-loadbalancer"),
    },
    Fault {
        name: "the pool's watcher is killed and a replica is frozen",
        strike: |scene| {
            let kill = "for process in /proc/[0-9]*; do \
                if tr '\\0' ' ' <$process/cmdline | grep -q '^bash /pool/pool-watch.sh'; then \
                kill -9 ${process#/proc/}; fi; done";
            scene.inside("pgpool-loadbalancer", kill);
            scene.freeze("postgres-slave2");
        },
    },
    Fault {
        name: "a replica's clock is an hour ahead",
        strike: |scene| scene.clock("postgres-slave1", "+1h"),
    },
    Fault {
        name: "the master's clock is an hour ahead",
        strike: |scene| scene.clock("postgres-master", "+1h"),
    },
    Fault {
        name: "the master's clock is an hour behind",
        strike: |scene| scene.clock("postgres-master", "-1h"),
    },
    Fault {
        name: super::ENGINE,
        strike: |scene| scene.restart_engine(),
    },
    Fault {
        name: "every server is killed",
        strike: |scene| {
            for service in ["postgres-slave1", "postgres-slave2", "postgres-master"] {
                scene.cluster.crash(service);
            }
        },
    },
    Fault {
        name: "every container is killed",
        strike: |scene| {
            scene.kill_all();
            scene.cluster.run(["up"]).exits(0);
        },
    },
];
