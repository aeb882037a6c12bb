//! Comparison with another implementation: `oathtool` of OATH Toolkit.

use std::process::Command;

use tessera_core::algo::hotp::Hotp;
use tessera_core::facts::Random;
use tessera_core::record::HashAlgorithm;

const SEEDS: usize = 1000;
/// oathtool prints the value of the time and this many further ones.
const FURTHER: u64 = 9;

/// One run: a thousand random seeds, spread over all combinations of hash, digits and time step, ten steps each.
#[test]
fn values_agree_with_oathtool() {
    if Command::new("oathtool").arg("--version").output().is_err() {
        assert!(std::env::var_os("TESSERA_REQUIRE_TOOLS").is_none(), "oathtool is not installed");
        eprintln!("skipped: oathtool is not installed");
        return;
    }
    let mut random = Random::new(&[42; 32]);
    for number in 0..SEEDS {
        let (hash, mode) = [
            (HashAlgorithm::Sha1, "sha1"),
            (HashAlgorithm::Sha256, "sha256"),
            (HashAlgorithm::Sha512, "sha512"),
        ][number % 3];
        let digits = [6, 8][number / 3 % 2];
        let step = [30, 60][number / 6 % 2];
        let mut seed = vec![0; 1 + usize::try_from(random.below(100)).unwrap()];
        random.fill(&mut seed);
        // Up to the year 2106, the last one all builds of oathtool can be given.
        let time = u64::from(u32::from_be_bytes(random.bytes()));
        let expected = oathtool(mode, digits, step, time, &seed);
        let hotp = Hotp::new(&seed, hash, digits).unwrap();
        let first = time / step;
        let ours: Vec<String> =
            (first..=first + FURTHER).map(|counter| hotp.code(counter).as_str().to_owned()).collect();
        assert_eq!(ours, expected, "{mode} {digits} digits {step} s at {time}, seed {seed:02x?}");
    }
}

fn oathtool(mode: &str, digits: u32, step: u64, time: u64, seed: &[u8]) -> Vec<String> {
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    let output = Command::new("oathtool")
        .arg(format!("--totp={mode}"))
        .args(["-d", &digits.to_string(), "-s", &step.to_string(), "-w", &FURTHER.to_string()])
        .args(["-N", &format!("@{time}"), &hex])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
