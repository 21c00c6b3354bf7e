//! `GET /api/v1/events`: a stream of server-sent events, for one reader each.
//!
//! `changes` has what `GET /api/v1/state` answers; its `id` is the revision. `happened` is one
//! event of the client's. `resync`: the reader was too slow for some of those. Nothing is
//! queued here: a slow reader gets one larger difference later, and the client keeps 64
//! events for it.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::state::Asked;
use crate::{
    api::{
        answer::{Answered, Refusal, with_type},
        request::Call,
        site::{MAX_STREAMS, Site},
    },
    client::{
        event::{Events, Happened},
        snapshot::Revision,
    },
};

/// A silent stream says so often that it is alive.
const PING: Duration = Duration::from_secs(15);

struct Reader {
    site: Arc<Site>,
    asked: Asked,
    /// The reader has had a difference: without one it gets everything at once.
    begun: bool,
    events: Events,
    _place: OwnedSemaphorePermit,
}

pub(super) fn answer(site: &Arc<Site>, call: &Call<'_>) -> Answered {
    let mut asked = Asked::read(call)?;
    // A browser that lost the connection says what it had.
    let last = call.headers.get("last-event-id");
    if let Some(last) = last.and_then(|value| value.to_str().ok()?.parse().ok()) {
        asked.since = Revision(last);
    }
    let place = Arc::clone(&site.streams).try_acquire_owned().map_err(|_| {
        Refusal::later(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            format!("{MAX_STREAMS} streams of events are read already"),
            Duration::from_secs(5),
        )
    })?;
    let reader = Reader {
        site: Arc::clone(site),
        asked,
        begun: false,
        events: site.client.events(),
        _place: place,
    };
    let stream = stream::unfold(reader, |mut reader| async {
        let message = reader.next().await?;
        Some((Ok::<_, std::convert::Infallible>(message), reader))
    });
    let mut response = with_type(
        StatusCode::OK,
        "text/event-stream",
        Body::from_stream(stream),
    );
    // Proxies must not wait for the end.
    let headers = response.headers_mut();
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Reader {
    /// The next message; `None`: client or server end.
    async fn next(&mut self) -> Option<Bytes> {
        let client = &self.site.client;
        if !self.begun {
            self.begun = true;
            let snapshot = client.snapshot();
            if snapshot.revision != self.asked.since {
                return self.changes(&snapshot);
            }
        }
        let mut ends = self.site.ends.clone();
        tokio::select! {
            snapshot = client.changed(self.asked.since) => {
                let snapshot = snapshot?;
                self.changes(&snapshot)
            }
            event = self.events.next() => {
                let event = event?;
                if event.what == Happened::Resync {
                    return Some(Bytes::from_static(b"event: resync\ndata: {}\n\n"));
                }
                let data = serde_json::to_string(&event).ok()?;
                Some(Bytes::from(format!("event: happened\ndata: {data}\n\n")))
            }
            () = tokio::time::sleep(PING) => Some(Bytes::from_static(b": alive\n\n")),
            // An error means that the server is gone, too.
            _ended = ends.wait_for(|ends| *ends) => None,
        }
    }

    fn changes(&mut self, snapshot: &crate::client::snapshot::Snapshot) -> Option<Bytes> {
        let data = self.asked.json(snapshot);
        self.asked.since = snapshot.revision;
        let mut message =
            format!("id: {}\nevent: changes\ndata: ", snapshot.revision.0).into_bytes();
        message.extend(data.ok()?);
        message.extend(b"\n\n");
        Some(Bytes::from(message))
    }
}
