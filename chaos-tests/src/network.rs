//! The network between the nodes: a proxy of this harness on every way from one node to another.
//!
//! Each node listens at an address of its own (127.0.0.N) and advertises another one, where this harness listens. Whatever
//! a node sends to another passes through here, in both directions of each connection, so a link can be cut, in one
//! direction or both, delayed, or made to stall as TCP does when packets are lost, without any privilege. Bytes that meet
//! a cut are held back, not refused, as on a network that swallows packets; so is the end of a connection.
//!
//! Which node a connection comes from is read from the operating system: the process that owns its other end.
//!
//! Clients talk to the nodes directly: what they see is the nodes' doing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::environment::Choices;
use crate::wait;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Chunks on their way; beyond this the sender has to wait, as on a real link.
const IN_FLIGHT: usize = 64;

/// How long to wait when accepting a connection has failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What TCP waits at least before it sends a lost packet again (Linux: `TCP_RTO_MIN`).
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// How a link is at the moment, in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Link {
    /// Nothing gets through.
    pub cut: bool,
    /// Everything takes this much longer.
    pub delay: Duration,
    /// Of a thousand chunks so many are lost at first and sent again later.
    pub lost_of_thousand: u64,
}

/// From one node to another.
type Way = (u64, u64);

#[derive(Debug, Clone, Default)]
struct State {
    links: BTreeMap<Way, Link>,
    /// Connections are broken when their number here changes.
    resets: BTreeMap<Way, u64>,
}

impl State {
    fn link(&self, way: Way) -> Link {
        self.links.get(&way).copied().unwrap_or_default()
    }

    fn reset(&self, way: Way) -> u64 {
        self.resets.get(&way).copied().unwrap_or_default()
    }
}

/// The network between some nodes. Ends with the value.
#[derive(Debug)]
pub struct Network {
    nodes: BTreeSet<u64>,
    state: Arc<watch::Sender<State>>,
    pids: Arc<Mutex<BTreeMap<u64, u32>>>,
    proxies: JoinSet<()>,
    randomness: u64,
}

impl Network {
    /// A network without nodes.
    pub fn new(choices: &mut Choices) -> Self {
        Self {
            nodes: BTreeSet::new(),
            state: Arc::new(watch::Sender::new(State::default())),
            pids: Arc::default(),
            proxies: JoinSet::new(),
            randomness: choices.bits(),
        }
    }

    /// Listens at the address a node advertises, for all others.
    ///
    /// # Errors
    /// If the address is not free.
    pub async fn add(&mut self, node: u64, advertised: SocketAddr, listening: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind(advertised)
            .await
            .with_context(|| format!("cannot listen at {advertised}, the proxy of node {node}"))?;
        let proxy = Proxy {
            target: node,
            listening,
            state: self.state.clone(),
            pids: self.pids.clone(),
            randomness: self.randomness ^ node,
        };
        self.nodes.insert(node);
        self.proxies.spawn(proxy.run(listener));
        Ok(())
    }

    /// Which process a node is.
    pub fn set_pid(&self, node: u64, pid: u32) {
        locked(&self.pids).insert(node, pid);
    }

    /// Cuts what goes from one node to another, not what comes back.
    pub fn cut(&self, from: u64, to: u64) {
        self.change(from, to, |link| link.cut = true);
    }

    /// Cuts all between two groups of nodes.
    pub fn separate(&self, some: &[u64], others: &[u64]) {
        for (one, other) in some.iter().flat_map(|one| others.iter().map(move |other| (*one, *other))) {
            self.cut(one, other);
            self.cut(other, one);
        }
    }

    /// Changes a link.
    pub fn change(&self, from: u64, to: u64, change: impl FnOnce(&mut Link)) {
        self.state.send_modify(|state| change(state.links.entry((from, to)).or_default()));
    }

    /// Changes all links.
    pub fn change_all(&self, change: impl Fn(&mut Link)) {
        for (from, to) in self.ways() {
            self.change(from, to, &change);
        }
    }

    /// Breaks the connections that one node has made to another.
    pub fn reset(&self, from: u64, to: u64) {
        self.state.send_modify(|state| {
            let number = state.resets.entry((from, to)).or_default();
            *number = number.wrapping_add(1);
        });
    }

