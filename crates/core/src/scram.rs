//! SCRAM-SHA-256 ([RFC 5802](https://www.rfc-editor.org/rfc/rfc5802), [RFC 7677](https://www.rfc-editor.org/rfc/rfc7677)): what a
//! server keeps of a password, and how it judges whoever claims to know it.

use std::fmt;

use sha2::{Digest, Sha256};

/// The fewest that clients accept. More would protect a password that can be guessed; a token cannot.
const ITERATIONS: u32 = 4_096;
/// A block of SHA-256.
const BLOCK: usize = 64;

/// What is kept of a password: whoever has it can judge a proof, and cannot make one.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

impl ScramVerifier {
    /// Of a password in printable ASCII, as tokens are: no other needs to be prepared.
    pub fn new(password: &str, salt: [u8; 16]) -> Self {
        let salted = salted_password(password.as_bytes(), &salt, ITERATIONS);
        let stored_key = Sha256::digest(hmac(&salted, b"Client Key")).into();
        let server_key = hmac(&salted, b"Server Key");
        Self { iterations: ITERATIONS, salt: salt.to_vec(), stored_key, server_key }
    }

    /// One that no password satisfies, for a name that is not known: with a salt that `seed` decides, so that a stranger who asks
    /// twice sees the same, as of a name that is known.
    pub fn of_nobody(seed: &str) -> Self {
        let salt = Sha256::digest(seed)[..16].to_vec();
        Self { iterations: ITERATIONS, salt, stored_key: [0; 32], server_key: [0; 32] }
    }

    /// What [`ScramVerifier::kept`] wrote; none of another text.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: [&str; 4] = text.split(':').collect::<Vec<_>>().try_into().ok()?;
        let [iterations, salt, stored_key, server_key] = parts;
        let key = |text: &str| -> Option<[u8; 32]> { hex::decode(text).ok()?.try_into().ok() };
        Some(Self {
            iterations: iterations.parse().ok().filter(|iterations| *iterations > 0)?,
            salt: hex::decode(salt).ok()?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    /// As the registry keeps it: iterations, salt, `StoredKey` and `ServerKey`.
    pub fn kept(&self) -> String {
        let [salt, stored_key, server_key] =
            [self.salt.as_slice(), &self.stored_key, &self.server_key].map(hex::encode);
        format!("{}:{salt}:{stored_key}:{server_key}", self.iterations)
    }

    /// How often a client hashes.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// What a client hashes the password with.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Whether `proof` shows that whoever spoke `messages` knows the password.
    pub fn is_proven_by(&self, proof: &[u8], messages: &[u8]) -> bool {
        let signature = hmac(&self.stored_key, messages);
        if proof.len() != signature.len() {
            return false;
        }
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(proof, signature)| proof ^ signature).collect();
        let found: [u8; 32] = Sha256::digest(client_key).into();
        // in the same time wherever two differ
        found.iter().zip(self.stored_key).fold(0, |all, (found, stored)| all | (found ^ stored)) == 0
    }

    /// What shows a client that the server has the verifier, too.
    pub fn signature(&self, messages: &[u8]) -> [u8; 32] {
        hmac(&self.server_key, messages)
    }
}

/// Without the keys.
impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// `Hi` of RFC 5802: PBKDF2 with one block.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let keyed = Keyed::new(password);
    let mut last = keyed.of(&[salt, &[0, 0, 0, 1]]);
    let mut all = last;
    for _ in 1..iterations {
        last = keyed.of(&[&last]);
        all.iter_mut().zip(last).for_each(|(all, last)| *all ^= last);
    }
    all
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    Keyed::new(key).of(&[message])
}

/// HMAC-SHA-256 ([RFC 2104](https://www.rfc-editor.org/rfc/rfc2104)) with its key taken in.
struct Keyed {
    inner: Sha256,
    outer: Sha256,
}

impl Keyed {
    fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        if key.len() > BLOCK {
            block[..32].copy_from_slice(&Sha256::digest(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let padded = |pad: u8| Sha256::new().chain_update(block.map(|byte| byte ^ pad));
        Self { inner: padded(0x36), outer: padded(0x5c) }
    }

    fn of(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut inner = self.inner.clone();
        for part in parts {
            inner.update(part);
        }
        self.outer.clone().chain_update(inner.finalize()).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_standard() {
        // RFC 4231, case 2, and case 6 whose key is longer than a block
        let said = hex::encode(hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(said, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let said = hex::encode(hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"));
        assert_eq!(said, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    /// The exchange that RFC 7677 shows.
    #[test]
    fn the_exchange_is_that_of_the_standard() {
        let salt = [0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
        let verifier = ScramVerifier::new("pencil", salt);
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let messages =
            format!("n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}");
        // dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ= and 6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
        let proof = hex::decode("747cdb65aa56224e2352137e52d7bdcad6a0f738df30782caa69a2cfb0277554").expect("hex");
        assert!(verifier.is_proven_by(&proof, messages.as_bytes()));
        let signature = hex::encode(verifier.signature(messages.as_bytes()));
        assert_eq!(signature, "eabae24d1062db75a9451ff0b6ea7e98c8546549ff741e672d3251b2397de46e");
        let mut other = proof.clone();
        other[31] ^= 1;
        assert!(
            !verifier.is_proven_by(&other, messages.as_bytes()) && !verifier.is_proven_by(&[], messages.as_bytes())
        );
        assert!(!ScramVerifier::of_nobody("user").is_proven_by(&proof, messages.as_bytes()));
        assert!(!ScramVerifier::new("pencils", salt).is_proven_by(&proof, messages.as_bytes()));
    }

    #[test]
    fn what_is_kept_is_read_back_and_debug_says_nothing_of_it() {
        let verifier = ScramVerifier::new("hth_000102abcdef_07", [7; 16]);
        let kept = verifier.kept();
        assert!(kept.starts_with("4096:07070707070707070707070707070707:"), "{kept}");
        assert_eq!(ScramVerifier::parse(&kept), Some(verifier.clone()));
        for wrong in ["", "4096:07:08", "0:07:08:09", &kept[..kept.len() - 1], &format!("{kept}:00")] {
            assert_eq!(ScramVerifier::parse(wrong), None, "{wrong}");
        }
        let key = hex::encode(verifier.stored_key);
        assert!(kept.contains(&key) && !format!("{verifier:?}").contains(&key[..8]));
    }

    #[test]
    fn a_stranger_sees_the_same_salt_twice_and_another_of_another_name() {
        let [one, again, other] = ["a", "a", "b"].map(ScramVerifier::of_nobody);
        assert_eq!(one.salt(), again.salt());
        assert_ne!(one.salt(), other.salt());
        assert_eq!((one.salt().len(), one.iterations()), (16, ITERATIONS));
    }
}
