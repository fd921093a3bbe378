//! The messages and services of package `hitherto.v1`, generated from `proto/hitherto/v1`.

#![expect(clippy::pedantic, clippy::allow_attributes, clippy::clone_on_ref_ptr, reason = "generated code")]

/// The compiled `*.proto` files, comments included, for the reflection service.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hitherto.v1.descriptors"));

/// The largest message that server and client accept: 64 MiB, a million rows of eight numbers. More travels by Flight.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

include!(concat!(env!("OUT_DIR"), "/hitherto.v1.rs"));
