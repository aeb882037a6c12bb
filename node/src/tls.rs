//! The cluster's own certification authority and the certificates of its nodes (DESIGN section 5: mutual TLS between
//! the nodes from the first day).
//!
//! A node's certificate carries, beside the host names it is reached under, the DNS name
//! `node-<node id>.<cluster id>.tessera`. A node that calls another one asks for exactly this name, so that neither an
//! address that was given to another node nor a certificate of another cluster is accepted. Only a node that looks for
//! the cluster at its first start asks for `member.<cluster id>.tessera`, which all nodes carry.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;
use zeroize::Zeroizing;

use crate::file;

/// Clocks of freshly installed machines differ; certificates are valid from a day ago.
const BACKDATED: Duration = Duration::DAY;
/// Validity of the certification authority.
const CA_VALIDITY: Duration = Duration::days(3650);
/// Validity of a node's certificate.
const NODE_VALIDITY: Duration = Duration::days(825);
/// From this many days before the end of a certificate on, starting a node warns.
pub const EXPIRY_WARNING_DAYS: i64 = 30;
/// A PEM file of more than this is none.
const PEM_BYTES_MAX: u64 = 256 * 1024;

/// The DNS name that identifies a node of a cluster.
#[must_use]
pub fn node_name(cluster_id: &str, node_id: u64) -> String {
    format!("node-{node_id}.{cluster_id}.tessera")
}

/// The DNS name that every node of a cluster carries beside its own: a node that looks for the cluster does not know the
/// ids behind the addresses it was given.
#[must_use]
pub fn member_name(cluster_id: &str) -> String {
    format!("member.{cluster_id}.tessera")
}

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A host is neither an IP address nor a DNS name.
    #[error("'{0}' is neither an IP address nor a DNS name")]
    Host(String),
    /// The CA certificate and key are not usable.
    #[error("the CA certificate and key are not usable")]
    Ca(#[source] rcgen::Error),
    /// The library refused.
    #[error("cannot make the certificate")]
    Issue(#[from] rcgen::Error),
}

/// Why the TLS files of a node cannot be used. Names files, never their content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or a private key is accessible to others.
    #[error(transparent)]
    File(#[from] file::FileError),
    /// A file holds no PEM block of the expected kind.
    #[error("{path} holds no {what} in PEM form")]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What was expected in it.
        what: &'static str,
    },
    /// The private key does not belong to the certificate, or is of an unsupported kind.
    #[error("the private key {key} does not fit the certificate {certificate}")]
    KeyMismatch {
        /// The key file.
        key: PathBuf,
        /// The certificate file.
        certificate: PathBuf,
        /// The cause.
        #[source]
        source: rustls::Error,
    },
    /// The certificate was not issued by the cluster's CA, or is not valid now.
    #[error("the certificate {certificate} is not accepted by the CA {ca}")]
    Untrusted {
        /// The certificate file.
        certificate: PathBuf,
        /// The CA file.
        ca: PathBuf,
        /// The cause.
        #[source]
        source: rustls::Error,
    },
    /// The CA file cannot be used as such.
    #[error("{path} holds no usable CA certificate")]
    BadCa {
        /// The CA file.
        path: PathBuf,
    },
    /// The certificate is that of another node or cluster.
    #[error("the certificate {certificate} is not for {expected}: make one with `tessera cert node`")]
    OtherNode {
        /// The certificate file.
        certificate: PathBuf,
        /// The name looked for.
        expected: String,
    },
}

/// A certificate and its private key, both PEM text.
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key.
    pub private_key_pem: Zeroizing<String>,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issued")
    }
}

impl Issued {
    /// Writes both files with mode 0600; existing files are never overwritten.
    ///
    /// # Errors
    /// When a file exists or cannot be written.
    pub fn create(&self, certificate: &Path, private_key: &Path) -> Result<(), file::FileError> {
        file::create_secret(private_key, self.private_key_pem.as_bytes())?;
        file::create_secret(certificate, self.certificate_pem.as_bytes())
    }
}

