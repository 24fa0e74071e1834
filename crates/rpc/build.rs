//! Compiles `proto/` in pure Rust: no `protoc` is needed.

use std::{env, error::Error, fmt::Write, fs, path::PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

/// Files that the others import. They are compiled into a module of their own, which the other modules refer to.
const COMMON: [&str; 2] = ["nno/common/v1/explanation.proto", "nno/common/v1/job.proto"];

const FILES: [&str; 5] = [
    "nno/iam/v1/iam.proto",
    "nno/onboarding/v1/onboarding.proto",
    "nno/registry/v1/registry.proto",
    "nno/stack_registry/v1/stack_registry.proto",
    "nno/provisioning/v1/provisioning.proto",
];

#[expect(
    clippy::disallowed_methods,
    reason = "cargo passes the settings of a build script in the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    fs::write(out.join("methods.rs"), methods(&descriptors)?)?;
    tonic_prost_build::configure().build_server(false).compile_fds(protox::compile(COMMON, [&root])?)?;
    tonic_prost_build::configure()
        .build_server(false)
        .extern_path(".nno.common.v1", "crate::common")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Generates an implementation of the traits in `src/method.rs` for each service and for the request of each method.
fn methods(descriptors: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for file in &descriptors.file {
        let package = file.package();
        // nno.stack_registry.v1
        let process = package.split('.').nth(1).unwrap_or_default().replace('_', "-");
        for service in &file.service {
            let name = service.name();
            let paths: Vec<_> =
                service.method.iter().map(|method| format!("/{package}.{name}/{}", method.name())).collect();
            writeln!(
                code,
                "/// The service `{package}.{name}`.\n#[derive(Debug, Clone, Copy)]\npub enum {name} {{}}\n\
                 impl Service for {name} {{\n    const PROCESS: &'static str = {process:?};\n    \
                 const NAME: &'static str = \"{package}.{name}\";\n    const METHODS: &'static [&'static str] = &{paths:?};\n}}"
            )?;
            for (method, path) in service.method.iter().zip(&paths) {
                let kind = if method.client_streaming() { "StreamMethod" } else { "Method" };
                let (request, response) = (message(method.input_type()), message(method.output_type()));
                writeln!(
                    code,
                    "impl {kind} for {request} {{\n    type Service = {name};\n    type Response = {response};\n    \
                     const PATH: &'static str = {path:?};\n}}"
                )?;
            }
        }
    }
    Ok(code)
}

/// Returns the Rust path of a message: `crate::registry::StartBuildRequest` for `.nno.registry.v1.StartBuildRequest`.
fn message(name: &str) -> String {
    let mut parts = name.trim_start_matches('.').split('.').skip(1);
    let (module, message) = (parts.next().unwrap_or_default(), parts.last().unwrap_or_default());
    format!("crate::{module}::{message}")
}
