//! The engine is asked over its socket, where it has one; whatever goes wrong there, `docker` is asked instead.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

use predicates::str::contains;
use tempfile::TempDir;

use super::fake_docker::FakeDocker;
use crate::folder::{Folder, env_with_free_ports};

/// An engine without containers that notes the paths it is asked for.
struct FakeEngine {
    folder: TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeEngine {
    /// Answers everything with `status`, and as a new engine would where that is 200.
    fn new(status: u16) -> FakeEngine {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("engine")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                let path = first.split(' ').nth(1).unwrap().to_owned();
                let body = match path.split(['?', '/']).nth(1).unwrap() {
                    "containers" => "[]",
                    "version" => r#"{"Version":"27.5.1"}"#,
                    "info" => r#"{"MemTotal":8589934592}"#,
                    _ => "{}",
                };
                notes.lock().unwrap().push(path);
                let length = body.len();
                let _ = write!(
                    client,
                    "HTTP/1.1 {status} Whatever\r\nContent-Length: {length}\r\n\r\n{body}"
                );
            }
        });
        FakeEngine { folder, asked }
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("engine").display())
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

fn folder() -> Folder {
    Folder::generated(1, &env_with_free_ports(1))
}

/// The first word or two of each call.
fn calls(docker: &FakeDocker) -> Vec<String> {
    docker.calls().iter().map(|words| words[..2].join(" ")).collect()
}

#[test]
fn an_engine_with_a_socket_needs_no_process_to_be_asked() {
    let (docker, engine) = (FakeDocker::working(), FakeEngine::new(200));
    docker
        .pgcluster(&folder(), &["status"])
        .env("DOCKER_HOST", engine.host())
        .assert()
        .code(3)
        .stdout(contains("no container"));
    assert_eq!(docker.calls().len(), 0);
    assert_eq!(engine.asked().len(), 1);

    docker
        .pgcluster(&folder(), &["up", "--dry-run"])
        .env("DOCKER_HOST", engine.host())
        .assert()
        .success();
    // Compose is looked at, since there is something for it to do.
    assert_eq!(calls(&docker), ["compose version"]);
    let asked = engine.asked();
    assert_eq!(asked.len(), 6, "{asked:?}");
    assert!(
        asked[0].starts_with("/containers/json?all=1&filters=%7B%22label%22"),
        "{asked:?}"
    );
    assert!(asked[2].starts_with("/images/pgcluster%2Dnode"), "{asked:?}");
}

#[test]
fn an_engine_that_answers_strangely_is_asked_by_docker() {
    let (docker, engine) = (FakeDocker::working(), FakeEngine::new(500));
    docker.runs(&[("postgres-master", 1)]);
    docker
        .pgcluster(&folder(), &["status"])
        .env("DOCKER_HOST", engine.host())
        .assert()
        .code(3);
    assert_eq!(engine.asked().len(), 1);
    assert_eq!(calls(&docker), ["ps --all"]);
}
