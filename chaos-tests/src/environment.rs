//! What the environment decides: the program under test, the seed, the length of the open-ended scenarios.

use std::env;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

/// The program under test: `TESSERA_BIN`, else `tessera` in the build directory this test program is in.
///
/// # Errors
/// If there is no such file; the text says how to make one.
pub fn program() -> Result<PathBuf> {
    if let Some(named) = env::var_os("TESSERA_BIN") {
        let path = PathBuf::from(named);
        if !path.is_file() {
            bail!("TESSERA_BIN names {}, which is not a file", path.display());
        }
        return path.canonicalize().context("cannot resolve TESSERA_BIN");
    }
    let test = env::current_exe().context("cannot find out where this test program is")?;
    // <target>/<profile>/deps/it-<hash> belongs to <target>/<profile>/tessera.
    let beside = test.ancestors().skip(1).take(3).map(|folder| folder.join("tessera"));
    beside.into_iter().find(|path| path.is_file()).with_context(|| {
        format!(
            "the program `tessera` is not built: these tests run real processes. Build it with `cargo build -p \
             tessera` into the same build directory ({}), or name it in TESSERA_BIN",
            test.display()
        )
    })
}

/// A number from the environment, or the default for continuous integration.
pub fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(default)
}

/// The seed of this run: `TESSERA_CHAOS_SEED`, else taken from the clock. Every report shows it.
pub fn seed() -> u64 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    number("TESSERA_CHAOS_SEED", u64::from(clock.subsec_nanos()) ^ clock.as_secs())
}

/// A small generator (splitmix64): the choices of a run repeat with its seed, as far as the processes' timing allows.
#[derive(Debug, Clone)]
pub struct Choices(u64);

impl Choices {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).saturating_add(1);
        low.saturating_add(self.bits() % span.max(1))
    }

    /// The items in another order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.between(0, u64::try_from(last).unwrap_or_default()));
            items.swap(last, other.unwrap_or_default());
        }
    }

    /// One of the items; `None` only if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let last = u64::try_from(items.len()).ok()?.checked_sub(1)?;
        items.get(usize::try_from(self.between(0, last)).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published first outputs of splitmix64 for the seed 1234567.
    #[test]
    fn choices_are_splitmix64() {
        let mut choices = Choices::new(1_234_567);
        assert_eq!(choices.bits(), 6_457_827_717_110_365_317);
        assert_eq!(choices.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn choices_stay_within_their_bounds() {
        let mut choices = Choices::new(1);
        let seen: Vec<u64> = (0..200).map(|_| choices.between(3, 5)).collect();
        assert!(seen.iter().all(|n| (3..=5).contains(n)) && [3, 4, 5].iter().all(|n| seen.contains(n)));
        assert_eq!(choices.pick::<u8>(&[]), None);
        assert_eq!(choices.pick(&[7]), Some(&7));
        let mut items: Vec<u8> = (0..50).collect();
        choices.shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<u8>>());
    }
}
