//! Bytes as text ([RFC 4648](https://www.rfc-editor.org/rfc/rfc4648), section 4), in which SCRAM writes salts and proofs.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of `bytes`.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let all = group.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(all >> (18 - 6 * place)) as usize & 63];
            text.push(if place > group.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

/// The bytes of `text`; none if it is not exactly what [`encode`] makes of some.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.as_bytes().chunks(4) {
        let letters = group.iter().take_while(|letter| **letter != b'=').count();
        let mut all = 0;
        for letter in &group[..letters] {
            all = all << 6 | LETTERS.iter().position(|known| known == letter)?;
        }
        all <<= 6 * (4 - letters);
        let whole = [(all >> 16) as u8, (all >> 8) as u8, all as u8];
        bytes.extend_from_slice(&whole[..letters.saturating_sub(1)]);
    }
    (encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), Some(all));
        for wrong in ["Z", "Zg", "Zg=", "Zh==", "Zm9v=", "=m9v", "Z=9v", "Zm 9", "Zm9v\n", "Zm9vZg"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
