//! Places where a test ends the process as `kill -9` would, named by the
//! environment variable `FLEET_FAILPOINT`; nothing where they are not built in.

/// Ends the process if it was told to end here.
pub(crate) fn reach(name: &str) {
    #[cfg(feature = "failpoints")]
    if std::env::var("FLEET_FAILPOINT").is_ok_and(|at| at == name) {
        let _ends_here =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}
