//! Operating system processes: signals, and free ports.

use std::collections::BTreeSet;
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

/// The first of `count` ports in a row that nobody listens on.
///
/// They lie below the range from which the operating system takes ports of outgoing connections: a node that is killed
/// must find its own port free when it is started again.
///
/// # Errors
/// If none are found.
pub fn free_ports(count: u16, choices: &mut Choices) -> Result<u16> {
    for _ in 0..200 {
        let first = u16::try_from(choices.between(12_000, 31_000)).unwrap_or(12_000);
        let listeners: Vec<_> = (first..first.saturating_add(count))
            .map_while(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
            .collect();
        if listeners.len() == usize::from(count) {
            return Ok(first);
        }
    }
    bail!("found no {count} free ports in a row")
}

/// The processes whose parent is one of these, by `/proc`; used to end what `tessera dev` started.
pub fn children_of(parents: &BTreeSet<u32>) -> BTreeSet<u32> {
    let Ok(folders) = fs::read_dir("/proc") else { return BTreeSet::new() };
    let pids = folders.filter_map(|folder| folder.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent_of(*pid).is_some_and(|parent| parents.contains(&parent))).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_process_is_not_alive_before_it_is_waited_for() {
        let mut child = Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        assert!(is_alive(child.id()));
        assert!(children_of(&BTreeSet::from([std::process::id()])).contains(&child.id()));
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
        let mut choices = Choices::new(5);
        let first = free_ports(3, &mut choices).unwrap();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first + 1)).unwrap();
        assert_ne!(free_ports(3, &mut Choices::new(5)).unwrap(), first);
    }
}
