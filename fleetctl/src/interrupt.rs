//! Ctrl-C while a server is asked or watched: whatever waits is left, what runs there
//! goes on, and the exit code says so.

use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::Exit;

/// What is said at the end.
static PARTING: Mutex<Option<String>> = Mutex::new(None);

/// From now on SIGINT ends the program with its exit code.
///
/// It is waited for on a thread of its own: a reader that does not read holds up the
/// output, never a signal.
pub(crate) fn listen() {
    thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        let Ok(runtime) = runtime else {
            return;
        };
        if runtime.block_on(tokio::signal::ctrl_c()).is_err() {
            return;
        }
        let parting = PARTING
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(parting) = parting {
            eprintln!("\n{parting}");
        }
        std::process::exit(Exit::Interrupted.code().into());
    });
}

/// Says this if it is interrupted.
pub(crate) fn say(text: String) {
    *PARTING.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
}
