//! Many clients at the same moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio_postgres::{Config, NoTls};

use super::sql::{Login, reason};

/// A client that neither gets in nor is told why not within this time hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// How a crowd fared.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    pub served: usize,
    /// Reason → how often.
    pub refused: BTreeMap<String, usize>,
    pub hung: usize,
}

impl Login {
    /// `count` clients that come at once, ask one question and stay until the last has its answer.
    pub fn crowd(&self, count: usize) -> Crowd {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let all_are_done = Arc::new(Barrier::new(count));
            let clients: Vec<_> = (0..count)
                .map(|_| tokio::spawn(client(self.clone(), Arc::clone(&all_are_done))))
                .collect();
            let mut crowd = Crowd::default();
            for client in clients {
                match client.await.expect("no panic") {
                    Some(Ok(())) => crowd.served += 1,
                    Some(Err(why)) => *crowd.refused.entry(why).or_default() += 1,
                    None => crowd.hung += 1,
                }
            }
            crowd
        })
    }
}

async fn client(login: Login, all_are_done: Arc<Barrier>) -> Option<Result<(), String>> {
    let mut config = Config::new();
    config.host("127.0.0.1").port(login.port).user(&login.user);
    config
        .dbname(&login.database)
        .password(login.password.unwrap_or_default());
    let visit = async {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        client.simple_query("SELECT 1").await?;
        Ok::<_, tokio_postgres::Error>(client)
    };
    let visited = tokio::time::timeout(PATIENCE, visit).await;
    all_are_done.wait().await;
    Some(match visited.ok()? {
        Ok(_stays_until_here) => Ok(()),
        Err(error) => Err(reason(&error)),
    })
}
