//! Generates the `fleet.v1` messages; in pure Rust, so that no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=fleet");
    let files = protox::compile(["fleet/v1/agent.proto"], ["."])?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(files)?;
    Ok(())
}
