//! What ties an exchange of SCRAM to the TLS beneath it: `tls-server-end-point` of
//! [RFC 5929](https://www.rfc-editor.org/rfc/rfc5929), the hash of the server's certificate.

use sha2::{Digest, Sha256, Sha384, Sha512};

/// Algorithms of signatures, as they stand in a certificate, and the hash that goes with each. Of those that have MD5 or SHA-1 it is
/// SHA-256.
const SIGNATURES: [(&[u8], Hash); 9] = [
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], Hash::Sha256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], Hash::Sha384),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d], Hash::Sha512),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], Hash::Sha256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04], Hash::Sha256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02], Hash::Sha256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03], Hash::Sha384),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04], Hash::Sha512),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], Hash::Sha256),
];

#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// The hash of a certificate in DER; none where its signature has no hash that both sides would know, as of Ed25519.
pub(super) fn of_certificate(der: &[u8]) -> Option<Vec<u8>> {
    // a sequence of what is signed, the algorithm, the signature
    let (certificate, _) = part(der, 0x30)?;
    let (_, rest) = part(certificate, 0x30)?;
    let (algorithm, _) = part(rest, 0x30)?;
    let (name, _) = part(algorithm, 0x06)?;
    let (_, hash) = SIGNATURES.iter().find(|(known, _)| *known == name)?;
    Some(match hash {
        Hash::Sha256 => Sha256::digest(der).to_vec(),
        Hash::Sha384 => Sha384::digest(der).to_vec(),
        Hash::Sha512 => Sha512::digest(der).to_vec(),
    })
}

/// The content of the part of DER with this tag at the beginning, and what follows it.
fn part(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, first, rest @ ..] = der else { return None };
    if *found != tag {
        return None;
    }
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long - 0x80))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    #[test]
    fn the_hash_is_the_one_of_the_signature() {
        let der = |algorithm| {
            let key = KeyPair::generate_for(algorithm).expect("a key");
            CertificateParams::default().self_signed(&key).expect("a certificate").der().to_vec()
        };
        let short = der(&PKCS_ECDSA_P256_SHA256);
        assert_eq!(of_certificate(&short), Some(Sha256::digest(&short).to_vec()));
        let long = der(&PKCS_ECDSA_P384_SHA384);
        assert_eq!(of_certificate(&long), Some(Sha384::digest(&long).to_vec()));
        assert_eq!(of_certificate(&der(&PKCS_ED25519)), None);
        for cut in 0..short.len().min(200) {
            assert_eq!(of_certificate(&short[..cut]), None, "{cut} bytes");
        }
    }
}
