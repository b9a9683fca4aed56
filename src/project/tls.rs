//! What `TLS=on` wants of the project: certificates for now, and whom to trust meanwhile.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Result;

use super::Project;
use crate::assets::Sources;
use crate::certificates::{self, Certificates};
use crate::postgres::Tls;
use crate::settings::Settings;
use crate::topology::{TRUSTED_FILE, Topology};

impl Project {
    /// The certificates that clients are to trust, where TLS is on.
    pub fn trusted_file(&self) -> Option<PathBuf> {
        self.settings.tls.then(|| self.topology.folder.join(TRUSTED_FILE))
    }
}

/// The certificates that there are, renewed where it is time.
pub fn certificates(
    settings: &Settings,
    topology: &Topology,
    sources: &Sources,
) -> Result<Option<Certificates>> {
    if !settings.tls {
        return Ok(None);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let names = topology.certificate_names(settings);
    certificates::renewed(&sources.secrets, &names, now).map(Some)
}

/// Whose certificates servers may have; also where TLS is off now, and servers may not know it yet.
pub fn whom_to_trust(sources: &Sources, is_required: bool) -> Result<Option<Tls>> {
    let trusted = match &sources.certificates {
        Some(certificates) => Some(certificates.trusted.clone()),
        None => certificates::trusted(&sources.secrets),
    };
    trusted
        .map(|trusted| Tls::trusting(&trusted, is_required))
        .transpose()
}
