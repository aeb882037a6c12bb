//! What of a configuration can only be checked by looking at the files it names.

use std::path::Path;

use tessera_core::secret::SecretText;

use super::NodeConfig;
use crate::file;
use crate::keys::ClusterKeys;
use crate::tls;

/// A password file of more than this is none.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// The password in a file that only its owner may access; a line end behind it does not belong to it.
pub(super) fn password(path: &Path) -> Result<SecretText, String> {
    let content = file::read_secret(path, PASSWORD_BYTES_MAX).map_err(|error| error_chain(&error))?;
    let text = std::str::from_utf8(&content).map_err(|_| "is not UTF-8 text".to_owned())?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("the file is empty".to_owned()),
        password => Ok(password.into()),
    }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl NodeConfig {
    /// Looks at the files a correct configuration names; returns one sentence for everything that would keep the node from
    /// starting.
    #[must_use]
    pub fn check_files(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Err(error) = ClusterKeys::load(&self.cluster.key_file) {
            problems.push(format!("cluster.key_file: {}", error_chain(&error)));
        }
        if let Err(error) = tls::load(&self.cluster.tls, &self.cluster.id, self.node.id) {
            problems.push(format!("[cluster] TLS files: {}", error_chain(&error)));
        }
        if let Some(files) = &self.http.tls
            && let Err(error) = tls::load_server(&files.certificate, &files.private_key)
        {
            problems.push(format!("[http] TLS files: {}", error_chain(&error)));
        }
        problems
    }
}