fn params(validity: Duration, common_name: String) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.not_before = now.saturating_sub(BACKDATED);
    params.not_after = now.saturating_add(validity);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// Makes the certification authority of a new cluster (ECDSA P-256).
///
/// # Errors
/// [`IssueError::Issue`].
pub fn new_ca(cluster_id: &str) -> Result<Issued, IssueError> {
    let key = KeyPair::generate()?;
    let mut params = params(CA_VALIDITY, format!("Tessera cluster {cluster_id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    Ok(Issued { certificate_pem: certificate.pem(), private_key_pem: Zeroizing::new(key.serialize_pem()) })
}

/// Makes a node's certificate (ECDSA P-256), valid as server and as client, for the given host names and addresses and
/// the node's own name ([`node_name`]).
///
/// # Errors
/// When the CA is not usable or a host is no host.
pub fn new_node(ca: &Issued, cluster_id: &str, node_id: u64, hosts: &[String]) -> Result<Issued, IssueError> {
    let ca_key = KeyPair::from_pem(&ca.private_key_pem).map_err(IssueError::Ca)?;
    let issuer = Issuer::from_ca_cert_pem(&ca.certificate_pem, ca_key).map_err(IssueError::Ca)?;
    let name = node_name(cluster_id, node_id);
    let mut params = params(NODE_VALIDITY, format!("Tessera node {node_id}"));
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![dns(&name)?, dns(&member_name(cluster_id))?];
    for host in hosts {
        params.subject_alt_names.push(match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => dns(host)?,
        });
    }
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Issued { certificate_pem: certificate.pem(), private_key_pem: Zeroizing::new(key.serialize_pem()) })
}

fn dns(name: &str) -> Result<SanType, IssueError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if name.is_empty() || name.len() > 253 || !name.chars().all(legal) {
        return Err(IssueError::Host(name.to_owned()));
    }
    name.try_into().map(SanType::DnsName).map_err(|_| IssueError::Host(name.to_owned()))
}

/// The TLS files of a node as its configuration names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate of the cluster's CA.
    pub ca: PathBuf,
    /// The node's certificate.
    pub certificate: PathBuf,
    /// The node's private key, accessible to its owner only.
    pub private_key: PathBuf,
}

/// The checked TLS material of a node, as PEM text.
pub struct NodeTls {
    /// Certificate of the cluster's CA.
    pub ca_pem: Vec<u8>,
    /// The node's certificate.
    pub certificate_pem: Vec<u8>,
    /// The node's private key.
    pub private_key_pem: Zeroizing<Vec<u8>>,
    /// Days until the node's certificate or the CA's ends, whichever comes first.
    pub days_left: i64,
}

impl std::fmt::Debug for NodeTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodeTls({} days left)", self.days_left)
    }
}

impl NodeTls {
    /// Whether the certificate ends soon.
    #[must_use]
    pub const fn ends_soon(&self) -> bool {
        self.days_left < EXPIRY_WARNING_DAYS
    }
}

/// Reads and checks the TLS files of a node: the key fits, the CA issued the certificate, it is valid now, and it is
/// that of this node of this cluster.
///
/// # Errors
/// [`TlsError`], which names the file.
pub fn load(files: &TlsFiles, cluster_id: &str, node_id: u64) -> Result<NodeTls, TlsError> {
    let ca_pem = file::read(&files.ca, PEM_BYTES_MAX)?.to_vec();
    let certificate_pem = file::read(&files.certificate, PEM_BYTES_MAX)?.to_vec();
    let private_key_pem = file::read_secret(&files.private_key, PEM_BYTES_MAX)?;
    let chain = certificates(&files.certificate, &certificate_pem)?;
    check_key(&files.certificate, &files.private_key, &chain, &private_key_pem)?;
    let roots = roots(&files.ca, &ca_pem)?;
    let (Some(node), Some(ca)) = (chain.first(), certificates(&files.ca, &ca_pem)?.into_iter().next()) else {
        return Err(TlsError::BadCa { path: files.ca.clone() });
    };
    check_chain(files, roots, &chain)?;
    let expected = node_name(cluster_id, node_id);
    if !names(node).contains(&expected) {
        return Err(TlsError::OtherNode { certificate: files.certificate.clone(), expected });
    }
    let days_left = days_left(node).min(days_left(&ca));
    Ok(NodeTls { ca_pem, certificate_pem, private_key_pem, days_left })
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// [`TlsError::NotPem`].
pub fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem = || TlsError::NotPem { path: path.to_owned(), what: "certificate" };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(not_pem)
}

