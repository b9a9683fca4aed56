//! What the servers say of themselves and of each other.

use super::Cluster;
use super::outcome::eventually;
use super::sql::Login;

impl Cluster {
    /// The superuser's login to `place`: `master`, `slave-N` or `pool`.
    pub fn login(&self, place: &str) -> Login {
        let key = match (place, place.strip_prefix("slave-")) {
            ("master", _) => "MASTER_PORT".to_owned(),
            ("pool", _) => "PGPOOL_PORT".to_owned(),
            (_, Some(number)) => format!("SLAVE{number}_PORT"),
            _ => panic!("{place} is not a place"),
        };
        Login {
            port: self.setting(&key).parse().expect("a port"),
            user: self.setting("POSTGRES_USER"),
            password: Some(self.setting("POSTGRES_PASSWORD")),
            database: self.setting("POSTGRES_DB"),
            authority: (self.setting("TLS") == "on").then(|| self.text("pgcluster-ca.crt")),
        }
    }

    /// The answer in the form of `psql -At`.
    #[track_caller]
    pub fn sql(&self, place: &str, sql: &str) -> String {
        self.login(place)
            .ask(sql)
            .unwrap_or_else(|reason| panic!("{place}: {reason}\n{sql}"))
    }

    /// The answer, or why there is none.
    pub fn try_sql(&self, place: &str, sql: &str) -> String {
        self.login(place).ask(sql).unwrap_or_else(|reason| reason)
    }

    /// Adds a row that [`Cluster::reads_everywhere`] finds.
    #[track_caller]
    pub fn writes(&self, place: &str, text: &str) {
        let insert = format!("INSERT INTO notes VALUES ('{text}')");
        self.sql(
            place,
            &format!("CREATE TABLE IF NOT EXISTS notes (text text); {insert}"),
        );
    }

    /// Every node and the pool give back all rows, soon.
    #[track_caller]
    pub fn reads_everywhere(&self, replicas: u32, texts: &[&str]) {
        let replicas = (1..=replicas).map(|id| format!("slave-{id}"));
        for place in ["master", "pool"].map(str::to_owned).into_iter().chain(replicas) {
            eventually(&format!("{place} has the rows"), 15, texts.join("\n"), || {
                self.try_sql(&place, "SELECT text FROM notes ORDER BY text")
            });
        }
    }

    /// Who streams through which slot, which slots there are, and what the pool thinks of the nodes.
    ///
    /// Pgpool keeps a removed replica in its list, as down, until it starts again: left out here.
    pub fn replication(&self) -> String {
        let streams =
            "SELECT 'stream ' || application_name || ' ' || state || ' ' || slot_name || ' ' || wal_status
            FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid ORDER BY 1";
        let slots = "SELECT 'slot ' || slot_name || ' ' || slot_type FROM pg_replication_slots ORDER BY 1";
        let mut lines = format!(
            "{}\n{}\n",
            self.try_sql("master", streams),
            self.try_sql("master", slots)
        );
        let services = self.services();
        for node in self.try_sql("pool", "SHOW POOL_NODES").lines() {
            let column: Vec<&str> = node.split('|').collect();
            match column[..] {
                [_, host, _, "down", ..] if !services.iter().any(|service| service == host) => {}
                [id, host, _, status, pg_status, _, role, pg_role, ..] if !id.is_empty() => {
                    lines.push_str(&format!("pool {host} {status}/{pg_status} {role}/{pg_role}\n"));
                }
                _ => lines.push_str(node),
            }
        }
        lines
    }

    /// What [`Cluster::replication`] gives when all is well.
    pub fn healthy(replicas: u32) -> String {
        let ids: Vec<u32> = (1..=replicas).collect();
        let lines =
            |line: &dyn Fn(u32) -> String| ids.iter().map(|id| line(*id)).collect::<Vec<_>>().join("\n");
        let streams = lines(&|id| format!("stream slave{id} streaming slave{id} reserved"));
        let slots = lines(&|id| format!("slot slave{id} physical"));
        let pool = lines(&|id| format!("pool postgres-slave{id} up/up standby/standby"));
        let pool = format!("pool postgres-master up/up primary/primary\n{pool}\n");
        format!("{streams}\n{slots}\n{}", pool.replace("\n\n", "\n"))
    }

    /// At this moment: what `up` promises when it returns.
    #[track_caller]
    pub fn replicates_to(&self, replicas: u32) {
        assert_eq!(self.replication(), Cluster::healthy(replicas));
        assert_eq!(self.services(), services(replicas));
    }

    /// Soon, without anyone's help: the same.
    #[track_caller]
    pub fn replicates_again_to(&self, replicas: u32) {
        let expected = Cluster::healthy(replicas);
        // One that failed again and again waits for up to a minute before the watcher puts it back.
        eventually("all replicas stream and the pool uses them", 90, expected, || {
            self.replication()
        });
    }

    /// The nodes that have a container, without the pool.
    pub fn nodes(&self) -> Vec<String> {
        let services = self.services();
        let nodes = services
            .iter()
            .filter_map(|service| service.strip_prefix("postgres-"));
        nodes.map(|name| name.replace("slave", "slave-")).collect()
    }
}

/// The services of a cluster, sorted.
pub fn services(replicas: u32) -> Vec<String> {
    let replicas = (1..=replicas).map(|id| format!("postgres-slave{id}"));
    let fixed = ["pgpool-loadbalancer".to_owned(), "postgres-master".to_owned()];
    fixed.into_iter().chain(replicas).collect()
}
