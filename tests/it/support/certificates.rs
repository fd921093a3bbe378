//! Certificates, made for a test and for nothing else.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};

use super::Hitherto;

/// A root that vouches for certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root"))
    }

    /// Write the root to `NAME.ca.pem`.
    pub(crate) fn write_root(&self, place: &Hitherto, name: &str) {
        place.write(&format!("{name}.ca.pem"), self.0.pem());
    }

    /// Write a certificate for this machine to `NAME.pem`, and its key to `NAME.key`.
    pub(crate) fn write_certificate(&self, place: &Hitherto, name: &str) {
        let key = KeyPair::generate().expect("a key");
        let names = ["127.0.0.1", "localhost"].map(str::to_owned);
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer: &Issuer<'_, KeyPair> = &self.0;
        let certificate = params.signed_by(&key, issuer).expect("a certificate");
        place.write(&format!("{name}.pem"), certificate.pem()).write(&format!("{name}.key"), key.serialize_pem());
    }
}
