//! Trust in the server's certificate.

use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tessera_client::{Client, ClientError};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::{serve, value};

/// Starts a server with a self-signed certificate for `localhost`; returns its URL and the certificate.
async fn start() -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            tokio::spawn(serve(stream, Arc::new(|_: &_| value("{}")), Arc::new(Mutex::new(Vec::new()))));
        }
    });
    (format!("https://localhost:{port}"), cert.pem())
}

#[tokio::test]
async fn only_a_trusted_certificate_is_accepted() {
    let (url, pem) = start().await;
    let trusting = Client::builder().url(&url).ca_certificate_pem(pem).build().unwrap();
    trusting.list_realms().await.unwrap();
    let careless = Client::builder().url(&url).insecure(true).build().unwrap();
    careless.list_realms().await.unwrap();
    let default = Client::builder().url(&url).build().unwrap();
    let error = default.list_realms().await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
    let (_, other) = start().await;
    let elsewhere = Client::builder().url(&url).ca_certificate_pem(other).build().unwrap();
    assert!(elsewhere.list_realms().await.is_err());
}
