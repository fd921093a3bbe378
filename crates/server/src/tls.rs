//! TLS: certificates from files, and connections whose handshake is over.
//!
//! gRPC and HTTP are served from the same kind of listener, so that one place knows how a connection comes about. The provider
//! of cryptography is named here: two are linked, and none is the default of the process.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::auth::Reason;
use crate::connections::{Accept, Address, Admitted, Connection, next};
use crate::options::{ClientAuth, TlsOptions};
use crate::shared::Shared;
use crate::slots::Slots;
use crate::{Error, Result};

/// A handshake that is not over by then never will be.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Handshakes under way: for another, the oldest is given up.
const HANDSHAKES_MAX: usize = 256;
/// The same of one machine, whose further connections are closed.
const HANDSHAKES_EACH: usize = 128;

/// What a client and the server agree to speak: gRPC.
pub(crate) const H2: &[u8] = b"h2";
/// The same for pages.
pub(crate) const HTTP_1: &[u8] = b"http/1.1";
/// The same for the wire of PostgreSQL, where a client names any.
pub(crate) const POSTGRESQL: &[u8] = b"postgresql";

/// The certificate in use, and the files that it is from.
#[derive(Debug)]
pub(crate) struct Tls {
    options: TlsOptions,
    protocol: &'static [u8],
    current: ArcSwap<Loaded>,
    handshakes: Handshakes,
}

/// Those under way, of all who accept connections to one address.
#[derive(Debug)]
struct Handshakes {
    /// The oldest first.
    under_way: Mutex<VecDeque<AbortHandle>>,
    slots: Slots,
}

impl Handshakes {
    fn new() -> Self {
        Self { under_way: Mutex::default(), slots: Slots::new(HANDSHAKES_EACH) }
    }

    /// Adds one, and gives up the oldest where there are too many: a client that means it is done in milliseconds. How many it
    /// gave up.
    fn add(&self, handshake: AbortHandle) -> usize {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|handshake| !handshake.is_finished());
        let too_many = (under_way.len() + 1).saturating_sub(HANDSHAKES_MAX);
        under_way.drain(..too_many).for_each(|oldest| oldest.abort());
        under_way.push_back(handshake);
        too_many
    }
}

#[derive(Debug)]
struct Loaded {
    files: Files,
    config: Arc<ServerConfig>,
    /// The server's own.
    certificate: CertificateDer<'static>,
}

impl Loaded {
    fn new(options: &TlsOptions, files: Files, protocol: &'static [u8]) -> Result<Self> {
        let config = Arc::new(config(options, &files, protocol)?);
        let certificate = certificates(&options.cert, &files.cert)?.swap_remove(0);
        Ok(Self { files, config, certificate })
    }
}

/// What the files hold. It has the key in it: there is no Debug of its own.
#[derive(PartialEq, Eq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    pub(crate) async fn load(options: &TlsOptions, protocol: &'static [u8]) -> Result<Self> {
        let files = read(options).await?;
        let current = ArcSwap::from_pointee(Loaded::new(options, files, protocol)?);
        Ok(Self { options: options.clone(), protocol, current, handshakes: Handshakes::new() })
    }

    /// Reads the files again. Connections that come afterwards get the new certificate; whether there is one.
    pub(crate) async fn reload(&self) -> Result<bool> {
        let files = read(&self.options).await?;
        if files == self.current.load().files {
            return Ok(false);
        }
        self.current.store(Arc::new(Loaded::new(&self.options, files, self.protocol)?));
        Ok(true)
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.with_certificate().0
    }

    /// What accepts connections, and the certificate that it shows, in DER.
    pub(crate) fn with_certificate(&self) -> (TlsAcceptor, CertificateDer<'static>) {
        let current = self.current.load();
        (TlsAcceptor::from(Arc::clone(&current.config)), current.certificate.clone())
    }
}

/// Accepts connections of TLS. Handshakes go on beside each other, so that a slow one holds up nobody.
pub(crate) struct TlsListener {
    tcp: TcpListener,
    address: Address,
    tls: Arc<Tls>,
    shared: Arc<Shared>,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, Admitted)>>,
}

