//! `POST /cluster/backup`: the whole state as a stream, for administrators.
//!
//! The stream is not encrypted beyond the connection; secrets in it are sealed under the cluster key, as in the state.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderValue;
use hyper::body::{Body as HttpBody, Frame};
use tessera_node::backup::{BackupStream, NoBackup};

use crate::call::Call;
use crate::error::Failure;
use crate::reply::Reply;

/// The type of the content; a reader recognises the archive by its first bytes as well.
const ARCHIVE: HeaderValue = HeaderValue::from_static("application/vnd.tessera.archive");

pub(crate) async fn backup(call: Call) -> Result<Reply, Failure> {
    match call.shared.node.backup(call.caller.clone()).await {
        Ok(stream) => Ok(Reply::streamed(ARCHIVE, Pieces(stream))),
        Err(NoBackup::Refused(refusal)) => Err(Failure::Unread(refusal)),
        Err(NoBackup::Run(error)) => Err(Failure::Run(error)),
    }
}

/// The pieces as a body.
struct Pieces(BackupStream);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(|bytes| Frame::data(bytes.into()))))
    }
}
