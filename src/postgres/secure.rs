//! Connections by TLS with servers whose certificates are of the cluster's own authority.

use std::fmt;
use std::sync::Arc;

use anyhow::Result;
use rustls::ClientConfig;
use rustls::crypto::ring;

use super::kept::Link;
use super::{Config, Error, MakeRustlsConnect, SslMode};
use crate::certificates;

/// Whom to trust.
#[derive(Clone)]
pub struct Tls {
    connector: MakeRustlsConnect,
    /// A server without TLS is not spoken to.
    is_required: bool,
}

impl Tls {
    /// Trusts the authorities in a PEM text, for the addresses in their servers' certificates.
    ///
    /// # Errors
    /// The cryptography lacks what TLS needs.
    pub fn trusting(authorities: &str, is_required: bool) -> Result<Tls> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(certificates::roots(authorities))
            .with_no_client_auth();
        Ok(Tls {
            connector: MakeRustlsConnect::new(config),
            is_required,
        })
    }

    /// The same for servers among which some may not speak TLS yet.
    pub fn optional(mut self) -> Tls {
        self.is_required = false;
        self
    }

    pub async fn connect(&self, config: &mut Config) -> Result<Link, Error> {
        config.ssl_mode(match self.is_required {
            true => SslMode::Require,
            false => SslMode::Prefer,
        });
        let (client, connection) = config.connect(self.connector.clone()).await?;
        let task = tokio::spawn(connection);
        Ok(Link { client, task })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("is_required", &self.is_required)
            .finish_non_exhaustive()
    }
}
