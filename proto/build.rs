//! Generates the `fleet.v1` messages; in pure Rust, so that no protoc is needed.

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=fleet");
    let files = protox::compile(
        [
            "fleet/v1/agent.proto",
            "fleet/v1/control.proto",
            "fleet/v1/supervisor.proto",
        ],
        ["."],
    )?;
    // What reflection answers with, and what tests know all calls by.
    let descriptors = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("fleet.v1.bin");
    std::fs::write(&descriptors, files.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(files)?;
    Ok(())
}
