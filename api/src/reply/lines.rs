//! Replies that grow while the work goes on: one JSON object on each line.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::json;

/// The lines of a reply, as a body.
#[derive(Debug)]
pub(crate) struct Lines(UnboundedReceiver<Bytes>);

/// Where lines are put. What is waiting to be sent is bounded by what whoever puts them there has in memory anyway.
#[derive(Debug)]
pub(crate) struct LineSender(UnboundedSender<Bytes>);

impl Lines {
    pub(crate) fn channel() -> (LineSender, Self) {
        let (sender, receiver) = unbounded_channel();
        (LineSender(sender), Self(receiver))
    }
}

impl LineSender {
    /// Adds a line. That nobody reads any more is no reason to stop the work.
    pub(crate) fn send<T: Serialize>(&self, value: &T) {
        let mut line = json::one_line(value);
        line.push(b'\n');
        let _ = self.0.send(line.into());
    }
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
