//! An exchange of SCRAM-SHA-256 ([RFC 5802](https://www.rfc-editor.org/rfc/rfc5802)), from the server's side: whoever calls itself a
//! token's id shows that it knows the whole token, which does not travel.

use hitherto_core::ScramVerifier;

use super::base64;

/// Without and with a tie to the TLS beneath.
pub(super) const PLAIN: &str = "SCRAM-SHA-256";
pub(super) const BOUND: &str = "SCRAM-SHA-256-PLUS";
/// The tie that is known.
const END_POINT: &str = "p=tls-server-end-point";

/// An exchange in which the server has asked for the proof.
#[derive(Debug)]
pub(super) struct Asked {
    verifier: ScramVerifier,
    /// What the client repeats with its proof: its header, and what ties it to TLS.
    binding: Vec<u8>,
    nonce: String,
    /// What both have said so far.
    said: String,
}

/// Why an exchange came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// A message that cannot be.
    Odd(&'static str),
    /// The proof is none.
    Unproven,
}

impl Asked {
    /// Takes the client's first message; what to answer. `nonce` is new and random. `binding` is the hash of the certificate, where
    /// the exchange could be tied to it.
    pub(super) fn begin(
        message: &str,
        mechanism: &str,
        verifier: ScramVerifier,
        binding: Option<&[u8]>,
        nonce: &str,
    ) -> Result<(Self, String), Failed> {
        let mut parts = message.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Failed::Odd("the first message has no header"));
        };
        if !authzid.is_empty() {
            return Err(Failed::Odd("nobody acts for somebody else: leave the authorization identity out"));
        }
        let mut tied = format!("{flag},,").into_bytes();
        match (flag, mechanism, binding) {
            (END_POINT, BOUND, Some(hash)) => tied.extend_from_slice(hash),
            // somebody between the two has hidden that the server can do it
            ("y", PLAIN, Some(_)) => {
                return Err(Failed::Odd("the client did not see that the exchange can be bound to TLS"));
            }
            ("n" | "y", PLAIN, _) => {}
            _ => return Err(Failed::Odd("the mechanism and the header of the first message do not go together")),
        }
        // the name is that of the startup message; an extension would stand before it
        let mut attributes = bare.split(',');
        let (Some(name), Some(theirs)) = (attributes.next(), attributes.next()) else {
            return Err(Failed::Odd("the first message has no name and no nonce"));
        };
        let theirs = theirs.strip_prefix("r=").filter(|nonce| !nonce.is_empty());
        let (true, Some(theirs)) = (name.starts_with("n="), theirs) else {
            return Err(Failed::Odd("the first message has no name and no nonce"));
        };
        let nonce = format!("{theirs}{nonce}");
        let answer = format!("r={nonce},s={},i={}", base64::encode(verifier.salt()), verifier.iterations());
        let said = format!("{bare},{answer}");
        Ok((Self { verifier, binding: tied, nonce, said }, answer))
    }

    /// Judges the client's proof; what shows it that the server knows it, too.
    pub(super) fn end(self, message: &str) -> Result<String, Failed> {
        let Some((without_proof, proof)) = message.rsplit_once(",p=") else {
            return Err(Failed::Odd("the last message has no proof"));
        };
        let mut attributes = without_proof.split(',');
        let tied = attributes.next().and_then(|tied| base64::decode(tied.strip_prefix("c=")?));
        if tied.as_deref() != Some(self.binding.as_slice()) {
            return Err(Failed::Odd("the last message is bound to another connection of TLS than this one"));
        }
        if attributes.next().and_then(|nonce| nonce.strip_prefix("r=")) != Some(self.nonce.as_str()) {
            return Err(Failed::Odd("the last message is of another exchange"));
        }
        let proof = base64::decode(proof).ok_or(Failed::Odd("the proof is no base64"))?;
        let messages = format!("{},{without_proof}", self.said);
        if !self.verifier.is_proven_by(&proof, messages.as_bytes()) {
            return Err(Failed::Unproven);
        }
        Ok(format!("v={}", base64::encode(&self.verifier.signature(messages.as_bytes()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; 16] =
        [0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
    const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const LAST: &str =
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn begin(first: &str, mechanism: &str, binding: Option<&[u8]>) -> Result<(Asked, String), Failed> {
        Asked::begin(first, mechanism, ScramVerifier::new("pencil", SALT), binding, NONCE)
    }

    /// As RFC 7677 shows it.
    #[test]
    fn an_exchange_is_that_of_the_standard() {
        let (asked, answer) = begin(FIRST, PLAIN, None).expect("it begins");
        assert_eq!(answer, format!("r=rOprNGfwEbeRWgbNEkqO{NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
        assert_eq!(asked.end(LAST).expect("a proof"), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn what_is_not_proven_is_refused() {
        for (last, failed) in [
            (LAST.replace("p=dH", "p=eH"), Failed::Unproven),
            (LAST.replace("VQ=", "V="), Failed::Odd("the proof is no base64")),
            (LAST.replace("r=r", "r=s"), Failed::Odd("the last message is of another exchange")),
            (
                LAST.replace("biws", "eSws"),
                Failed::Odd("the last message is bound to another connection of TLS than this one"),
            ),
            (LAST.replace(",p=", ",q="), Failed::Odd("the last message has no proof")),
        ] {
            let (asked, _) = begin(FIRST, PLAIN, None).expect("it begins");
            assert_eq!(asked.end(&last), Err(failed), "{last}");
        }
    }

    #[test]
    fn an_exchange_is_bound_to_its_connection_where_both_can() {
        let bound = "p=tls-server-end-point,,n=user,r=a";
        assert!(begin(bound, BOUND, Some(b"hash")).is_ok());
        assert!(begin("n,,n=user,r=a", PLAIN, Some(b"hash")).is_ok(), "a client that cannot");
        assert!(begin("y,,n=user,r=a", PLAIN, None).is_ok(), "a server that cannot");
        for (first, mechanism, binding) in [
            ("y,,n=user,r=a", PLAIN, Some(&b"hash"[..])),
            (bound, PLAIN, Some(b"hash")),
            (bound, BOUND, None),
            ("n,,n=user,r=a", BOUND, Some(b"hash")),
            ("p=tls-unique,,n=user,r=a", BOUND, Some(b"hash")),
            ("n,a=admin,n=user,r=a", PLAIN, None),
            ("n,,m=x,n=user,r=a", PLAIN, None),
            ("n,,n=user,r=", PLAIN, None),
            ("n,,n=user", PLAIN, None),
            ("", PLAIN, None),
        ] {
            assert!(matches!(begin(first, mechanism, binding), Err(Failed::Odd(_))), "{first}");
        }
        // the proof of another connection
        let (asked, _) = begin(bound, BOUND, Some(b"hash")).expect("it begins");
        let tied = base64::encode(b"p=tls-server-end-point,,other");
        let last = format!("c={tied},r=a{NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        assert!(matches!(asked.end(&last), Err(Failed::Odd(_))));
    }
}
