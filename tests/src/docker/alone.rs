//! An engine without a fleet.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::engine::Engine;
use super::registry::{Login, Registry};
use crate::fleet::leftovers;
use crate::fleet::network::{Namespace, Network};

/// One host with an engine, and a hub for registries.
pub struct Alone {
    /// The engine; it runs.
    pub engine: Engine,
    host: Namespace,
    network: Network,
    root: TempDir,
}

impl Alone {
    /// Makes the host and starts the engine.
    ///
    /// # Errors
    /// If that is not allowed, or Docker is missing.
    pub fn new() -> Result<Alone> {
        let mut alone = Alone::prepared()?;
        alone.engine.start()?;
        Ok(alone)
    }

    /// The same with an engine that does not run yet.
    ///
    /// # Errors
    /// If that is not allowed.
    pub fn prepared() -> Result<Alone> {
        leftovers::remove();
        let prefix = leftovers::next_prefix();
        let root =
            TempDir::with_prefix(format!("{prefix}-")).context("make a folder for a test")?;
        fs::create_dir(root.path().join("logs")).context("make a folder for a test")?;
        let mut network = Network::new(&prefix)?;
        let host = network.add_host(&prefix)?;
        let log = root.path().join("logs/docker.log");
        let engine = Engine::new(host.clone(), root.path().join("docker"), log)?;
        Ok(Alone {
            engine,
            host,
            network,
            root,
        })
    }

    /// Starts a registry at this port of the hub; the engine trusts it.
    ///
    /// # Errors
    /// If it does not start.
    pub fn registry(&self, port: u16, login: &Login) -> Result<Registry> {
        let hub = self.network.hub.clone();
        let registry = Registry::start(hub, port, login, self.root.path())?;
        self.engine.trust(&registry, &[])?;
        Ok(registry)
    }

    /// The words that start a program on the host; the program follows.
    #[must_use]
    pub fn entry(&self) -> [String; 2] {
        self.host.entry()
    }

    /// All that belongs to the test.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Err(error) = self.engine.end() {
            eprintln!("left behind: {error:#}");
        }
        if let Err(error) = leftovers::unmount_below(self.root.path()) {
            eprintln!("left behind: {error:#}");
        }
    }
}
