//! Encrypted connections: which servers are trusted, and by which certificate does this machine log in?
//!
//! The words in the address are libpq's (`sslmode`, `sslrootcert`, `sslcert`, `sslkey`). Files are read for every connection,
//! so a certificate that is renewed in its place is taken up without a restart.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use postgres::config::SslMode;
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

use super::tls_fault::TlsFault;

/// `sslrootcert` for the authorities that this machine's system trusts.
const SYSTEM: &str = "system";

/// The protocol that servers from version 17 on ask for by its name.
const ALPN: &[u8] = b"postgresql";

/// How much a connection is to be protected; what libpq calls `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Protection {
    /// Never encrypted.
    #[default]
    Disable,
    /// Encrypted where the server can, by whatever certificate.
    Prefer,
    /// Encrypted, by whatever certificate unless authorities are named.
    Require,
    /// The server's certificate is signed by a trusted authority.
    VerifyCa,
    /// It also holds the host's name.
    VerifyFull,
}

impl Protection {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }

    /// What the client of PostgreSQL has to know of it.
    pub(super) fn ssl_mode(self) -> SslMode {
        match self {
            Self::Disable => SslMode::Disable,
            Self::Prefer => SslMode::Prefer,
            Self::Require | Self::VerifyCa | Self::VerifyFull => SslMode::Require,
        }
    }
}

#[derive(Clone, Debug)]
enum Authorities {
    System,
    File(PathBuf),
}

/// The parameters of an address that are about encryption, as they stand there.
#[derive(Debug, Default)]
pub(super) struct TlsParameters {
    mode: Option<String>,
    roots: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl TlsParameters {
    /// The place of a parameter's value; `None` for one that is not about encryption.
    pub(super) fn place(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "sslmode" => &mut self.mode,
            "sslrootcert" => &mut self.roots,
            "sslcert" => &mut self.certificate,
            "sslkey" => &mut self.key,
            _ => return None,
        })
    }

    /// What they mean together, or what is wrong with them.
    pub(super) fn settle(self) -> Result<Tls, String> {
        let protection = match (self.mode.as_deref(), &self.roots) {
            (Some(word), _) => Protection::of(word).ok_or_else(|| {
                format!("sslmode={word} is not known: use disable, prefer, require, verify-ca or verify-full")
            })?,
            // Authorities are named by those who want the server to be verified.
            (None, Some(_)) => Protection::VerifyFull,
            (None, None) => Protection::Prefer,
        };
        let authorities = match self.roots {
            Some(roots) if roots == SYSTEM => Some(Authorities::System),
            Some(roots) => Some(Authorities::File(roots.into())),
            None if protection == Protection::VerifyFull => Some(Authorities::System),
            None => None,
        };
        match (protection, &authorities) {
            (Protection::Disable | Protection::Prefer, Some(_)) => {
                return Err("sslrootcert has no effect with this sslmode: use sslmode=verify-full".to_owned());
            }
            // Anyone can have a certificate of a public authority, for a name of their own.
            (Protection::VerifyCa, None | Some(Authorities::System)) => {
                return Err(
                    "sslmode=verify-ca needs the file of the server's authority: add sslrootcert=PATH, or use \
                     sslmode=verify-full"
                        .to_owned(),
                );
            }
            _ => {}
        }
        let login = match (self.certificate, self.key) {
            (Some(_), _) | (_, Some(_)) if protection == Protection::Disable => {
                return Err("sslcert and sslkey have no effect with sslmode=disable".to_owned());
            }
            (Some(certificate), Some(key)) => {
                Some(Login { certificate: certificate.into(), key: key.into() })
            }
            (None, None) => None,
            _ => return Err("sslcert and sslkey go together: name both files".to_owned()),
        };
        Ok(Tls { protection, authorities, login })
    }
}

/// The files of the certificate by which this machine logs in.
#[derive(Clone, Debug)]
struct Login {
    certificate: PathBuf,
    key: PathBuf,
}

/// How connections to a server are encrypted: by default, not at all.
#[derive(Clone, Debug, Default)]
pub(super) struct Tls {
    protection: Protection,
    authorities: Option<Authorities>,
    login: Option<Login>,
}

impl Tls {
    pub(super) fn protection(&self) -> Protection {
        self.protection
    }

    /// Whether a server has to prove who it is before anything is sent to it.
    pub(super) fn verifies(&self) -> bool {
        self.authorities.is_some()
    }