/// The certificate and private key for HTTPS, as PEM text.
pub struct ServerTls {
    /// The certificate chain.
    pub certificate_pem: Vec<u8>,
    /// The private key.
    pub private_key_pem: Zeroizing<Vec<u8>>,
    /// Days until the certificate ends.
    pub days_left: i64,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerTls({} days left)", self.days_left)
    }
}

/// Reads and checks the certificate and private key for HTTPS: both are there and belong together.
///
/// # Errors
/// [`TlsError`], which names the file.
pub fn load_server(certificate: &Path, private_key: &Path) -> Result<ServerTls, TlsError> {
    let certificate_pem = file::read(certificate, PEM_BYTES_MAX)?.to_vec();
    let private_key_pem = file::read_secret(private_key, PEM_BYTES_MAX)?;
    let chain = certificates(certificate, &certificate_pem)?;
    check_key(certificate, private_key, &chain, &private_key_pem)?;
    let days_left = chain.first().map_or(0, days_left);
    Ok(ServerTls { certificate_pem, private_key_pem, days_left })
}

fn check_key(
    certificate: &Path,
    private_key: &Path,
    chain: &[CertificateDer<'static>],
    pem: &[u8],
) -> Result<(), TlsError> {
    let key = PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| TlsError::NotPem { path: private_key.to_owned(), what: "private key" })?;
    let pair = CertifiedKey::from_der(chain.to_vec(), key, &ring::default_provider());
    pair.map(drop).map_err(|source| TlsError::KeyMismatch {
        key: private_key.to_owned(),
        certificate: certificate.to_owned(),
        source,
    })
}

fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|_| TlsError::BadCa { path: path.to_owned() })?;
    }
    Ok(roots)
}

fn check_chain(
    files: &TlsFiles,
    roots: RootCertStore,
    chain: &[CertificateDer<'static>],
) -> Result<(), TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|_| TlsError::BadCa { path: files.ca.clone() })?;
    let Some((node, intermediates)) = chain.split_first() else { return Ok(()) };
    verifier.verify_client_cert(node, intermediates, UnixTime::now()).map(drop).map_err(|source| {
        TlsError::Untrusted { certificate: files.certificate.clone(), ca: files.ca.clone(), source }
    })
}

/// The DNS names of a certificate; none if it cannot be parsed.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let dns = |name: &GeneralName<'_>| {
        let GeneralName::DNSName(name) = name else { return None };
        Some((*name).to_owned())
    };
    names.value.general_names.iter().filter_map(dns).collect()
}

