//! A server's clock that is wrong by an hour, by libfaketime from Debian, which a user would add in the same way.

use std::fs;

use super::{BACK, Scene};
use crate::cluster::eventually;

/// Of the package that EXTRA_PACKAGES adds. The monotonic clock is left alone: no machine's jumps.
const LIBRARY: &str = "/usr/lib/ARCH-linux-gnu/faketime/libfaketime.so.1";
const OVERRIDE: &str = "compose.override.yaml";

impl Scene<'_> {
    /// While the cluster works, the clock of a server is set to another time of the day, and back after a while.
    ///
    /// In between all is as it should be: replication, `status`, and a replica that freezes is found frozen.
    pub fn clock(&self, service: &str, offset: &str) {
        self.cluster.has_the_downloads();
        self.cluster.settings([("EXTRA_PACKAGES", "libfaketime")]);
        let architecture = std::env::consts::ARCH;
        let library = LIBRARY.replace("ARCH", architecture);
        self.cluster.write(
            OVERRIDE,
            &format!(
                "services: {{{service}: {{environment: {{LD_PRELOAD: {library}, FAKETIME: {offset:?}, \
                 FAKETIME_DISABLE_SHM: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1'}}}}}}\n"
            ),
        );
        self.cluster.run(["up", "--timeout", "300"]).exits(0);
        self.ledger.goes_on(100, BACK);
        let way = if offset.starts_with('+') {
            "ahead of"
        } else {
            "behind"
        };
        let place = service.trim_start_matches("postgres-").replace("slave", "slave-");
        let doctor = self.cluster.run(["doctor"]);
        let is_told = doctor
            .output()
            .lines()
            .any(|line| line.contains(&place) && line.contains(&format!("{way} that of this machine")));
        assert!(is_told, "{doctor}");
        // The watcher may still judge by a look at the server of before.
        eventually("status finds nothing", 90, Some(0), || {
            self.cluster.run(["status"]).code
        });
        self.cluster.run(["up"]).exits(0);
        self.freeze("postgres-slave1");
        self.cluster.replicates_again_to(super::REPLICAS);
        self.ledger.goes_on(100, BACK);
        fs::remove_file(self.cluster.folder.join(OVERRIDE)).expect("it is there");
        self.cluster.run(["up"]).exits(0);
    }
}