    fn config(&self) -> Result<ClientConfig, TlsFault> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let unusable = |error: rustls::Error| TlsFault::Other(error.to_string());
        let verifier: Arc<dyn ServerCertVerifier> = match &self.authorities {
            None => Arc::new(AnyServer(Arc::clone(&provider))),
            Some(Authorities::System) => Arc::new(
                rustls_platform_verifier::Verifier::new(Arc::clone(&provider))
                    .map_err(|error| TlsFault::SystemRoots { problem: error.to_string() })?,
            ),
            Some(Authorities::File(path)) => {
                let verifier = verifier_of(path, &provider)?;
                let any_name = self.protection != Protection::VerifyFull;
                if any_name { Arc::new(AnyName(verifier)) } else { verifier }
            }
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.login {
            None => builder.with_no_client_auth(),
            Some(login) => {
                let (chain, key) = login.read()?;
                builder.with_client_auth_cert(chain, key).map_err(|error| TlsFault::File {
                    what: "certificate",
                    path: login.certificate.clone(),
                    problem: format!("it cannot be used with the key {}: {error}", login.key.display()),
                })?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }

    /// Which of the files that are named may be the wrong one, for the text of a fault.
    fn authorities_named(&self) -> String {
        match &self.authorities {
            Some(Authorities::File(path)) => format!("the file {}", path.display()),
            Some(Authorities::System) | None => "this machine's system".to_owned(),
        }
    }
}

impl Login {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsFault> {
        let chain = certificates("certificate", &self.certificate)?;
        let fault = |problem: String| TlsFault::File { what: "key", path: self.key.clone(), problem };
        only_its_owner_reads(&self.key).map_err(fault)?;
        let text = std::fs::read(&self.key).map_err(|error| fault(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(&text)
            .map_err(|_| fault("it holds no private key in PEM, without a passphrase".to_owned()))?;
        Ok((chain, key))
    }
}

/// Refuses a file that others can read. As libpq has it, the group may read one that belongs to root.
pub(super) fn only_its_owner_reads(path: &Path) -> Result<(), String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let Ok(meta) = std::fs::metadata(path) else { return Ok(()) };
        let not_for_others = if meta.uid() == 0 { 0o037 } else { 0o077 };
        if meta.mode() & not_for_others != 0 {
            return Err("others can read it: chmod 600 it".to_owned());
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let fault = |problem: String| TlsFault::File { what, path: path.to_path_buf(), problem };
    let text = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(fault("it holds no certificate in PEM".to_owned())),
    }
}

fn verifier_of(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, TlsFault> {
    let fault = |problem: String| TlsFault::File { what: "authorities", path: path.to_path_buf(), problem };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("authorities", path)? {
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| fault(error.to_string()))
}

/// Why the handshake failed: the network, or what was said over it.
#[derive(Debug)]
pub(super) enum HandshakeError {
    Io(io::Error),
    Fault(TlsFault),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl From<HandshakeError> for Box<dyn std::error::Error + Send + Sync> {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Io(error) => Box::new(error),
            HandshakeError::Fault(fault) => Box::new(fault),
        }
    }
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type TlsConnect = Handshake;
    type Error = TlsFault;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Handshake, TlsFault> {
        // A connection that is not to be encrypted has no use for the files, which may be gone.
        let config = if self.protection == Protection::Disable { None } else { Some(self.config()?) };
        Ok(Handshake { config, name: domain.to_owned(), trusting: self.authorities_named() })
    }
}

/// What one connection's handshake needs.
#[derive(Debug)]
pub(super) struct Handshake {
    config: Option<ClientConfig>,
    name: String,
    trusting: String,
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type Error = HandshakeError;
    type Future = Pin<Box<dyn Future<Output = Result<Encrypted<S>, HandshakeError>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let Self { config, name, trusting } = self;
            let other = |problem: &str| HandshakeError::Fault(TlsFault::Other(problem.to_owned()));
            let config = config.ok_or_else(|| other("sslmode=disable forbids it"))?;
            let server = ServerName::try_from(name.clone())
                .map_err(|_| other(&format!("{name:?} is no name of a host")))?;
            let connected = TlsConnector::from(Arc::new(config)).connect(server, stream).await;
            connected.map(Encrypted).map_err(|error| {
                match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    Some(fault) => HandshakeError::Fault(TlsFault::of(fault, &name, &trusting)),
                    None => HandshakeError::Io(error),
                }
            })
        })
    }
}