    /// All links are whole again.
    pub fn heal(&self) {
        self.state.send_modify(|state| state.links.clear());
    }

    /// Whether two nodes can talk to each other.
    pub fn connects(&self, one: u64, other: u64) -> bool {
        let state = self.state.borrow();
        !state.link((one, other)).cut && !state.link((other, one)).cut
    }

    fn ways(&self) -> Vec<Way> {
        let nodes = &self.nodes;
        nodes
            .iter()
            .flat_map(|from| nodes.iter().map(move |to| (*from, *to)))
            .filter(|(from, to)| from != to)
            .collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stands before one node.
#[derive(Debug)]
struct Proxy {
    target: u64,
    listening: SocketAddr,
    state: Arc<watch::Sender<State>>,
    pids: Arc<Mutex<BTreeMap<u64, u32>>>,
    randomness: u64,
}

impl Proxy {
    async fn run(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        let mut choices = Choices::new(self.randomness);
        loop {
            tokio::select! {
                Ok((stream, peer)) = listener.accept() => {
                    let pids = locked(&self.pids).clone();
                    let owner = stream.local_addr().ok().and_then(|local| owner_of(peer, local, &pids));
                    // Without an owner it is no node's connection, or the node has just died.
                    let Some(from) = owner else { continue };
                    connections.spawn(self.connect(from, stream, &mut choices));
                }
                Some(_) = connections.join_next() => {}
                // No connection could be accepted, for want of file descriptors perhaps.
                else => wait::pause(ACCEPT_AGAIN).await,
            }
        }
    }

    fn connect(
        &self,
        from: u64,
        incoming: TcpStream,
        choices: &mut Choices,
    ) -> impl Future<Output = ()> + use<> {
        let (there, back) = ((from, self.target), (self.target, from));
        let listening = self.listening;
        let mut state = self.state.subscribe();
        let reset = state.borrow_and_update().reset(there);
        let (forth, answer) = (self.state.subscribe(), self.state.subscribe());
        let (mut one, mut other) = (Choices::new(choices.bits()), Choices::new(choices.bits()));
        async move {
            let Ok(outgoing) = TcpStream::connect(listening).await else { return };
            let _ = (incoming.set_nodelay(true), outgoing.set_nodelay(true));
            let (from_source, to_source) = incoming.into_split();
            let (from_target, to_target) = outgoing.into_split();
            let both = futures::future::join(
                carry(from_source, to_target, there, forth, &mut one),
                carry(from_target, to_source, back, answer, &mut other),
            );
            tokio::select! {
                _ = both => {}
                // Both halves are dropped, which closes the connections.
                _ = state.wait_for(|state| state.reset(there) != reset) => {}
            }
        }
    }
}

/// What travels: bytes, or the end of the connection.
type Chunk = (Instant, Option<Vec<u8>>);

async fn carry(
    source: OwnedReadHalf,
    target: OwnedWriteHalf,
    way: Way,
    state: watch::Receiver<State>,
    choices: &mut Choices,
) {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let links = state.clone();
    futures::future::join(read(source, way, links, choices, sender), write(receiver, target, way, state))
        .await;
}

async fn read(
    mut source: OwnedReadHalf,
    way: Way,
    state: watch::Receiver<State>,
    choices: &mut Choices,
    sender: mpsc::Sender<Chunk>,
) {
    loop {
        let mut bytes = vec![0; CHUNK];
        let length = source.read(&mut bytes).await.unwrap_or_default();
        bytes.truncate(length);
        let link = state.borrow().link(way);
        let lost = link.lost_of_thousand > choices.between(0, 999);
        let due = Instant::now() + link.delay + if lost { RETRANSMISSION } else { Duration::ZERO };
        let chunk = (length > 0).then_some(bytes);
        let ended = chunk.is_none();
        if sender.send((due, chunk)).await.is_err() || ended {
            return;
        }
    }
}

async fn write(
    mut receiver: mpsc::Receiver<Chunk>,
    mut target: OwnedWriteHalf,
    way: Way,
    mut state: watch::Receiver<State>,
) {
    while let Some((due, chunk)) = receiver.recv().await {
        sleep_until(due).await;
        if state.wait_for(|state| !state.link(way).cut).await.is_err() {
            return;
        }
        let written = match chunk {
            Some(bytes) => target.write_all(&bytes).await,
            None => target.shutdown().await,
        };
        if written.is_err() {
            return;
        }
    }
}

/// The node whose process has this connection open: `peer` is its end, `local` ours.
fn owner_of(peer: SocketAddr, local: SocketAddr, pids: &BTreeMap<u64, u32>) -> Option<u64> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = inode_of(&table, peer, local)?;
    let name = format!("socket:[{inode}]");
    pids.iter().find(|(_, pid)| has_open(**pid, &name)).map(|(node, _)| *node)
}

/// Looks for a connection in the table `/proc/net/tcp`.
fn inode_of(table: &str, own: SocketAddr, other: SocketAddr) -> Option<u64> {
    let (own, other) = (in_hex(own)?, in_hex(other)?);
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let found = *fields.get(1)? == own && *fields.get(2)? == other;
        if found { fields.get(9)?.parse().ok() } else { None }
    })
}

