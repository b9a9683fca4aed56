//! The Docker engine, asked over the socket that the `docker` program would use: 2 ms an answer, not the 30 of a process.
//!
//! Whatever is asked here can be asked of `docker` too, and is, where that program reaches its engine in another way (SSH,
//! TLS, another machine) or no good answer comes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::assets;
use crate::points;
use crate::topology::hex;

/// Longer than any answer on a busy machine; then `docker` is called, which tells why there is none.
const LIMIT: Duration = Duration::from_secs(10);

/// An HTTP status and a body.
pub type Answer = (u16, Bytes);

/// Where an engine of this machine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Socket(PathBuf),
    /// A named pipe of Windows.
    Pipe(PathBuf),
    /// Host and port of this machine.
    Tcp(String),
}

/// The engine's answer to a GET of `path`, where its status is one of `statuses`; `None` where `docker` has to be asked.
pub async fn get(path: &str, statuses: &[u16]) -> Option<Answer> {
    let answer = ask(Method::GET, path).await?;
    statuses.contains(&answer.0).then_some(answer)
}

/// Whether the engine did what a POST of `path` orders; where it did not, `docker` has to be called.
pub async fn post(path: &str) -> bool {
    points::pass("before an order to the engine");
    let answer = ask(Method::POST, path).await;
    points::pass("after an order to the engine");
    answer.is_some_and(|(status, _)| status < 300)
}

async fn ask(method: Method, path: &str) -> Option<Answer> {
    let address = address(
        |key| std::env::var(key).ok().filter(|value| !value.is_empty()),
        home(),
    )?;
    let request = Request::builder().method(method).uri(path);
    // Without a version in the path the engine answers in its own.
    let request = request.header("Host", "docker").body(Empty::new()).ok()?;
    let answer = send(&address, request);
    tokio::time::timeout(LIMIT, answer).await.ok()?
}

async fn send(address: &Address, request: Request<Empty<Bytes>>) -> Option<Answer> {
    match address {
        #[cfg(unix)]
        Address::Socket(socket) => {
            exchange(tokio::net::UnixStream::connect(socket).await.ok()?, request).await
        }
        #[cfg(windows)]
        Address::Pipe(pipe) => {
            let client = tokio::net::windows::named_pipe::ClientOptions::new().open(pipe);
            exchange(client.ok()?, request).await
        }
        Address::Tcp(host) => exchange(TcpStream::connect(host).await.ok()?, request).await,
        // The other system's.
        _ => None,
    }
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Option<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .ok()?;
    // It ends with the sender.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.into_body().collect().await.ok()?.to_bytes()))
}

/// What of the client's `config.json` leads to another engine, or to another way there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ClientConfig {
    #[serde(rename = "currentContext")]
    context: String,
    #[serde(rename = "HttpHeaders")]
    headers: serde_json::Map<String, serde_json::Value>,
}

/// The engine that `docker` would talk to, by the rules of its client, as far as it is one that can be asked here.
fn address(variable: impl Fn(&str) -> Option<String>, home: Option<PathBuf>) -> Option<Address> {
    let special = ["DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CUSTOM_HEADERS"];
    if special.iter().any(|key| variable(key).is_some()) {
        return None;
    }
    let folder = match variable("DOCKER_CONFIG") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => home.map(|home| home.join(".docker")),
    };
    let config = match folder.as_ref().map(|folder| folder.join("config.json")) {
        Some(path) => match assets::read_if_there(&path).ok()? {
            Some(bytes) => serde_json::from_slice(&bytes).ok()?,
            None => ClientConfig::default(),
        },
        None => ClientConfig::default(),
    };
    if !config.headers.is_empty() {
        return None;
    }
    if let Some(host) = variable("DOCKER_HOST") {
        return parse(&host);
    }
    let context = variable("DOCKER_CONTEXT").unwrap_or(config.context);
    match context.as_str() {
        "" | "default" => parse(DEFAULT_HOST),
        name => parse(&host_of_context(&folder?, name)?),
    }
}

