//! The node's part in a backup: a pinned state, sent piece by piece.

use std::io::{self, Write};
use std::time::Duration;

use tessera_core::decide::backup::TakeBackup;
use tessera_core::decide::rotation::KeyUse;
use tessera_core::decision::Refusal;
use tessera_core::facts::Caller;
use tessera_core::secret::{KeyId, Keyring};
use tessera_raft::archive::{self, ArchiveKey};
use tessera_raft::cluster::State;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::node::Node;
use crate::run::RunError;

/// Bytes of a piece.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that wait for the receiver. With the one being filled they are all the memory a backup needs.
const PIECES: usize = 4;
/// A receiver that takes nothing for this long is given up, so that the pinned state is freed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pieces of an archive. A stream that ends with an error, or without a trailer, is incomplete; the reader of the
/// archive notices.
pub type BackupStream = mpsc::Receiver<io::Result<Vec<u8>>>;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum NoBackup {
    /// It is refused.
    #[error(transparent)]
    Refused(Refusal),
    /// The node could not do it.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl Node {
    /// Starts to send the whole state, as it is after everything committed before this call. One backup is sent at a time.
    ///
    /// # Errors
    /// When another backup is being sent, or the cluster is not available.
    pub async fn backup(&self, caller: Caller) -> Result<BackupStream, NoBackup> {
        let Ok(turn) = self.backup_turns().try_acquire_owned() else {
            let text = "a backup is being taken from this node already: wait until it is finished";
            return Err(NoBackup::Refused(Refusal::Other(text.to_owned())));
        };
        self.run(TakeBackup, caller).await?.map_err(NoBackup::Refused)?;
        let state = self.store().barrier().await.map_err(RunError::from)?;
        let (keyring, now) = (self.keyring(), self.store().now());
        let (cluster, node) = (self.config().cluster.id.clone(), self.config().node.id);
        let (sender, receiver) = mpsc::channel(PIECES);
        drop(spawn_blocking(move || {
            let header = archive::header(&state, &cluster, node, now, keys_of(&state, &keyring));
            let mut pieces = Pieces { sender, piece: Vec::with_capacity(PIECE_BYTES) };
            let written = archive::write(&state, &header, &mut pieces);
            match &written {
                Ok(()) => tracing::info!(revision = header.revision, records = header.records, "backup sent"),
                Err(error) => tracing::warn!(error = %error, "backup not sent completely"),
            }
            drop(turn);
        }));
        Ok(receiver)
    }
}

/// The keys a state needs, with the check values of those this node holds.
fn keys_of(state: &State, keyring: &Keyring) -> Vec<ArchiveKey> {
    let found = KeyUse::of(state);
    let mut ids: Vec<KeyId> = found.sealed.keys().chain(found.pins.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let key = |id: KeyId| ArchiveKey {
        id: id.0,
        check: keyring.check_value(id).map(|check| check.to_vec()).unwrap_or_default(),
        sealed: found.sealed.get(&id).copied().unwrap_or_default(),
        pins: found.pins.get(&id).copied().unwrap_or_default(),
    };
    ids.into_iter().map(key).collect()
}

/// Cuts what is written into pieces.
struct Pieces {
    sender: mpsc::Sender<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        let sent = tokio::runtime::Handle::current().block_on(self.sender.send_timeout(Ok(piece), PATIENCE));
        sent.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => io::ErrorKind::TimedOut.into(),
            mpsc::error::SendTimeoutError::Closed(_) => io::ErrorKind::BrokenPipe.into(),
        })
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() >= PIECE_BYTES {
            self.send()?;
        }
        let room = PIECE_BYTES.saturating_sub(self.piece.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.piece.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.send() }
    }
}
