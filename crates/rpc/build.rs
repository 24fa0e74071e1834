//! Compiles `proto/` in pure Rust: no `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

/// What the others import: it is a module of its own, that theirs know.
const COMMON: &str = "nno/common/v1/explanation.proto";

const FILES: [&str; 5] = [
    "nno/iam/v1/iam.proto",
    "nno/onboarding/v1/onboarding.proto",
    "nno/registry/v1/registry.proto",
    "nno/stack_registry/v1/stack_registry.proto",
    "nno/provisioning/v1/provisioning.proto",
];

#[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts through the environment")]
fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [&root])?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(protox::compile([COMMON], [&root])?)?;
    tonic_prost_build::configure().extern_path(".nno.common.v1", "crate::common").compile_fds(descriptors)?;
    Ok(())
}