#[cfg(windows)]
const DEFAULT_HOST: &str = "npipe:////./pipe/docker_engine";
#[cfg(not(windows))]
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

fn host_of_context(folder: &Path, name: &str) -> Option<String> {
    let path = folder
        .join("contexts/meta")
        .join(hex(name.as_bytes(), 64))
        .join("meta.json");
    let meta: serde_json::Value = serde_json::from_slice(&assets::read_if_there(&path).ok()??).ok()?;
    Some(
        meta.get("Endpoints")?
            .get("docker")?
            .get("Host")?
            .as_str()?
            .to_owned(),
    )
}

fn parse(host: &str) -> Option<Address> {
    if let Some(path) = host.strip_prefix("unix://") {
        return Some(Address::Socket(path.into()));
    }
    if let Some(path) = host.strip_prefix("npipe://") {
        return Some(Address::Pipe(path.replace('/', r"\").into()));
    }
    let host = host.strip_prefix("tcp://")?.trim_end_matches('/');
    let (name, port) = host.rsplit_once(':')?;
    // Others are reached through a proxy, perhaps.
    let here = ["127.0.0.1", "localhost", "[::1]"].contains(&name) && port.parse::<u16>().is_ok();
    here.then(|| Address::Tcp(host.to_owned()))
}

fn home() -> Option<PathBuf> {
    std::env::home_dir()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_is_the_engine_of_the_docker_program() {
        let home = tempfile::tempdir().unwrap();
        let docker = home.path().join(".docker");
        let meta = docker.join("contexts/meta").join(hex(b"desk", 64));
        fs::create_dir_all(&meta).unwrap();
        fs::write(
            meta.join("meta.json"),
            r#"{"Name":"desk","Endpoints":{"docker":{"Host":"unix:///desk.sock"}}}"#,
        )
        .unwrap();
        let check = |config: &str, variables: &[(&str, &str)], expected: Option<Address>| {
            fs::write(docker.join("config.json"), config).unwrap();
            let variable = |key: &str| {
                let found = variables.iter().find(|(name, _)| *name == key);
                found.map(|(_, value)| (*value).to_owned())
            };
            let found = address(variable, Some(home.path().to_owned()));
            assert_eq!(found, expected, "{config} {variables:?}");
        };
        let default = parse(DEFAULT_HOST);
        assert!(default.is_some());
        let socket = |path: &str| Some(Address::Socket(path.into()));
        let tcp = |host: &str| Some(Address::Tcp(host.into()));
        check("{}", &[], default.clone());
        check(
            r#"{"currentContext":"desk","auths":{}}"#,
            &[],
            socket("/desk.sock"),
        );
        check(
            r#"{"currentContext":"desk"}"#,
            &[("DOCKER_CONTEXT", "default")],
            default.clone(),
        );
        check("{}", &[("DOCKER_CONTEXT", "desk")], socket("/desk.sock"));
        check("{}", &[("DOCKER_CONTEXT", "unknown")], None);
        let host = |host| ("DOCKER_HOST", host);
        check(
            r#"{"currentContext":"desk"}"#,
            &[host("unix:///here.sock"), ("DOCKER_CONTEXT", "unknown")],
            socket("/here.sock"),
        );
        check("{}", &[host("tcp://127.0.0.1:2375")], tcp("127.0.0.1:2375"));
        check("{}", &[host("tcp://localhost:2375/")], tcp("localhost:2375"));
        // Whatever is not known to be the same is left to the program itself.
        check("{}", &[host("ssh://somewhere")], None);
        check("{}", &[host("tcp://example.org:2375")], None);
        check(
            "{}",
            &[host("tcp://127.0.0.1:2376"), ("DOCKER_TLS_VERIFY", "1")],
            None,
        );
        check(r#"{"HttpHeaders":{"X":"y"}}"#, &[], None);
        check("nonsense", &[], None);
        assert_eq!(
            parse("npipe:////./pipe/docker_engine"),
            Some(Address::Pipe(r"\\.\pipe\docker_engine".into()))
        );
    }
}
