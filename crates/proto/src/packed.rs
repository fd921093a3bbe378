//! Messages inside of messages.

/// The bytes of a message of any package, as another message carries them: a ticket of Arrow Flight, for one.
pub fn packed(message: &impl prost::Message) -> Vec<u8> {
    message.encode_to_vec()
}
