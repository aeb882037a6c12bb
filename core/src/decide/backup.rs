//! Taking a backup. The content is the whole state, which the node streams; what is decided is that it may be sent.

use super::{Context, Request};
use crate::decision::Stop;

/// `cluster/backup`: notes in the audit trail that the whole state is handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakeBackup;

impl Request for TakeBackup {
    type Reply = ();

    fn decide(&self, cx: &mut Context<'_>) -> Result<(), Stop> {
        cx.audit.success = true;
        cx.note("the whole state is sent, secrets sealed");
        Ok(())
    }
}