impl TlsListener {
    pub(crate) fn new(tcp: TcpListener, address: Address, tls: Arc<Tls>, shared: Arc<Shared>) -> Self {
        Self { tcp, address, tls, shared, handshakes: JoinSet::new() }
    }

    fn begin(&mut self, stream: TcpStream, admitted: Admitted) {
        // who is gone by now gets no handshake either
        let Ok(peer) = stream.peer_addr() else { return };
        let Some(slot) = self.tls.handshakes.slots.take(peer.ip()) else {
            self.shared.metrics.refused(Reason::Handshake);
            tracing::debug!(%peer, "no handshake of TLS: {HANDSHAKES_EACH} of this machine are under way");
            return;
        };
        let (acceptor, shared) = (self.tls.acceptor(), Arc::clone(&self.shared));
        let handshake = self.handshakes.spawn(async move {
            // given back when the handshake is over, or given up
            let _slot = slot;
            let shaken = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
            let reason = match shaken {
                Ok(Ok(stream)) => return Some((stream, admitted)),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it was not over within {} s", HANDSHAKE_MAX.as_secs()),
            };
            shared.metrics.refused(Reason::Handshake);
            tracing::debug!(%peer, "no handshake of TLS: {reason}");
            None
        });
        for _ in 0..self.tls.handshakes.add(handshake) {
            self.shared.metrics.refused(Reason::Handshake);
        }
    }
}

impl Accept for TlsListener {
    type Io = TlsStream<TcpStream>;

    // dropped half-way it loses nothing: handshakes stay in the set, and connections in the kernel's queue
    async fn accept(&mut self) -> Connection<Self::Io> {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => if let Ok(Some((stream, admitted))) = done {
                    return Connection::new(stream, self.address, admitted);
                },
                accepted = next(&self.tcp, self.address, &self.shared), if self.handshakes.len() < 2 * HANDSHAKES_MAX => {
                    if let Some((stream, admitted)) = accepted {
                        self.begin(stream, admitted);
                    }
                }
            }
        }
    }
}

async fn read(options: &TlsOptions) -> Result<Files> {
    let client_ca = match &options.client {
        ClientAuth::None => None,
        ClientAuth::Optional(file) | ClientAuth::Required(file) => Some(read_file(file).await?),
    };
    Ok(Files { cert: read_file(&options.cert).await?, key: read_file(&options.key).await?, client_ca })
}

async fn read_file(file: &Path) -> Result<Vec<u8>> {
    tokio::fs::read(file).await.map_err(|error| Error::tls(file, format!("could not read it: {error}")))
}

fn config(options: &TlsOptions, files: &Files, protocol: &'static [u8]) -> Result<ServerConfig> {
    let provider = Arc::new(default_provider());
    let cert = certificates(&options.cert, &files.cert)?;
    let key = PrivateKeyDer::from_pem_slice(&files.key)
        .map_err(|error| Error::tls(&options.key, format!("it has no private key in PEM: {error}")))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::serve("set up TLS", error))?;
    let builder = match verifier(options, files, provider)? {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let mut config = builder.with_single_cert(cert, key).map_err(|error| {
        let reason = format!("it does not go with the key {}: {error}", options.key.display());
        Error::tls(&options.cert, reason)
    })?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// Who judges the certificates of clients, if they are asked for any.
fn verifier(
    options: &TlsOptions,
    files: &Files,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
    let (ClientAuth::Optional(file) | ClientAuth::Required(file), Some(pem)) = (&options.client, &files.client_ca)
    else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, pem)? {
        roots.add(certificate).map_err(|error| Error::tls(file, error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let is_optional = matches!(options.client, ClientAuth::Optional(_));
    let builder = if is_optional { builder.allow_unauthenticated() } else { builder };
    Ok(Some(builder.build().map_err(|error| Error::tls(file, error.to_string()))?))
}

fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| Error::tls(file, format!("it is no PEM: {error}")))?;
    if found.is_empty() {
        return Err(Error::tls(file, "it has no certificate in PEM".to_owned()));
    }
    Ok(found)
}
