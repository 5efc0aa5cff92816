//! `GET /api/changes`: tells the page that there is something new to ask for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Pages that are told of changes at one time.
pub const CHANGES_CONNECTIONS_MAX: usize = 64;
/// A page is told at most this often; what changes in between is told at once.
const CHANGES_INTERVAL: Duration = Duration::from_millis(500);
/// So that proxies and browsers see that a quiet connection lives.
const ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Counters that go up when there is something new; nobody has to ask the lake.
#[derive(Clone)]
pub struct Changes {
    /// Of `records`: events, rejects, duplicates.
    pub records: watch::Receiver<u64>,
    /// Of `kpis`.
    pub kpis: watch::Receiver<u64>,
    /// Of `alerts`; `None` where the lake has no such table.
    pub alerts: Option<watch::Receiver<u64>>,
}

/// Waits for a change; for ever where there can be none.
async fn changed(counter: Option<&mut watch::Receiver<u64>>) -> Result<(), watch::error::RecvError> {
    match counter {
        Some(counter) => counter.changed().await,
        None => std::future::pending().await,
    }
}

/// Those who are told, each with a place of its own.
#[derive(Clone)]
pub(crate) struct Telling {
    changes: Changes,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

/// One who is told.
struct Told {
    changes: Changes,
    first: bool,
    _place: OwnedSemaphorePermit,
}

impl Telling {
    pub(crate) fn new(changes: Changes, stop: CancellationToken) -> Telling {
        Telling { changes, places: Arc::new(Semaphore::new(CHANGES_CONNECTIONS_MAX)), stop }
    }

    /// A stream that ends when the service does.
    pub(crate) fn answer(self) -> Response {
        let Ok(place) = self.places.try_acquire_owned() else {
            let message = "too many pages are open: close one, and this one follows changes again\n";
            return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "30")], message).into_response();
        };
        let told = Told { changes: self.changes, first: true, _place: place };
        let events = futures::stream::unfold(told, next).take_until(self.stop.cancelled_owned());
        let alive = KeepAlive::new().interval(ALIVE_INTERVAL);
        ([(header::CACHE_CONTROL, "no-store")], Sse::new(events).keep_alive(alive)).into_response()
    }
}

/// At once for the first time: what came while nobody listened is news, too.
async fn next(mut told: Told) -> Option<(Result<Event, Infallible>, Told)> {
    if !told.first {
        tokio::time::sleep(CHANGES_INTERVAL).await;
        tokio::select! {
            changed = told.changes.records.changed() => changed.ok()?,
            changed = told.changes.kpis.changed() => changed.ok()?,
            changed = changed(told.changes.alerts.as_mut()) => changed.ok()?,
        }
    }
    told.first = false;
    let counts = json!({
        "records": *told.changes.records.borrow_and_update(),
        "kpis": *told.changes.kpis.borrow_and_update(),
        "alerts": told.changes.alerts.as_mut().map_or(0, |alerts| *alerts.borrow_and_update()),
    });
    Some((Ok(Event::default().event("changes").data(counts.to_string())), told))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Count = watch::Sender<u64>;

    fn telling() -> ([Count; 3], Telling) {
        let counts = [(); 3].map(|()| watch::Sender::new(0));
        let [records, kpis, alerts] = counts.each_ref().map(Count::subscribe);
        (counts, Telling::new(Changes { records, kpis, alerts: Some(alerts) }, CancellationToken::new()))
    }

    async fn text(frames: &mut axum::body::BodyDataStream) -> Option<String> {
        let frame = frames.next().await?.unwrap();
        Some(String::from_utf8(frame.to_vec()).unwrap())
    }

    fn event(alerts: u64, kpis: u64, records: u64) -> String {
        format!("event: changes\ndata: {{\"alerts\":{alerts},\"kpis\":{kpis},\"records\":{records}}}\n\n")
    }

    #[tokio::test]
    async fn what_changes_is_told_together_and_the_end_is_the_services() {
        let ([records, kpis, alerts], telling) = telling();
        let mut frames = telling.clone().answer().into_body().into_data_stream();
        assert_eq!(text(&mut frames).await.unwrap(), event(0, 0, 0));
        for _ in 0..3 {
            records.send_modify(|count| *count += 1);
        }
        kpis.send_modify(|count| *count += 1);
        assert_eq!(text(&mut frames).await.unwrap(), event(0, 1, 3));
        alerts.send_modify(|count| *count += 1);
        assert_eq!(text(&mut frames).await.unwrap(), event(1, 1, 3));
        telling.stop.cancel();
        assert_eq!(text(&mut frames).await, None);
    }

    #[tokio::test]
    async fn places_are_bounded_and_given_back() {
        let (_counts, telling) = telling();
        let all: Vec<Response> = (0..CHANGES_CONNECTIONS_MAX).map(|_| telling.clone().answer()).collect();
        assert!(all.iter().all(|one| one.status() == StatusCode::OK));
        assert_eq!(telling.clone().answer().status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(all);
        assert_eq!(telling.answer().status(), StatusCode::OK);
    }
}
