//! Logging in: SCRAM-SHA-256 where there are users, TLS for whoever is elsewhere.
//!
//! - A connection that has not logged in runs no statement: the library goes on
//!   after most errors, so that each statement asks for [`caller`] again.
//! - Unknown users and wrong passwords are refused alike, after the same pause.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::{Sink, SinkExt};
use pgwire::api::auth::{DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation};
use pgwire::api::{
    ClientInfo, ConnectionGuard, ConnectionHandle, ConnectionManager, METADATA_DATABASE, METADATA_USER,
    PgWireConnectionState, PidSecretKeyGenerator, RandomPidSecretKeyGenerator,
};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::startup::{Authentication, PasswordMessageFamily, Startup};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use satisflow_scram::{Exchange, ScramError, server_nonce};

use super::settings;
use crate::access::{Access, Caller, REFUSAL_PAUSE};

const MECHANISM: &str = "SCRAM-SHA-256";

/// What all connections share.
pub(super) struct Door {
    pub(super) access: Arc<Access>,
    pub(super) connections: Arc<ConnectionManager>,
    keys: RandomPidSecretKeyGenerator,
}

impl Door {
    pub(super) fn new(access: Arc<Access>) -> Door {
        Door { access, connections: Arc::new(ConnectionManager::new()), keys: RandomPidSecretKeyGenerator::default() }
    }
}

/// The login of one connection.
pub(super) struct Login {
    door: Arc<Door>,
    progress: Mutex<Progress>,
}

enum Progress {
    Before,
    Challenged(Box<Exchange>),
    Over,
}

/// Who is connected.
///
/// # Errors
/// When no one has logged in.
pub(super) fn caller<C: ClientInfo + ?Sized>(client: &C) -> PgWireResult<Caller> {
    let caller = client.session_extensions().get::<Caller>();
    caller.map(|caller| *caller).ok_or_else(|| fatal("28000", "nobody has logged in".to_owned()))
}

fn fatal(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".to_owned(), code.to_owned(), message)))
}

/// Whatever goes wrong before the login has ended ends the connection.
fn ending(error: PgWireError) -> PgWireError {
    match error {
        PgWireError::UserError(info) if info.is_fatal() => PgWireError::UserError(info),
        other => fatal("08P01", other.to_string()),
    }
}

fn user<C: ClientInfo>(client: &C) -> String {
    client.metadata().get(METADATA_USER).cloned().unwrap_or_default()
}

impl Login {
    pub(super) fn new(door: Arc<Door>) -> Login {
        Login { door, progress: Mutex::new(Progress::Before) }
    }

    fn step(&self, next: Progress) -> Progress {
        std::mem::replace(&mut *self.progress.lock().unwrap_or_else(PoisonError::into_inner), next)
    }

    async fn begin<C>(&self, client: &mut C, startup: &Startup) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        protocol_negotiation(client, startup).await?;
        remember(client, startup)?;
        if self.door.access.has_tls() && !client.is_secure() && !client.socket_addr().ip().is_loopback() {
            return Err(fatal(
                "28000",
                "this server is reached with TLS only: connect with sslmode=require".to_owned(),
            ));
        }
        if self.door.access.is_open() {
            return self.welcome(client, Caller::ALL).await;
        }
        client.set_state(PgWireConnectionState::AuthenticationInProgress);
        let offer = Authentication::SASL(vec![MECHANISM.to_owned()]);
        Ok(client.send(PgWireBackendMessage::Authentication(offer)).await?)
    }

    async fn prove<C>(&self, client: &mut C, message: PasswordMessageFamily) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let user = user(client);
        match self.step(Progress::Over) {
            Progress::Before => {
                let (exchange, first) = self.challenge(&user, message)?;
                self.step(Progress::Challenged(Box::new(exchange)));
                let challenge = Authentication::SASLContinue(first.into());
                Ok(client.send(PgWireBackendMessage::Authentication(challenge)).await?)
            }
            Progress::Challenged(exchange) => {
                let proved = exchange.finish(&message.into_sasl_response()?.data);
                let (Ok(last), Some(caller)) = (&proved, self.door.access.proved(&user)) else {
                    return Err(refusal(&user, proved.err()).await);
                };
                let last = Authentication::SASLFinal(last.clone().into());
                client.feed(PgWireBackendMessage::Authentication(last)).await?;
                self.welcome(client, caller).await
            }
            Progress::Over => Err(fatal("08P01", "no login is under way".to_owned())),
        }
    }

    fn challenge(&self, user: &str, message: PasswordMessageFamily) -> PgWireResult<(Exchange, String)> {
        let initial = message.into_sasl_initial_response()?;
        if initial.auth_method != MECHANISM {
            return Err(fatal("28000", format!("only {MECHANISM} is offered")));
        }
        let nonce = server_nonce().ok_or_else(|| fatal("XX000", "no random numbers from the system".to_owned()))?;
        let first = initial.data.unwrap_or_default();
        Exchange::start(&first, self.door.access.verifier(user), &nonce)
            .map_err(|error| fatal("08P01", error.to_string()))
    }

    async fn welcome<C>(&self, client: &mut C, caller: Caller) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (pid, secret_key) = self.door.keys.generate(client);
        client.set_pid_and_secret_key(pid, secret_key.clone());
        let (handle, guard) = self.door.connections.register(pid, secret_key);
        client.session_extensions().insert::<Arc<ConnectionHandle>>(handle);
        client.session_extensions().insert::<ConnectionGuard>(guard);
        client.session_extensions().insert::<Caller>(caller);
        let parameters = parameters(client.metadata());
        finish_authentication(client, &parameters).await
    }
}

/// Keeps who connects, and the settings that the connection starts with.
fn remember<C: ClientInfo>(client: &mut C, startup: &Startup) -> PgWireResult<()> {
    for name in [METADATA_USER, METADATA_DATABASE] {
        if let Some(value) = startup.parameters.get(name) {
            client.metadata_mut().insert(name.to_owned(), value.clone());
        }
    }
    let sent = startup.parameters.iter();
    settings::start(client.metadata_mut(), sent).map_err(|(code, message)| fatal(code, message))
}

/// What a client is told at the start.
fn parameters(kept: &settings::Kept) -> DefaultServerParameterProvider {
    let value = |name: &str| settings::show(kept, name).map(|(_, value)| value).unwrap_or_default();
    let mut parameters = DefaultServerParameterProvider::default();
    parameters.server_version = settings::SERVER_VERSION.to_owned();
    parameters.is_superuser = false;
    parameters.default_transaction_read_only = true;
    parameters.search_path = value("search_path");
    parameters.time_zone = value("timezone");
    parameters.date_style = value("datestyle");
    parameters.interval_style = value("intervalstyle");
    parameters.application_name = Some(value("application_name"));
    parameters
}

async fn refusal(user: &str, error: Option<ScramError>) -> PgWireError {
    if let Some(ScramError::Malformed(what)) = error {
        return fatal("08P01", format!("malformed SCRAM message: {what}"));
    }
    tracing::warn!(user, "a login with a wrong password or an unknown name was refused");
    tokio::time::sleep(REFUSAL_PAUSE).await;
    fatal("28P01", format!("password authentication failed for user \"{user}\""))
}

#[async_trait]
impl StartupHandler for Login {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let done = match message {
            PgWireFrontendMessage::Startup(startup) => self.begin(client, &startup).await,
            PgWireFrontendMessage::PasswordMessageFamily(message) => self.prove(client, message).await,
            _ => Err(fatal("08P01", "log in first".to_owned())),
        };
        done.map_err(ending)
    }
}
