//! Compiles `proto/` with protox, so that a build needs no protoc.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use protox::prost::Message;

const FILES: [&str; 6] = [
    "hitherto/v1/common.proto",
    "hitherto/v1/online_features.proto",
    "hitherto/v1/ingest.proto",
    "hitherto/v1/registry.proto",
    "hitherto/v1/models.proto",
    "hitherto/v1/training_sets.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    // asked for when it runs: a target folder that several checkouts share keeps the compiled script of one of them
    let package = env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set: build with cargo")?;
    let root = Path::new(&package).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [&root])?;
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: build with cargo")?;
    fs::write(Path::new(&out).join("hitherto.v1.descriptors"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