/// An address as that table writes it: the four bytes as one number of this machine, and the port.
fn in_hex(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()))
}

fn has_open(pid: u32, name: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target == Path::new(name))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener as Listener;

    use super::*;
    use crate::scenario::block_on;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Sends and expects the echo.
    async fn echoes(stream: &mut TcpStream, text: &[u8]) -> bool {
        let mut answer = vec![0; text.len()];
        stream.write_all(text).await.is_ok() && stream.read_exact(&mut answer).await.is_ok() && answer == text
    }

    /// Node 1 is this process, node 2 an echo behind a proxy.
    async fn connected() -> (Network, SocketAddr) {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listening = echo.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.into_split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        let advertised = Listener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut network = Network::new(&mut Choices::new(3));
        network.add(2, advertised, listening).await.unwrap();
        network.set_pid(1, std::process::id());
        (network, advertised)
    }

    #[test]
    fn a_cut_holds_bytes_back_until_it_heals() {
        block_on(async {
            let (network, address) = connected().await;
            let mut stream = TcpStream::connect(address).await?;
            assert!(echoes(&mut stream, b"one").await);
            // Only the way back is cut: the bytes arrive there, the answer does not arrive here.
            network.cut(2, 1);
            assert!(!network.connects(1, 2));
            stream.write_all(b"two").await?;
            let mut answer = [0; 3];
            let held = tokio::time::timeout(Duration::from_millis(300), stream.read_exact(&mut answer)).await;
            assert!(held.is_err(), "got {answer:?}");
            network.heal();
            tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await??;
            assert_eq!(&answer, b"two");
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn a_delay_is_added_in_each_direction() {
        block_on(async {
            let (network, address) = connected().await;
            let delay = Duration::from_millis(60);
            network.change(1, 2, |link| link.delay = delay);
            network.change(2, 1, |link| link.delay = delay);
            let mut stream = TcpStream::connect(address).await?;
            let begun = Instant::now();
            assert!(echoes(&mut stream, b"slowly").await);
            assert!(begun.elapsed() >= delay * 2, "{:?}", begun.elapsed());
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn a_reset_breaks_connections_but_not_the_link() {
        block_on(async {
            let (network, address) = connected().await;
            let mut stream = TcpStream::connect(address).await?;
            assert!(echoes(&mut stream, b"one").await);
            network.reset(1, 2);
            let mut byte = [0; 1];
            let ended = tokio::time::timeout(PATIENCE, stream.read(&mut byte)).await?;
            assert!(matches!(ended, Ok(0) | Err(_)));
            let mut stream = TcpStream::connect(address).await?;
            assert!(echoes(&mut stream, b"again").await);
            Ok(())
        })
        .unwrap();
    }

    /// The table as the manual page shows it, on a little-endian machine.
    #[test]
    fn connections_are_found_in_the_table_of_the_kernel() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1\n\
             \x20  1: 0100007F:C000 0B00007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4711 1\n";
        let (own, other) = ("127.0.0.1:49152".parse().unwrap(), "127.0.0.11:8080".parse().unwrap());
        assert_eq!(inode_of(table, own, other), Some(4711));
        assert_eq!(inode_of(table, other, own), None);
    }
}
