//! pgbench, in containers from the node image.

use anyhow::{Context, Result};

use crate::place;
use crate::process::{command, docker};
use crate::stack::Stack;

/// Where pgbench runs, with the password in a file.
pub struct Client {
    container: String,
}

impl Client {
    /// A container that waits for work: beside the cluster's containers, or, without a network, on this machine.
    pub fn start(name: &str, network: Option<&str>) -> Result<Client> {
        let folder = place::fresh("client")?;
        std::fs::write(folder.join("pgpass"), "*:*:*:postgresadmin:admin123\n")?;
        place::as_root(&format!(
            "cd '{}'; chown postgres pgpass; chmod 600 pgpass",
            folder.display()
        ))?;
        let mount = format!("{}:/client", folder.display());
        let network = network.unwrap_or("host");
        let container = place::run_container(
            name,
            &[
                "--network",
                network,
                "--volume",
                &mount,
                "--user=postgres",
                "--init",
                "--env=PGPASSFILE=/client/pgpass",
                "--env=PGUSER=postgresadmin",
                "--env=PGDATABASE=postgresdb",
                "--entrypoint=sleep",
                &place::images().node,
                "infinity",
            ],
        )?;
        Ok(Client { container })
    }

    fn words<'a>(
        &'a self,
        detached: bool,
        host: &'a str,
        port: &'a str,
        options: &[&'a str],
    ) -> Vec<&'a str> {
        let mut words = vec!["exec"];
        if detached {
            words.push("--detach");
        }
        words.extend([self.container.as_str(), "pgbench", "-h", host, "-p", port]);
        words.extend(options);
        words
    }

    pub fn pgbench(&self, host: &str, port: u16, options: &[&str]) -> Result<String> {
        docker(self.words(false, host, &port.to_string(), options))
    }

    /// Begins, and goes on until its server goes away or the container is removed.
    pub fn load(&self, host: &str, port: u16, options: &[&str]) -> Result<()> {
        docker(self.words(true, host, &port.to_string(), options)).map(drop)
    }

    /// Transactions a second.
    pub fn rate(&self, host: &str, port: u16, options: &[&str]) -> Result<f64> {
        let said = self.pgbench(host, port, options)?;
        // It says no rate where not one transaction came to its end in time.
        if said.contains("actually processed: 0\n") {
            return Ok(0.0);
        }
        let line = said.lines().find_map(|line| line.strip_prefix("tps = "));
        let number = line.and_then(|line| line.split(' ').next());
        let number = number.with_context(|| format!("pgbench says no rate: {said}"))?;
        Ok(number.parse()?)
    }

    /// A file in the container, for `-f`.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let script = format!("printf '%s\\n' \"$1\" >{path}");
        docker(["exec", &self.container, "bash", "-c", &script, "bash", text]).map(drop)
    }

    /// Ends what runs in it.
    pub fn end_load(&self) {
        // It may have ended itself.
        let _ = command("docker", ["exec", &self.container, "pkill", "pgbench"]).output();
    }
}

/// The tables of pgbench on the master; `scale` is in hundred thousands of rows.
pub fn fill(client: &Client, stack: &Stack, scale: u32) -> Result<()> {
    client.pgbench("127.0.0.1", stack.master, &["-i", "-q", "-s", &scale.to_string()])?;
    Ok(())
}
