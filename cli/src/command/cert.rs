//! `tessera cert`: the cluster's certification authority and its nodes' certificates.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use tessera_node::{file, tls};

use crate::exit::Usage;
use crate::output;

/// A PEM file of more than this is none.
const PEM_BYTES_MAX: u64 = 256 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum Cert {
    /// Makes the certification authority of a new cluster, once.
    #[command(
        after_help = "Example:\n  tessera cert ca --cluster-id $(uuidgen) --out ca.pem --key-out ca-key.pem\n\n\
        The CA's private key is needed only to make certificates: keep it away from the nodes."
    )]
    Ca(Ca),
    /// Makes the certificate of a node.
    #[command(
        after_help = "Example:\n  tessera cert node --cluster-id ID --node-id 1 --host otp1.example.com \\\n    \
        --ca ca.pem --ca-key ca-key.pem --out node.pem --key-out node-key.pem"
    )]
    Node(NodeCertificate),
}

#[derive(Args, Debug)]
pub(crate) struct Ca {
    /// The cluster's id, a UUID
    #[arg(long, value_name = "UUID")]
    cluster_id: uuid::Uuid,
    /// File of the certificate, which every node gets
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// File of the private key, which no node gets
    #[arg(long, value_name = "FILE")]
    key_out: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct NodeCertificate {
    /// The cluster's id, a UUID
    #[arg(long, value_name = "UUID")]
    cluster_id: uuid::Uuid,
    /// The node's id
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    node_id: u64,
    /// Host name or address of the node; may be repeated
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// The CA's certificate; `--ca` means the same
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// The CA's private key
    #[arg(long, value_name = "FILE")]
    ca_key: PathBuf,
    /// File of the certificate
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// File of the private key
    #[arg(long, value_name = "FILE")]
    key_out: PathBuf,
}

impl Cert {
    pub(super) fn run(self, ca: Option<PathBuf>) -> anyhow::Result<()> {
        match self {
            Self::Ca(command) => {
                tls::new_ca(&command.cluster_id.to_string())?.create(&command.out, &command.key_out)?;
                output::line(&format!("CA of cluster {}: {}", command.cluster_id, command.out.display()));
                Ok(())
            }
            Self::Node(command) => command.run(ca),
        }
    }
}

impl NodeCertificate {
    fn run(self, ca: Option<PathBuf>) -> anyhow::Result<()> {
        let ca_path = self.ca_cert.or(ca).ok_or_else(|| Usage("--ca FILE is missing".to_owned()))?;
        let text = |path: &PathBuf, content: &[u8]| {
            let name = path.display().to_string();
            String::from_utf8(content.to_vec()).with_context(|| format!("{name} is not a PEM file"))
        };
        let ca = tls::Issued {
            certificate_pem: text(&ca_path, &file::read(&ca_path, PEM_BYTES_MAX)?)?,
            private_key_pem: text(&self.ca_key, &file::read_secret(&self.ca_key, PEM_BYTES_MAX)?)?.into(),
        };
        let cluster = self.cluster_id.to_string();
        tls::new_node(&ca, &cluster, self.node_id, &self.host)?.create(&self.out, &self.key_out)?;
        output::line(&format!(
            "certificate of {}: {}",
            tls::node_name(&cluster, self.node_id),
            self.out.display()
        ));
        Ok(())
    }
}
