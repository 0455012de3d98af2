//! TLS is checked by real handshakes: a server is trusted by the CA the config names, by no other,
//! and only under its own name.

use std::{io::Write as _, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reelhaul::{
    destination::{
        Account,
        jwplayer::{JwPlayer, JwPlayerOptions},
    },
    error::{Kind, Result},
    secret::Secret,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// A CA of our own, and its certificate in a file as a config would name it.
struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: NamedTempFile,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(issuer.pem().as_bytes()).unwrap();
        Self { issuer, file }
    }

    /// A server that holds a certificate of this CA for `name` and accepts any key; its port.
    async fn serve(&self, name: &str) -> u16 {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not trust us ends the handshake.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n")
                    && stream.read_buf(&mut asked).await.unwrap() > 0
                {}
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"media\":[]}";
                stream.write_all(answer).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        port
    }
}

async fn check(port: u16, ca: Option<&Ca>) -> Result<String> {
    let mut options = JwPlayerOptions::new("Site0001", Secret::new("SECRET"));
    options.url = format!("https://localhost:{port}");
    options.ca = ca.map(|ca| ca.file.path().to_owned());
    JwPlayer::new(options)?.check().await
}

#[tokio::test]
async fn a_server_is_trusted_by_the_ca_that_the_config_names_and_by_no_other() {
    let (ours, other) = (Ca::new(), Ca::new());
    let port = ours.serve("localhost").await;
    check(port, Some(&ours)).await.unwrap();
    for ca in [None, Some(&other)] {
        let error = check(port, ca).await.unwrap_err();
        // Not the line's fault: it is not waited for.
        assert_eq!(error.kind, Kind::Certificate, "{error}");
        assert!(error.message.contains("no safe connection"), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let ca = Ca::new();
    let port = ca.serve("storage.example").await;
    let error = check(port, Some(&ca)).await.unwrap_err();
    assert!(error.message.contains("no safe connection"), "{error}");
}

#[tokio::test]
async fn a_ca_file_without_certificates_is_refused() {
    let mut ca = Ca::new();
    for text in ["", "-----BEGIN NONSENSE-----"] {
        ca.file = NamedTempFile::new().unwrap();
        ca.file.write_all(text.as_bytes()).unwrap();
        let error = check(9, Some(&ca)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Refused, "{error}");
    }
}
