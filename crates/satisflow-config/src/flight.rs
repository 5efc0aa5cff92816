//! The Arrow Flight SQL listener.

use std::net::SocketAddr;
use std::time::Duration;

use crate::raw::RawConfig;
use crate::resolver::{Resolver, seconds, size};

/// The Arrow Flight SQL listener and its limits.
#[derive(Debug, Clone, Copy)]
pub struct FlightSettings {
    /// Where it listens; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// Most connections.
    pub connections_max: usize,
    /// Most statements at the same time.
    pub streams_max: usize,
    /// Most rows of one answer.
    pub rows_max: usize,
    /// How long the token of a login is good for.
    pub token_lifetime: Duration,
}

impl Resolver<'_> {
    pub(crate) fn flight(&mut self, config: &RawConfig) -> FlightSettings {
        const TOKEN_LIFETIME_SECS_DEFAULT: u32 = 86_400;
        let raw = &config.flight;
        let listen = raw.listen.as_deref().map(|text| {
            let address = self.listen("/flight/listen", Some(text), text);
            self.may_face_its_network("/flight/listen", config, address);
            address
        });
        FlightSettings {
            listen,
            connections_max: size(raw.connections_max, 64),
            streams_max: size(raw.streams_max, 64),
            rows_max: size(raw.rows_max, 10_000_000),
            token_lifetime: seconds(raw.token_lifetime_secs, TOKEN_LIFETIME_SECS_DEFAULT),
        }
    }
}
