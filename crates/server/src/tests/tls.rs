//! TLS: certificates of the server and of clients, for gRPC and for pages.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hitherto_client::{Client, Credentials, Error, Timeouts};
use hitherto_core::{Kind, Role};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::fixture::{engine, options};
use crate::tls::{H2, Tls};
use crate::{Auth, ClientAuth, Options, Server, TlsOptions};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root")
}

/// A certificate for 127.0.0.1 and its key, in PEM.
fn certificate(authority: &Authority) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, "leaf");
    let issuer: &Issuer<'_, KeyPair> = authority;
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

/// Writes a new certificate of the server there.
fn files(folder: &Path, authority: &Authority, client: ClientAuth) -> TlsOptions {
    let (cert, key) = certificate(authority);
    let options = TlsOptions { cert: folder.join("cert.pem"), key: folder.join("key.pem"), client };
    std::fs::write(&options.cert, cert).expect("written");
    std::fs::write(&options.key, key).expect("written");
    options
}

/// A server with TLS and tokens.
struct Secure {
    grpc: SocketAddr,
    http: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<crate::Result<()>>,
    _folder: TempDir,
}

impl Secure {
    async fn end(self) {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("no panic").expect("it ends well");
    }
}

/// Such a server, and the text of an admin's token.
async fn running(folder: TempDir, tls: TlsOptions) -> (Secure, String) {
    let engine = engine(folder.path()).await;
    let issued = engine.create_token("ops".parse().expect("a name"), Role::Admin, None).await.expect("a token");
    let options = Options { auth: Auth::Token, tls: Some(tls), ..options() };
    let server = Server::bind(engine, options).await.expect("it binds");
    let (grpc, http) = (server.grpc_address(), server.http_address());
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
    (Secure { grpc, http, stop, task, _folder: folder }, issued.text)
}

async fn connect(server: &Secure, credentials: &Credentials) -> hitherto_client::Result<Client> {
    Client::connect_as(&format!("https://{}", server.grpc), Timeouts::default(), credentials).await
}

/// The status line of a page, asked for over TLS by somebody who believes `root`.
async fn page(server: &Secure, root: &Authority, path: &str, token: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.pem().as_bytes()).expect("a root")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let stream = TcpStream::connect(server.http).await?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let asked = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn calls_and_pages_travel_over_tls_and_the_server_is_known_by_its_root() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, other) = (authority("root"), authority("other"));
    let tls = files(folder.path(), &root, ClientAuth::None);
    let (server, token) = running(folder, tls).await;
    let ca = Some(root.pem().into_bytes());
    let credentials = Credentials { token: Some(token.clone()), ca, identity: None };
    let client = connect(&server, &credentials).await.expect("it answers");
    let created = client.catalog_revision().await.expect("an admin may");
    assert!(created > 0, "the token is a change of the registry");
    for path in ["/healthz", "/metrics"] {
        assert_eq!(page(&server, &root, path, &token).await.expect("a page"), "HTTP/1.1 200 OK", "{path}");
    }
    assert_eq!(page(&server, &root, "/metrics", "").await.expect("a page"), "HTTP/1.1 401 Unauthorized");

    let wrong = Credentials { ca: Some(other.pem().into_bytes()), ..credentials };
    let error = connect(&server, &wrong).await.expect_err("another root");
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
    page(&server, &other, "/healthz", &token).await.expect_err("another root");
    let plain = Client::connect(&format!("http://{}", server.grpc)).await;
    match plain {
        // what is plain gets no answer, whether the connection comes about or not
        Ok(client) => drop(client.catalog_revision().await.expect_err("no TLS")),
        Err(error) => assert_eq!(error.kind(), Kind::Unavailable, "{error}"),
    }
    server.end().await;
}

#[tokio::test]
async fn a_required_certificate_of_a_client_is_asked_for_besides_the_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, clients, other) = (authority("root"), authority("clients"), authority("other"));
    let client_ca = folder.path().join("clients.pem");
    std::fs::write(&client_ca, clients.pem()).expect("written");
    let tls = files(folder.path(), &root, ClientAuth::Required(client_ca));
    let (server, token) = running(folder, tls).await;
    let ca = Some(root.pem().into_bytes());
    let with = |authority: Option<&Authority>, token: Option<&String>| {
        let identity = authority.map(certificate).map(|(cert, key)| (cert.into_bytes(), key.into_bytes()));
        Credentials { token: token.cloned(), ca: ca.clone(), identity }
    };
    let client = connect(&server, &with(Some(&clients), Some(&token))).await.expect("it answers");
    client.catalog_revision().await.expect("certificate and token");
    let client = connect(&server, &with(Some(&clients), None)).await.expect("it answers");
    let error = client.catalog_revision().await.expect_err("a certificate alone").to_string();
    assert!(error.contains("no token was shown"), "{error}");
    for (authority, what) in [(None, "a token alone"), (Some(&other), "another's certificate")] {
        // a client of TLS 1.3 learns of it with its first call
        let refused = match connect(&server, &with(authority, Some(&token))).await {
            Ok(client) => client.catalog_revision().await.expect_err(what),
            Err(error) => error,
        };
        assert_eq!(refused.kind(), Kind::Unavailable, "{what}: {refused}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_over_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = files(folder.path(), &authority("root"), ClientAuth::None);
    let tls = Tls::load(&options, H2).await.expect("it loads");
    assert!(!tls.reload().await.expect("it reads"), "nothing has changed");
    files(folder.path(), &authority("next"), ClientAuth::None);
    assert!(tls.reload().await.expect("it reads"), "there is a new one");
    assert!(!tls.reload().await.expect("it reads"));

    let (_, foreign) = certificate(&authority("other"));
    std::fs::write(&options.key, foreign).expect("written");
    let error = tls.reload().await.expect_err("a key of another").to_string();
    let file = options.cert.display();
    assert!(
        error.starts_with(&format!("could not use {file} of `server.tls`: it does not go with the key ")),
        "{error}"
    );
    std::fs::write(&options.key, "no key").expect("written");
    let error = tls.reload().await.expect_err("no key").to_string();
    assert!(error.contains("it has no private key in PEM"), "{error}");
    std::fs::write(&options.cert, "").expect("written");
    let error = tls.reload().await.expect_err("no certificate").to_string();
    assert!(error.ends_with("it has no certificate in PEM"), "{error}");
    std::fs::remove_file(&options.cert).expect("removed");
    let error = Tls::load(&options, H2).await.expect_err("no file");
    assert_eq!(error.kind(), Kind::InvalidArgument);
    assert!(error.to_string().contains("could not read it: No such file"), "{error}");
}
