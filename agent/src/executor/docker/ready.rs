//! Waiting until services take connections.

use std::net::IpAddr;
use std::time::Duration;

use bollard::Docker as Engine;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::LogsOptionsBuilder;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::StreamExt;

use super::engine;
use super::service::Running;
use crate::executor::Say;
use crate::log::Line;

/// So many ports of a service are tried, the lowest.
const PORTS: usize = 20;
/// How much of a service's log is shown where it did not start.
const LOG_BYTES: usize = 64 << 10;
/// How long a service that did not start may go on writing to its log.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Between two tries.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Waits for all of `services`; one that does not come is told of and changes
/// nothing.
pub(super) async fn wait(
    engine: &Engine,
    services: &[Running],
    within: Duration,
    say: &mut dyn Say,
) {
    let shown = crate::duration::Span::from(within);
    say.plain(&format!(
        "Waiting for services to be up and running (timeout {} seconds)...",
        within.as_secs()
    ));
    let mut waiting = JoinSet::new();
    for service in services {
        let (engine, service) = (engine.clone(), service.clone());
        let shown = shown.to_string();
        waiting.spawn(async move {
            let trouble = one(&engine, &service.id, within, &shown).await.err()?;
            let log = last_words(&engine, &service.id).await;
            Some((service, trouble, log))
        });
    }
    while let Some(ended) = waiting.join_next().await {
        let Ok(Some((service, trouble, log))) = ended else {
            continue;
        };
        say.say(Line::Plain(String::new()));
        say.say(Line::Notice(format!(
            "*** WARNING: Service {} probably didn't start properly.",
            service.name
        )));
        say.plain("");
        say.plain("Health check error:");
        say.plain(&format!("service \"{}\" {trouble}", service.shown));
        say.plain("");
        say.plain("Service container logs:");
        for line in String::from_utf8_lossy(&log).lines() {
            say.plain(line);
        }
        say.plain("");
        say.say(Line::Notice("*********".to_owned()));
        say.plain("");
    }
}

/// Waits until one port of a service takes connections.
async fn one(engine: &Engine, id: &str, within: Duration, shown: &str) -> Result<(), String> {
    let until = Instant::now() + within;
    let found = engine.inspect_container(id, None).await;
    let found = found.map_err(|error| engine::words(&error))?;
    let ports = ports(&found)?;
    if ports.is_empty() {
        return Err("has no exposed ports".to_owned());
    }
    let address = address(&found).ok_or_else(|| exited(&found))?;
    let mut pause = FIRST_PAUSE;
    loop {
        let mut tries = JoinSet::new();
        for port in &ports {
            tries.spawn(TcpStream::connect((address, *port)));
        }
        let tried = async {
            while let Some(connected) = tries.join_next().await {
                if matches!(connected, Ok(Ok(_))) {
                    return true;
                }
            }
            false
        };
        if let Ok(true) = timeout(LAST_PAUSE, tried).await {
            return Ok(());
        }
        if Instant::now() + pause >= until {
            return Err(format!(
                "timeout: none of its ports {ports:?} took a connection in {shown}"
            ));
        }
        let state = engine.inspect_container(id, None).await;
        let state = state.map_err(|error| engine::words(&error))?;
        if self::address(&state).is_none() {
            return Err(exited(&state));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Its address on the job's network, as long as it runs.
fn address(found: &ContainerInspectResponse) -> Option<IpAddr> {
    let running = found.state.as_ref()?.running?;
    let networks = found.network_settings.as_ref()?.networks.as_ref()?;
    let mut addresses = networks
        .values()
        .filter_map(|network| network.ip_address.as_deref()?.parse().ok());
    addresses.next().filter(|_| running)
}

fn exited(found: &ContainerInspectResponse) -> String {
    let code = found.state.as_ref().and_then(|state| state.exit_code);
    match code {
        Some(code) => format!("ended with exit code {code}"),
        None => "ended".to_owned(),
    }
}

/// The ports by which a service is known to be up.
fn ports(found: &ContainerInspectResponse) -> Result<Vec<u16>, String> {
    let Some(config) = &found.config else {
        return Ok(Vec::new());
    };
    let mut own = config.env.iter().flatten().filter_map(|variable| {
        let (key, value) = variable.split_once('=')?;
        key.eq_ignore_ascii_case("HEALTHCHECK_TCP_PORT")
            .then_some(value)
    });
    if let Some(port) = own.next_back() {
        let port = port
            .trim()
            .parse()
            .map_err(|_| format!("has the port {port:?} in HEALTHCHECK_TCP_PORT, which is none"))?;
        return Ok(vec![port]);
    }
    let exposed = config.exposed_ports.iter().flatten();
    let mut ports: Vec<u16> = exposed
        .filter_map(|port| match port.split_once('/') {
            Some((port, "tcp")) => port.parse().ok(),
            Some(_) => None,
            None => port.parse().ok(),
        })
        .collect();
    ports.sort_unstable();
    ports.truncate(PORTS);
    Ok(ports)
}

/// What a service wrote, up to a limit.
async fn last_words(engine: &Engine, id: &str) -> Vec<u8> {
    let options = LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .build();
    let mut log = Vec::new();
    let read = async {
        let mut lines = std::pin::pin!(engine.logs(id, Some(options)));
        while let Some(Ok(line)) = lines.next().await {
            let line = line.into_bytes();
            let room = LOG_BYTES - log.len();
            log.extend_from_slice(&line[..line.len().min(room)]);
            if log.len() >= LOG_BYTES {
                return;
            }
        }
    };
    let _what_there_is = timeout(LAST_WORDS, read).await;
    log
}
