//! One pull.

use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptionsBuilder;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_stream::StreamExt as _;

use super::progress::Progress;
use super::trouble::Trouble;
use crate::executor::Say;
use crate::registry::{Auth, Login, Reference};

/// How often a registry that cannot be reached is tried.
const TRIES: u32 = 3;
const SHORTEST_PAUSE_MS: u64 = 2_000;
const LONGEST_PAUSE_MS: u64 = 10_000;

/// An image to pull. Equal pulls at the same time need no care: the engine loads
/// what they share once.
pub(super) struct Pull<'a> {
    pub(super) engine: &'a Docker,
    /// As the job names it.
    pub(super) name: &'a str,
    pub(super) reference: &'a Reference,
    pub(super) platform: Option<&'a str>,
    pub(super) login: Option<&'a Login>,
    /// How long nothing may come of it.
    pub(super) timeout: Duration,
}

impl Pull<'_> {
    /// Pulls the image; its digest, where the engine tells it.
    pub(super) async fn run(&self, say: &mut dyn Say) -> Result<Option<String>, Trouble> {
        let platform = match self.platform {
            Some(platform) => format!(" for platform {platform}"),
            None => String::new(),
        };
        say.plain(&format!("Pulling docker image {}{platform} ...", self.name));
        let mut tried = 1;
        loop {
            match self.once(say).await {
                Err(trouble) if trouble.is_transient() && tried < TRIES => {
                    let pause = pause();
                    tried += 1;
                    say.warning(&format!(
                        "{trouble}; trying again in {} s ({tried} of {TRIES})",
                        pause.as_secs()
                    ));
                    sleep(pause).await;
                }
                result => return result,
            }
        }
    }

    async fn once(&self, say: &mut dyn Say) -> Result<Option<String>, Trouble> {
        let repository = self.reference.repository();
        let mut options = CreateImageOptionsBuilder::default()
            .from_image(&repository)
            .tag(self.reference.version());
        if let Some(platform) = self.platform {
            options = options.platform(platform);
        }
        let login = self.login.map(|login| header(&login.auth, self.reference));
        // The head of the answer is there only once the registry has answered.
        let engine = url_safe(self.engine).with_timeout(self.timeout + Duration::from_secs(1));
        let mut news = pin!(engine.create_image(Some(options.build()), None, login));
        let mut progress = Progress::new(Instant::now());
        loop {
            let until = progress.moved() + self.timeout;
            match timeout_at(until, news.next()).await {
                Err(_) => {
                    return Err(Trouble::Stalled {
                        registry: self.reference.registry().to_owned(),
                        after: self.timeout,
                    });
                }
                // That the request was taken is no success: only the end of its
                // news is.
                Ok(None) => return Ok(progress.digest()),
                Ok(Some(Ok(news))) => {
                    if let Some(line) = progress.take(&news, Instant::now()) {
                        say.plain(&format!("Pulling docker image {}: {line}", self.name));
                    }
                }
                Ok(Some(Err(error))) => {
                    return Err(Trouble::of_pull(&error, self.reference, self.login));
                }
            }
        }
    }
}

fn header(auth: &Auth, image: &Reference) -> DockerCredentials {
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    DockerCredentials {
        username: some(&auth.username),
        password: some(&auth.password),
        identitytoken: some(&auth.identity_token),
        registrytoken: some(&auth.registry_token),
        serveraddress: Some(image.registry().to_owned()),
        ..DockerCredentials::default()
    }
}

/// A client whose logins are in the alphabet that engines read. In the other one,
/// some passwords count as none, and nobody says so.
fn url_safe(engine: &Docker) -> Docker {
    const LOGIN: &str = "x-registry-auth";
    engine.clone().with_request_modifier(|mut request| {
        let login = request.headers_mut().get_mut(LOGIN);
        if let Some(login) = login
            && let Ok(bytes) = STANDARD.decode(login.as_bytes())
            && let Ok(value) = URL_SAFE.encode(bytes).parse()
        {
            *login = value;
        }
        request
    })
}

/// Jobs that met the same trouble do not come back all at once.
fn pause() -> Duration {
    let spread = LONGEST_PAUSE_MS - SHORTEST_PAUSE_MS;
    let random = getrandom::u64().unwrap_or_default();
    Duration::from_millis(SHORTEST_PAUSE_MS + random % spread)
}