/// An encrypted connection.
#[derive(Debug)]
pub(super) struct Encrypted<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    /// For SCRAM-SHA-256-PLUS, by which a password proves itself for this connection alone.
    fn channel_binding(&self) -> ChannelBinding {
        let certificate = self.0.get_ref().1.peer_certificates().and_then(<[_]>::first);
        match certificate.and_then(|certificate| end_point(certificate)) {
            Some(digest) => ChannelBinding::tls_server_end_point(digest),
            None => ChannelBinding::none(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// RFC 5929, 4.1: the digest of the server's certificate by the hash of its signature, SHA-256 where that is weaker. `None`
/// for signatures that name no hash of their own, for which there is no binding.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: [u8; 6] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    let oid = signature_algorithm(certificate)?;
    // RSA: 4 is MD5, 5 SHA-1. ECDSA: 1 is SHA-1, 3.2 to 3.4 are of SHA-2.
    match (oid.strip_prefix(&RSA), oid.strip_prefix(&ECDSA)) {
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => Some(Sha256::digest(certificate).to_vec()),
        (Some([12]), _) | (_, Some([3, 3])) => Some(Sha384::digest(certificate).to_vec()),
        (Some([13]), _) | (_, Some([3, 4])) => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

/// The object identifier of a certificate's signature: the second field of the certificate, and the first field of that.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let inside = |der, tag| element(der).filter(|(found, ..)| *found == tag).map(|(_, content, _)| content);
    let (_, _, after_body) = element(inside(certificate, SEQUENCE)?)?;
    inside(inside(after_body, SEQUENCE)?, OBJECT_IDENTIFIER)
}

/// The tag and content of the first element in DER, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        // No certificate has more than 16 MiB.
        let length =
            (bytes.len() <= 3).then(|| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)));
        (length?, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Any certificate will do, as long as the server has its key: `sslmode=prefer` and `require` hide what is said from those
/// who listen, not from those who are in between.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate of a trusted authority, for whatever name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(certificate, chain, name, ocsp, now) {
            // The name is looked at last, when all else was found right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;

    fn settle(parameters: &[(&str, &str)]) -> Result<Tls, String> {
        let mut read = TlsParameters::default();
        for (name, value) in parameters {
            *read.place(name).unwrap() = Some((*value).to_owned());
        }
        read.settle()
    }

    #[test]
    fn the_words_mean_what_they_mean_to_libpq_and_contradictions_are_refused() {
        let mode = |parameters: &[(&str, &str)]| settle(parameters).map(|tls| tls.protection);
        assert_eq!(mode(&[]), Ok(Protection::Prefer));
        assert_eq!(mode(&[("sslrootcert", "ca.pem")]), Ok(Protection::VerifyFull));
        assert!(settle(&[("sslmode", "verify-full")]).unwrap().verifies(), "by the system's authorities");
        assert!(settle(&[("sslmode", "require"), ("sslrootcert", "ca.pem")]).unwrap().verifies());
        assert!(!settle(&[("sslmode", "require")]).unwrap().verifies());
        let wrong: [&[(&str, &str)]; 7] = [
            &[("sslmode", "allow")],
            &[("sslmode", "verify-ca")],
            &[("sslmode", "verify-ca"), ("sslrootcert", "system")],
            &[("sslmode", "prefer"), ("sslrootcert", "ca.pem")],
            &[("sslmode", "disable"), ("sslcert", "a.pem"), ("sslkey", "a.key")],
            &[("sslcert", "a.pem")],
            &[("sslkey", "a.key")],
        ];
        for parameters in wrong {
            assert!(settle(parameters).is_err(), "{parameters:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_or_holds_something_else_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "nothing").unwrap();
        let missing = folder.path().join("missing.pem");
        for path in [empty, missing] {
            let path = path.to_str().unwrap();
            let fault = settle(&[("sslrootcert", path)]).unwrap().config().unwrap_err();
            assert!(fault.to_string().contains(path) && !fault.is_distrust(), "{fault}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let key = tempfile::NamedTempFile::new().unwrap();
        let set = |mode| std::fs::set_permissions(key.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        for (mode, may) in [(0o600, true), (0o400, true), (0o604, false), (0o660, false), (0o644, false)] {
            set(mode);
            assert_eq!(only_its_owner_reads(key.path()).is_ok(), may, "{mode:o}");
        }
    }

    #[test]
    fn a_certificate_is_bound_by_the_hash_of_its_signature() {
        let certificate = |oid: &[u8]| {
            let element = |tag: u8, content: &[u8]| {
                let length = u8::try_from(content.len()).unwrap();
                [&[tag, length], content].concat()
            };
            let algorithm = element(0x30, &element(0x06, oid));
            element(0x30, &[element(0x30, b"body"), algorithm, element(0x03, b"signature")].concat())
        };
        let bound = |oid: &[u8]| end_point(&certificate(oid)).map(|digest| digest.len());
        assert_eq!(bound(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 11]), Some(32));
        assert_eq!(bound(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 13]), Some(64));
        assert_eq!(bound(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 3]), Some(48));
        assert_eq!(bound(&[0x2b, 0x65, 0x70]), None, "Ed25519");
        let whole = certificate(&[0x2b, 0x65, 0x70]);
        for cut in 0..whole.len() {
            assert_eq!(end_point(&whole[..cut]), None);
        }
        assert_eq!(element(&[0x30, 0x84, 1, 1, 1, 1]), None, "longer than any certificate");
    }
}
