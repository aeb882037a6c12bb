//! Our own calls under `/cluster`.

mod backup;
mod keys;
