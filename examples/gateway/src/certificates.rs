//! The certificate and the private key of the listener, from files.
//!
//! | file | outcome |
//! |---|---|
//! | cannot be read; is not PEM; has no certificate, or no private key | an error that names the option, the file and what was expected |
//! | private key encrypted with a passphrase | the same |
//! | the private key does not match the first certificate in `--tls-cert` | the same |
//! | changed, and SIGHUP is received | the new certificate is used for new connections |
//! | changed to one of the above, and SIGHUP is received | the error is logged, and the old certificate stays |

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    Error, InconsistentKeys, ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{PemObject, SectionKind},
    },
};
use tokio::{sync::watch, task::spawn_blocking};

use crate::server::Tls;

/// The protocols that the listener offers ([ALPN, RFC 7301](https://www.rfc-editor.org/rfc/rfc7301)). A client without
/// ALPN gets HTTP/1.1.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The paths of the certificate and its private key, both PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CertificateFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl CertificateFiles {
    /// Reads both files, and checks that they belong together. The configuration has TLS 1.2 and 1.3.
    ///
    /// # Errors
    ///
    /// What is wrong with which file, and what was expected.
    pub(crate) fn read(&self) -> Result<Arc<ServerConfig>, String> {
        let of_cert = |error: String| format!("--tls-cert {}: {error}", self.cert.display());
        let of_key = |error: String| format!("--tls-key {}: {error}", self.key.display());
        let chain = sections(&self.cert).and_then(chain).map_err(of_cert)?;
        let key = sections(&self.key).and_then(private_key).map_err(of_key)?;
        let unusable = |error: Error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => of_key(format!(
                "it is not the key of the first certificate in --tls-cert {}: expected the two files of one certificate, \
                 with the server's own certificate before those of its issuers",
                self.cert.display()
            )),
            Error::InvalidCertificate(_) => {
                of_cert("its first certificate cannot be parsed: expected X.509 in PEM".to_owned())
            }
            error => of_key(format!(
                "its private key cannot be used: expected RSA of 2048 bits or more, ECDSA (P-256, P-384) or Ed25519 ({error})"
            )),
        };
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        // Session tickets are kept by the clients: the default cache holds only 256 sessions.
        config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
        Ok(Arc::new(config))
    }

    /// Reads the files again at each of `hangups`, for the new connections of `tls`.
    pub(crate) async fn reload(self, tls: Tls, mut hangups: watch::Receiver<()>) {
        while hangups.changed().await.is_ok() {
            let files = self.clone();
            let read = spawn_blocking(move || files.read()).await;
            match read.map_err(|error| error.to_string()).and_then(|read| read) {
                Ok(config) => {
                    tls.replace(config);
                    tracing::info!(
                        "SIGHUP: new connections use the certificate in {}; other options are not reloaded",
                        self.cert.display()
                    );
                }
                Err(error) => {
                    tracing::error!("SIGHUP: the certificate is not replaced: {error}");
                }
            }
        }
    }
}

/// The sections of a PEM file, and whether one of them is encrypted.
#[derive(Debug)]
struct Sections {
    sections: Vec<(SectionKind, Vec<u8>)>,
    is_encrypted: bool,
}

fn sections(file: &Path) -> Result<Sections, String> {
    let text = fs::read(file).map_err(|error| format!("it cannot be read: {error}"))?;
    parse(&text)
}

/// Errors never quote the file: it may hold a private key.
fn parse(text: &[u8]) -> Result<Sections, String> {
    // PKCS #8, and the format that OpenSSL wrote before it.
    let is_encrypted = contains(text, b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || contains(text, b"Proc-Type: 4,ENCRYPTED");
    if !contains(text, b"-----BEGIN ") {
        return Err("it is not a PEM file: expected a line that starts with -----BEGIN".to_owned());
    }
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text).collect::<Result<_, _>>();
    match sections {
        Ok(sections) => Ok(Sections { sections, is_encrypted }),
        Err(_) if is_encrypted => Ok(Sections { sections: Vec::new(), is_encrypted }),
        Err(_) => Err("it is not valid PEM: expected complete sections in Base64".to_owned()),
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn chain(file: Sections) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = file.describe();
    let sections = file.sections.into_iter();
    let certificates: Vec<_> =
        sections.filter_map(|(kind, der)| CertificateDer::from_pem(kind, der)).collect();
    match certificates.is_empty() {
        false => Ok(certificates),
        true => {
            Err(format!("it contains no certificate{found}: expected -----BEGIN CERTIFICATE-----"))
        }
    }
}

fn private_key(file: Sections) -> Result<PrivateKeyDer<'static>, String> {
    let (found, is_encrypted) = (file.describe(), file.is_encrypted);
    let mut sections = file.sections.into_iter();
    match sections.find_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der)) {
        Some(key) => Ok(key),
        None if is_encrypted => Err(
            "its private key is encrypted: expected one without a passphrase, as openssl pkey writes it".to_owned(),
        ),
        None => Err(format!(
            "it contains no private key{found}: expected -----BEGIN PRIVATE KEY-----"
        )),
    }
}

