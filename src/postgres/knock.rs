//! Whether somebody serves on a port, without a login.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Endpoint, PATIENCE};

/// The question whether a server speaks TLS (SSLRequest), with its length before it. A server has an answer of one byte
/// for it before it knows who asks: Pgpool-II's is that of a process which is free for a client.
const QUESTION: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const NO: u8 = b'N';

/// Whether a server without TLS takes connections. Of one with TLS it is not known: Pgpool-II logs a warning for
/// whoever leaves after the question.
pub async fn is_open(endpoint: &Endpoint) -> bool {
    if endpoint.tls.is_some() {
        return false;
    }
    let ask = async {
        let mut stream = TcpStream::connect((endpoint.host, endpoint.port)).await?;
        stream.write_all(&QUESTION).await?;
        stream.read_u8().await
    };
    let answer = tokio::time::timeout(PATIENCE, ask).await;
    matches!(answer, Ok(Ok(NO)))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::settings::Login;

    async fn check(answer: &'static [u8], expected: bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let endpoint = Endpoint {
            host: address.ip(),
            port: address.port(),
            login: Login {
                user: "me".into(),
                password: String::new().into(),
            },
            database: "there".into(),
            tls: None,
        };
        let server = async {
            let (mut client, _) = listener.accept().await.expect("a client");
            let mut heard = [0; 8];
            client.read_exact(&mut heard).await.expect("a question");
            assert_eq!(heard, QUESTION);
            client.write_all(answer).await.expect("an answer");
        };
        let (open, ()) = tokio::join!(is_open(&endpoint), server);
        assert_eq!(open, expected, "{answer:?}");
    }

    #[tokio::test]
    async fn only_who_answers_is_open() {
        check(b"N", true).await;
        check(b"S", false).await;
        check(b"E\0\0\0\x20SFATAL\0Msorry, too many clients already\0\0", false).await;
        check(b"", false).await;
    }
}
