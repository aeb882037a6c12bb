//! Nodes for the tests of other crates: everything a node needs, made in a folder.

use std::error::Error;
use std::path::Path;

use crate::config::{NodeConfig, environment_name};
use crate::keys::ClusterKeys;
use crate::tls;

/// The cluster id of test clusters.
pub const CLUSTER_ID: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
/// Login of the first administrator of test clusters.
pub const ADMIN: &str = "admin";
/// The first administrator's password.
pub const PASSWORD: &str = "geheim";

/// The configuration of a node that is a cluster of its own, with its keys and certificates written into `folder`. It
/// listens on free ports and starts the cluster itself.
///
/// # Errors
/// When the folder cannot be written to, or holds the files already.
pub fn single(folder: &Path) -> Result<NodeConfig, Box<dyn Error>> {
    let path = |name: &str| folder.join(name);
    ClusterKeys::generate()?.create(&path("cluster.key"))?;
    let ca = tls::new_ca(CLUSTER_ID)?;
    ca.create(&path("ca.pem"), &path("ca-key.pem"))?;
    let node = tls::new_node(&ca, CLUSTER_ID, 1, &["127.0.0.1".to_owned()])?;
    node.create(&path("node.pem"), &path("node-key.pem"))?;
    configuration(folder)
}

/// As [`single`], for a folder that it has filled before: a restart.
///
/// # Errors
/// When the configuration is not usable.
pub fn configuration(folder: &Path) -> Result<NodeConfig, Box<dyn Error>> {
    let text = format!(
        "[node]\nid = 1\nname = \"node-1\"\ndata_dir = \"data\"\n[cluster]\nid = \"{CLUSTER_ID}\"\n\
         listen = \"127.0.0.1:0\"\nadvertise = \"127.0.0.1:7580\"\nbootstrap = true\nkey_file = \"cluster.key\"\n\
         ca_file = \"ca.pem\"\ncertificate_file = \"node.pem\"\nprivate_key_file = \"node-key.pem\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\nurl = \"http://127.0.0.1\"\nplain = true\n[session]\n\
         cookie_secure = false\n"
    );
    let admin = [("admin.user", ADMIN), ("admin.password", PASSWORD)];
    let environment = admin.map(|(key, value)| (environment_name(key), value.to_owned()));
    NodeConfig::parse(&text, folder, environment).map_err(|problems| format!("{problems:?}").into())
}