impl Sections {
    /// Describes what the file contains instead.
    fn describe(&self) -> String {
        let first = self.sections.first().map(|(kind, _)| match kind {
            SectionKind::Certificate => "a certificate",
            SectionKind::PublicKey => "a public key",
            SectionKind::Csr => "a certificate request",
            SectionKind::Crl => "a revocation list",
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                "a private key"
            }
            _ => "something else",
        });
        first.map_or_else(String::new, |kind| format!(" but {kind}"))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    /// A certificate and its key, as PEM.
    fn issued() -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    fn read(cert: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Arc<ServerConfig>, String> {
        let folder = TempDir::new().unwrap();
        let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        fs::write(&cert_file, cert).unwrap();
        fs::write(&key_file, key).unwrap();
        CertificateFiles { cert: cert_file, key: key_file }.read()
    }

    #[test]
    fn a_certificate_and_its_key_are_read_from_two_files_or_one() {
        let (cert, key) = issued();
        let (issuer, _) = issued();
        let both = format!("{key}\n{cert}");
        for (cert, key) in
            [(cert.clone(), key.clone()), (format!("{cert}{issuer}"), key), (both.clone(), both)]
        {
            let config = read(cert, key).unwrap();
            assert_eq!(config.alpn_protocols, PROTOCOLS);
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_what_was_expected() {
        let (cert, key) = issued();
        let (_, other) = issued();
        let broken = cert.replace("-----END CERTIFICATE-----", "");
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let not_a_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let of_openssl = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let request =
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        for (cert, key, option, expected) in [
            (
                "",
                &*key,
                "cert",
                "it is not a PEM file: expected a line that starts with -----BEGIN",
            ),
            ("\u{30}\u{82}", &key, "cert", "it is not a PEM file"),
            (&broken, &key, "cert", "it is not valid PEM: expected complete sections"),
            (
                &key,
                &key,
                "cert",
                "it contains no certificate but a private key: expected -----BEGIN CERTIFICATE-----",
            ),
            (
                request,
                &key,
                "cert",
                "it contains no certificate but a certificate request: expected",
            ),
            (
                garbage,
                &key,
                "cert",
                "its first certificate cannot be parsed: expected X.509 in PEM",
            ),
            (
                &cert,
                &cert,
                "key",
                "it contains no private key but a certificate: expected -----BEGIN PRIVATE KEY-----",
            ),
            (
                &cert,
                encrypted,
                "key",
                "its private key is encrypted: expected one without a passphrase",
            ),
            (
                &cert,
                of_openssl,
                "key",
                "its private key is encrypted: expected one without a passphrase",
            ),
            (&cert, not_a_key, "key", "its private key cannot be used: expected RSA"),
            (&cert, &other, "key", "it is not the key of the first certificate in --tls-cert "),
        ] {
            let error = read(cert, key).unwrap_err();
            assert!(error.starts_with(&format!("--tls-{option} ")), "{error}");
            assert!(error.contains(&format!("/{option}.pem: {expected}")), "{error}");
            let secret = other.lines().nth(1).unwrap();
            assert!(!error.contains(secret), "{error}");
        }
        let folder = TempDir::new().unwrap();
        let nowhere = folder.path().join("nowhere.pem");
        let error = CertificateFiles { cert: nowhere.clone(), key: nowhere }.read().unwrap_err();
        assert!(error.contains("/nowhere.pem: it cannot be read: No such file"), "{error}");
    }
}
