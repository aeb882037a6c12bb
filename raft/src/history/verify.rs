//! Recomputing the chain.

use std::fmt;

use super::{BATCH_ROWS, ChainHash, HistoryError, HistoryHead, HistoryReader, chain};

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryFault {
    /// There is no such row, but there are later ones or the replicated state says that there must be.
    Missing(u64),
    /// The row does not follow from the row before it.
    Changed(u64),
    /// The stored block that begins with this row cannot be read.
    Unreadable(u64),
    /// The chain fits in itself, but this row, the newest, has another hash than the replicated state says.
    OtherHead(u64),
    /// The cluster has removed the rows up to this one, which has another hash here.
    OtherAnchor(u64),
}

impl HistoryFault {
    /// The row.
    #[must_use]
    pub const fn row(self) -> u64 {
        match self {
            Self::Missing(row)
            | Self::Changed(row)
            | Self::Unreadable(row)
            | Self::OtherHead(row)
            | Self::OtherAnchor(row) => row,
        }
    }
}

impl fmt::Display for HistoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(row) => write!(f, "row {row} is missing"),
            Self::Changed(row) => write!(
                f,
                "row {row} does not follow from the row before it: its contents, its hash or its place were changed"
            ),
            Self::Unreadable(row) => write!(f, "the block of rows that begins with row {row} cannot be read"),
            Self::OtherHead(row) => write!(
                f,
                "row {row} has another hash than the replicated state says: it or a row before it was changed together \
                 with all hashes behind it"
            ),
            Self::OtherAnchor(row) => write!(
                f,
                "row {row}, up to which the cluster has removed its rows, has another hash here: it or a row before it \
                 was changed"
            ),
        }
    }
}

/// How far the chain was recomputed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The last good row; the place in front of the first one if that is bad already.
    pub last: HistoryHead,
    /// What is wrong behind it.
    pub fault: Option<HistoryFault>,
}

impl HistoryReader {
    /// Recomputes the chain from a row up to `to`, or over `limit` rows. The hash of the row in front of the first is
    /// taken for granted; the anchor's, if the row is not behind it. Nothing is checked when `from` is behind `to`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn verify(&self, from: u64, to: u64, limit: usize) -> Result<Verified, HistoryError> {
        let anchor = self.anchor();
        let mut last = if from <= anchor.number.saturating_add(1) {
            anchor
        } else {
            match self.hash(from - 1) {
                Ok(Some(hash)) => HistoryHead { number: from - 1, hash },
                Ok(None) => return faulty(HistoryHead::default(), HistoryFault::Missing(from - 1)),
                Err(HistoryError::Row(row)) => {
                    return faulty(HistoryHead::default(), HistoryFault::Unreadable(row));
                }
                Err(error) => return Err(error),
            }
        };
        let mut left = limit;
        while last.number < to && left > 0 {
            let next = last.number.saturating_add(1);
            let rows = match self.range(next, to, left.min(BATCH_ROWS)) {
                Ok(rows) if rows.is_empty() => return faulty(last, HistoryFault::Missing(next)),
                Ok(rows) => rows,
                Err(HistoryError::Row(row)) => return faulty(last, HistoryFault::Unreadable(row)),
                Err(error) => return Err(error),
            };
            left = left.saturating_sub(rows.len());
            for row in rows {
                let next = last.number.saturating_add(1);
                if row.number != next {
                    return faulty(last, HistoryFault::Missing(next));
                }
                if chain(&last.hash, row.number, &row.bytes) != row.hash {
                    return faulty(last, HistoryFault::Changed(row.number));
                }
                last = HistoryHead { number: row.number, hash: row.hash };
            }
        }
        Ok(Verified { last, fault: None })
    }

    /// Recomputes the chain from a row to the last one without a gap, and returns that row's number and hash.
    ///
    /// # Errors
    /// [`HistoryError::Contradiction`] with the first row that does not fit.
    pub fn verify_tail(&self, from: u64) -> Result<Option<(u64, ChainHash)>, HistoryError> {
        let verified = self.verify(from, u64::MAX, usize::MAX)?;
        match verified.fault {
            Some(
                HistoryFault::Changed(row) | HistoryFault::OtherHead(row) | HistoryFault::OtherAnchor(row),
            ) => Err(HistoryError::Contradiction(row)),
            Some(HistoryFault::Unreadable(row)) => Err(HistoryError::Row(row)),
            Some(HistoryFault::Missing(_)) | None => {
                let last = verified.last;
                Ok((last.number >= from.max(1)).then_some((last.number, last.hash)))
            }
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the result of the function that returns it")]
const fn faulty(last: HistoryHead, fault: HistoryFault) -> Result<Verified, HistoryError> {
    Ok(Verified { last, fault: Some(fault) })
}
