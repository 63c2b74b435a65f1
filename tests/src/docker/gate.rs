//! Where jobs wait for the test.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use crate::fleet::HUB;
use crate::fleet::network::Namespace;
use crate::wait::wait_for;

/// A port of the hub at which whoever connects waits until it is opened, from
/// inside containers too: `nc 10.213.0.1 PORT < /dev/null`.
pub struct Gate {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    arrived: usize,
    open: bool,
    waiting: Vec<TcpStream>,
}

impl Gate {
    pub(crate) fn new(hub: &Namespace, port: u16) -> Result<Gate> {
        let listener =
            hub.inside(|| TcpListener::bind((HUB, port)).context("listen on the hub"))?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut state = lock(&shared);
                state.arrived += 1;
                if !state.open {
                    state.waiting.push(stream);
                }
            }
        });
        Ok(Gate { state })
    }

    /// Waits until somebody waits at it.
    ///
    /// # Errors
    /// If nobody comes.
    pub fn wait(&self) -> Result<()> {
        wait_for("somebody at the gate", || {
            Ok((!lock(&self.state).waiting.is_empty()).then_some(()))
        })
    }

    /// How many have come so far.
    #[must_use]
    pub fn arrived(&self) -> usize {
        lock(&self.state).arrived
    }

    /// Lets those who wait go on, and all who come.
    pub fn open(&self) {
        let mut state = lock(&self.state);
        state.open = true;
        state.waiting.clear();
    }

    /// Lets those who wait go on; others wait again.
    pub fn pass(&self) {
        lock(&self.state).waiting.clear();
    }

    /// Whoever comes from now on waits.
    pub fn close(&self) {
        lock(&self.state).open = false;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
