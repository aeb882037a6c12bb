//! Operating system processes: signals, and free ports.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::environment::Choices;

/// What is sent to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ends it at once; nothing is written any more.
    Kill,
    /// Asks it to end.
    Terminate,
    /// Freezes it.
    Stop,
    /// Lets it go on.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "-KILL",
            Self::Terminate => "-TERM",
            Self::Stop => "-STOP",
            Self::Continue => "-CONT",
        }
    }
}

/// Sends a signal to processes, with one call so that they get it at the same instant.
///
/// # Errors
/// If one of them does not exist.
pub fn signal(signal: Signal, pids: &[u32]) -> Result<()> {
    let output = Command::new("/bin/kill")
        .arg(signal.name())
        .args(pids.iter().map(ToString::to_string))
        .output()
        .context("cannot run /bin/kill")?;
    if !output.status.success() {
        bail!("/bin/kill {} {pids:?}: {}", signal.name(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// False once a process has ended, also if its parent has not asked for its exit status yet.
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name in parentheses may hold anything; the state follows the last one (proc_pid_stat(5)).
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// A port that nobody listens at, at any of these addresses.
///
/// It lies below the range from which the operating system takes ports of outgoing connections: a node that is killed
/// must find its own port free when it is started again.
///
/// # Errors
/// If none is found.
pub fn free_port(addresses: &[Ipv4Addr], choices: &mut Choices) -> Result<u16> {
    for _ in 0..200 {
        let port = u16::try_from(choices.between(12_000, 31_000)).unwrap_or(12_000);
        if addresses.iter().all(|address| TcpListener::bind((*address, port)).is_ok()) {
            return Ok(port);
        }
    }
    bail!("found no port that is free at {addresses:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_process_is_not_alive_before_it_is_waited_for() {
        let mut child = Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        assert!(is_alive(child.id()));
        signal(Signal::Kill, &[child.id()]).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while is_alive(child.id()) {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(signal(Signal::Kill, &[child.id()]).is_err());
    }

    #[test]
    fn ports_in_use_are_not_called_free() {
        let both = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 11)];
        let port = free_port(&both, &mut Choices::new(5)).unwrap();
        let _taken = TcpListener::bind((both[1], port)).unwrap();
        assert_ne!(free_port(&both, &mut Choices::new(5)).unwrap(), port);
    }
}
