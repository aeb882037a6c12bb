//! The client column (reference policies 2.5).

use std::net::IpAddr;

use super::{Class, entries, negation};

/// Addresses and networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCondition {
    everywhere: bool,
    nowhere: bool,
    networks: Vec<(bool, Network)>,
}

/// An entry that is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is neither an address such as 10.1.2.3 nor a network such as 10.0.0.0/8, 10.0.0.0/255.0.0.0 or 2001:db8::/32"
)]
pub struct InvalidClient(Box<str>);

/// An address with the bits that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    V4 { bits: u32, mask: u32 },
    V6 { bits: u128, mask: u128 },
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, size) = match text.split_once('/') {
            Some((address, size)) => (address.trim(), Some(size.trim())),
            None => (text, None),
        };
        Some(match address.parse().ok()? {
            IpAddr::V4(address) => {
                let mask = match size {
                    None => u32::MAX,
                    Some(size) => match size.parse() {
                        Ok(IpAddr::V4(mask)) => contiguous(mask.to_bits())?,
                        Ok(IpAddr::V6(_)) => return None,
                        Err(_) => u32::MAX.checked_shl(32 - prefix(size, 32)?).unwrap_or(0),
                    },
                };
                Self::V4 { bits: address.to_bits() & mask, mask }
            }
            IpAddr::V6(address) => {
                let mask = match size {
                    None => u128::MAX,
                    Some(size) => u128::MAX.checked_shl(128 - prefix(size, 128)?).unwrap_or(0),
                };
                Self::V6 { bits: address.to_bits() & mask, mask }
            }
        })
    }

    /// An address of the other family is in no network.
    const fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4 { bits, mask }, IpAddr::V4(address)) => address.to_bits() & mask == bits,
            (Self::V6 { bits, mask }, IpAddr::V6(address)) => address.to_bits() & mask == bits,
            (Self::V4 { .. }, IpAddr::V6(_)) | (Self::V6 { .. }, IpAddr::V4(_)) => false,
        }
    }
}

/// The length of a prefix in bits.
fn prefix(text: &str, longest: u32) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|bits| digits && *bits <= longest)
}

/// A mask, if it consists of ones followed by zeros.
const fn contiguous(mask: u32) -> Option<u32> {
    if mask.leading_ones() + mask.trailing_zeros() >= 32 { Some(mask) } else { None }
}

impl ClientCondition {
    /// Parses the column; an empty one matches nothing.
    ///
    /// # Errors
    /// [`InvalidClient`].
    pub fn parse(text: &str) -> Result<Self, InvalidClient> {
        let mut condition = Self::default();
        for entry in entries(text, ',') {
            let (negated, network) = negation(entry);
            match (negated, network) {
                (false, "*") => condition.everywhere = true,
                (true, "*") => condition.nowhere = true,
                (_, network) => {
                    let network = Network::parse(network).ok_or_else(|| InvalidClient(entry.into()))?;
                    condition.networks.push((negated, network));
                }
            }
        }
        Ok(condition)
    }

    /// How the condition matches an address. A `*` in the list matches before anything is excluded, and no network is
    /// closer than another.
    #[must_use]
    pub fn class(&self, client: IpAddr) -> Option<Class> {
        if self.everywhere {
            return Some(Class::Wildcard);
        }
        if self.nowhere {
            return None;
        }
        let mut class = None;
        for (negated, network) in &self.networks {
            if !network.contains(client) {
                continue;
            }
            if *negated {
                return None;
            }
            class = Some(Class::Exact);
        }
        class
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, client: &str, expected: Option<Class>) {
        let condition = ClientCondition::parse(text).unwrap();
        assert_eq!(condition.class(client.parse().unwrap()), expected, "{text} on {client}");
    }

    /// Reference policies 12.3 and the sentences of 2.5.
    #[test]
    fn vectors_of_the_reference_hold() {
        let (exact, wildcard) = (Some(Class::Exact), Some(Class::Wildcard));
        let networks = "192.168.0.0/16, -192.168.17.15, !192.168.16.0/24";
        check(networks, "192.168.12.13", exact);
        check(networks, "192.168.17.15", None);
        check(networks, "192.168.16.152", None);
        check(networks, "127.0.0.1", None);
        check("-10.1.2.3, 10.0.0.0/8", "10.1.2.3", None);
        check("10.0.0.0/8, -10.1.2.3", "10.1.2.3", None);
        check("*, -10.1.2.3", "10.1.2.3", wildcard);
        check("-10.1.2.3", "10.1.2.4", None);
        check("-*", "10.1.2.4", None);
        check("10.1.2.4, -*", "10.1.2.4", None);
        check("", "10.1.2.4", None);
        for network in ["10.0.0.7/8", "0.0.0.0/0", "10.0.0.0/255.0.0.0", "10.1.2.3", "10.1.2.3/32"] {
            check(network, "10.1.2.3", exact);
        }
        check("10.1.2.2", "10.1.2.3", None);
        check("10.1.2.3/31", "10.1.2.2", exact);
        check("2001:db8::/32", "2001:db8:1::7", exact);
        check("2001:db8::/32", "2001:db9::7", None);
        check("::/0", "10.1.2.3", None);
        check("0.0.0.0/0", "::1", None);
        check("::1", "::1", exact);
    }

    /// Reference policies 2.5: what has no meaning is refused.
    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "10.1",
            "10.*",
            "10.1.2.1-10.1.2.9",
            "vpn.example.org",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/255.0.255.0",
            "2001:db8::/129",
            "2001:db8::/ffff::",
            "- 10.1.2.3",
            "10.1.2.3 10.1.2.4",
        ] {
            assert!(ClientCondition::parse(text).is_err(), "{text}");
        }
    }
}