fn days_left(certificate: &CertificateDer<'_>) -> i64 {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return 0 };
    let end = parsed.validity().not_after.timestamp();
    (end - OffsetDateTime::now_utc().unix_timestamp()) / Duration::DAY.whole_seconds()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

    use super::*;

    const CLUSTER: &str = "0f8b6d5e-3c1a-4b7e-9a51-7d6d2f2c1b10";

    struct Fixture {
        _folder: tempfile::TempDir,
        files: TlsFiles,
    }

    fn fixture(ca: &Issued, cluster: &str, node: u64) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let files =
            TlsFiles { ca: path("ca.pem"), certificate: path("node.pem"), private_key: path("node-key.pem") };
        std::fs::write(&files.ca, &ca.certificate_pem).unwrap();
        let issued = new_node(ca, cluster, node, &["127.0.0.1".to_owned(), "otp1".to_owned()]).unwrap();
        issued.create(&files.certificate, &files.private_key).unwrap();
        Fixture { _folder: folder, files }
    }

    fn server(tls: &NodeTls) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let path = Path::new("ca.pem");
        let roots = Arc::new(roots(path, &tls.ca_pem).unwrap());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build().unwrap();
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                certificates(path, &tls.certificate_pem).unwrap(),
                PrivateKeyDer::from_pem_slice(&tls.private_key_pem).unwrap(),
            )
            .unwrap()
    }

    fn client(tls: &NodeTls) -> ClientConfig {
        let path = Path::new("ca.pem");
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(path, &tls.ca_pem).unwrap())
            .with_client_auth_cert(
                certificates(path, &tls.certificate_pem).unwrap(),
                PrivateKeyDer::from_pem_slice(&tls.private_key_pem).unwrap(),
            )
            .unwrap()
    }

    /// Runs the handshake in memory; `Err` has what the side that refused said.
    fn handshake(client_tls: &NodeTls, server_tls: &NodeTls, name: &str) -> Result<(), String> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client(client_tls)), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server(server_tls))).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().map_err(|error| format!("server: {error}"))?;
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().map_err(|error| format!("client: {error}"))?;
        }
        Ok(())
    }

    #[test]
    fn two_nodes_of_a_cluster_accept_each_other() {
        let ca = new_ca(CLUSTER).unwrap();
        let (one, two) = (fixture(&ca, CLUSTER, 1), fixture(&ca, CLUSTER, 2));
        let one = load(&one.files, CLUSTER, 1).unwrap();
        let two = load(&two.files, CLUSTER, 2).unwrap();
        assert_eq!(handshake(&one, &two, &node_name(CLUSTER, 2)), Ok(()));
        assert_eq!(handshake(&one, &two, "otp1"), Ok(()));
        assert!(one.days_left > 800 && !one.ends_soon(), "{}", one.days_left);
        // An address that now belongs to another node is noticed.
        let refused = handshake(&one, &two, &node_name(CLUSTER, 3)).unwrap_err();
        assert!(refused.starts_with("client: "), "{refused}");
    }

    #[test]
    fn nodes_of_different_clusters_refuse_each_other() {
        let (ours, theirs) = (new_ca(CLUSTER).unwrap(), new_ca(CLUSTER).unwrap());
        let one = load(&fixture(&ours, CLUSTER, 1).files, CLUSTER, 1).unwrap();
        let stranger = load(&fixture(&theirs, CLUSTER, 2).files, CLUSTER, 2).unwrap();
        let refused = handshake(&one, &stranger, &node_name(CLUSTER, 2)).unwrap_err();
        assert!(refused.starts_with("client: "), "{refused}");
        // The other way round: a client that trusts us but holds a certificate we did not issue.
        let mixed = NodeTls { ca_pem: one.ca_pem.clone(), ..stranger };
        let refused = handshake(&mixed, &one, &node_name(CLUSTER, 1)).unwrap_err();
        assert!(refused.starts_with("server: "), "{refused}");
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused() {
        let ca = new_ca(CLUSTER).unwrap();
        let (one, two) = (fixture(&ca, CLUSTER, 1), fixture(&ca, CLUSTER, 2));
        assert!(matches!(load(&one.files, CLUSTER, 2), Err(TlsError::OtherNode { .. })));
        assert!(matches!(load(&one.files, "other", 1), Err(TlsError::OtherNode { .. })));
        let crossed = TlsFiles { private_key: two.files.private_key, ..one.files.clone() };
        assert!(matches!(load(&crossed, CLUSTER, 1), Err(TlsError::KeyMismatch { .. })));
        let foreign = fixture(&new_ca(CLUSTER).unwrap(), CLUSTER, 1);
        let crossed = TlsFiles { ca: foreign.files.ca, ..one.files.clone() };
        assert!(matches!(load(&crossed, CLUSTER, 1), Err(TlsError::Untrusted { .. })));
        let swapped = TlsFiles { certificate: one.files.private_key.clone(), ..one.files };
        assert!(matches!(load(&swapped, CLUSTER, 1), Err(TlsError::NotPem { .. })));
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        let ca = new_ca(CLUSTER).unwrap();
        for host in ["", "a b", "otp1/24", "ö.example"] {
            let result = new_node(&ca, CLUSTER, 1, &[host.to_owned()]);
            assert!(matches!(result, Err(IssueError::Host(_))), "{host:?}");
        }
    }
}
