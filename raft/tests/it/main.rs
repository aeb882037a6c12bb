//! Integration tests of the store.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod away;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod divergence;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod frozen;
#[cfg(test)]
mod levels;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod restore;
#[cfg(test)]
mod support;
