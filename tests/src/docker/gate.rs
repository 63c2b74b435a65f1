//! Where jobs wait for the test.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::fleet::network::Namespace;
use crate::fleet::{HUB, Person, PipelineView};
use crate::wait::{DEADLINE, wait_within};

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

    /// Waits until a job of a pipeline, or what it started, waits at it.
    ///
    /// # Errors
    /// If nobody comes, or the job ends instead: with its log.
    pub fn wait(&self, person: &Person, pipeline: &PipelineView, job: &str) -> Result<()> {
        let what = format!("the job {job} at the gate");
        wait_within(DEADLINE, Duration::from_millis(50), &what, || {
            if !lock(&self.state).waiting.is_empty() {
                return Ok(Some(()));
            }
            let job = person.job(pipeline, job)?;
            if ["success", "failed", "canceled", "skipped"].contains(&job.status.as_str()) {
                bail!("{job:?}\n{}", person.log(&job)?);
            }
            Ok(None)
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
