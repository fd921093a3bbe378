//! The wire: generated protobuf code and conversions.
