//! The client's address (reference http-api 1.4): the socket's, unless a proxy we trust says otherwise.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;
use tessera_core::settings::Settings;

/// An address or a network in CIDR form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

/// Text that is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is neither an address nor a network in CIDR form")]
pub struct InvalidNetwork(String);

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = || InvalidNetwork(text.to_owned());
        let (address, prefix) =
            text.trim().split_once('/').map_or((text.trim(), None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(width), str::parse).map_err(|_| invalid())?;
        if prefix > width { Err(invalid()) } else { Ok(Self { address, prefix }) }
    }
}

impl Network {
    /// Whether an address lies in the network. IPv4 addresses mapped into IPv6 count as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32_u32.saturating_sub(self.prefix);
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128_u32.saturating_sub(self.prefix);
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// What the address is found from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'a> {
    /// The other end of the connection.
    pub(crate) peer: IpAddr,
    /// The request's headers.
    pub(crate) headers: &'a HeaderMap,
    /// Parameter `client`, if the node takes it into account at all.
    pub(crate) parameter: Option<&'a str>,
    /// The node's trusted proxies.
    pub(crate) trusted: &'a [Network],
    /// The system configuration.
    pub(crate) settings: &'a Settings,
}

impl<'a> Evidence<'a> {
    /// The client's address. What is not an address is passed over.
    pub(crate) fn address(self) -> IpAddr {
        let mut address = self.peer.to_canonical();
        if self.trusted.iter().any(|network| network.contains(address)) {
            address = self.forwarded_for(self.trusted).unwrap_or(address);
        } else if let Some(networks) = self.settings.text("client.FORWARDED_PROXY") {
            address = self.by_configuration(networks).unwrap_or(address);
        }
        if let Some(parameter) = self.parameter
            && self.may_overwrite(address)
        {
            address = parse_address(parameter).unwrap_or(address);
        }
        address
    }

    fn by_configuration(self, networks: &str) -> Option<IpAddr> {
        let proxies: Vec<Network> = networks.split(',').filter_map(|text| text.parse().ok()).collect();
        if !proxies.iter().any(|network| network.contains(self.peer)) {
            return None;
        }
        let x_forwarded_for = self.settings.switch("client.X_FORWARDED_FOR", false);
        let forwarded = self.settings.switch("client.FORWARDED", false);
        let standard = if forwarded { self.forwarded(&proxies) } else { None };
        standard.or_else(|| if x_forwarded_for { self.forwarded_for(&proxies) } else { None })
    }

    /// All lines of a header.
    fn lines(self, name: &str) -> Vec<&'a str> {
        self.headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect()
    }

    /// The client in `X-Forwarded-For`.
    fn forwarded_for(self, proxies: &[Network]) -> Option<IpAddr> {
        let lines = self.lines("x-forwarded-for");
        client_of(lines.iter().flat_map(|line| line.split(',')).map(parse_address).collect(), proxies)
    }

    /// The client in the `for=` pairs of `Forwarded` (RFC 7239 section 5.2).
    fn forwarded(self, proxies: &[Network]) -> Option<IpAddr> {
        let lines = self.lines("forwarded");
        let pairs = lines.iter().flat_map(|line| line.split([',', ';'])).filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then(|| parse_address(value))
        });
        client_of(pairs.collect(), proxies)
    }

    fn may_overwrite(self, address: IpAddr) -> bool {
        let Some(list) = self.settings.text("mayOverwriteClient") else { return false };
        list.split(',').any(|allowed| parse_address(allowed) == Some(address))
    }
}

/// An address with or without port, quotes and brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

/// The client at the beginning of a chain of hops, to which each proxy appended the one it saw: the last hop that is not
/// itself a trusted proxy (reference policies 4, D22). What stands before it may be made up by the client. If all hops are
/// trusted it is the first one; nothing is known if that hop is not an address.
fn client_of(hops: Vec<Option<IpAddr>>, proxies: &[Network]) -> Option<IpAddr> {
    let is_proxy = |hop: &IpAddr| proxies.iter().any(|network| network.contains(*hop));
    let first = hops.first().copied().flatten();
    hops.into_iter().rev().find(|hop| !hop.as_ref().is_some_and(is_proxy)).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tessera_core::record::{SettingV1, SettingValue};
    use tessera_core::user::SettingKey;

    use super::*;

    #[derive(Default)]
    struct Case {
        peer: &'static str,
        headers: &'static [(&'static str, &'static str)],
        parameter: Option<&'static str>,
        trusted: &'static [&'static str],
        settings: &'static [(&'static str, &'static str)],
    }

    #[track_caller]
    fn check(case: &Case, expected: &str) {
        let mut settings = Settings::default();
        for (key, value) in case.settings {
            let value = SettingValue::Plain((*value).into());
            let entry = SettingV1 { value, kind: "".into(), description: "".into() };
            settings.insert(SettingKey::from(*key), Arc::new(entry));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in case.headers {
            headers.insert(*name, http::HeaderValue::from_static(value));
        }
        let trusted: Vec<Network> = case.trusted.iter().map(|text| text.parse().unwrap()).collect();
        let evidence = Evidence {
            peer: case.peer.parse().unwrap(),
            headers: &headers,
            parameter: case.parameter,
            trusted: &trusted,
            settings: &settings,
        };
        assert_eq!(evidence.address().to_string(), expected);
    }

    #[test]
    fn the_socket_counts_when_nobody_is_trusted() {
        let headers: &[_] = &[("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=5.6.7.8")];
        check(&Case { peer: "10.0.0.1", headers, parameter: Some("9.9.9.9"), ..Case::default() }, "10.0.0.1");
        check(&Case { peer: "::ffff:10.0.0.1", ..Case::default() }, "10.0.0.1");
        check(&Case { peer: "2001:db8::1", ..Case::default() }, "2001:db8::1");
    }

    #[test]
    fn trusted_proxies_of_the_node_come_first() {
        let settings: &[_] = &[("client.FORWARDED_PROXY", "10.0.0.0/8"), ("client.FORWARDED", "true")];
        let headers: &[_] = &[("x-forwarded-for", "1.2.3.4, 10.0.0.9"), ("forwarded", "for=5.6.7.8")];
        let trusted: &[_] = &["10.0.0.0/24"];
        check(&Case { peer: "10.0.0.1", headers, trusted, settings, ..Case::default() }, "1.2.3.4");
        check(&Case { peer: "10.0.1.1", headers, trusted, settings, ..Case::default() }, "5.6.7.8");
        check(&Case { peer: "11.0.0.1", headers, trusted, settings, ..Case::default() }, "11.0.0.1");
    }

    /// D22: what a client writes into the header itself stands to the left of what proxies append.
    #[test]
    fn a_client_cannot_choose_its_address() {
        let trusted: &[_] = &["10.0.0.0/24"];
        let case = |headers| Case { peer: "10.0.0.1", headers, trusted, ..Case::default() };
        for (header, expected) in [
            ("127.0.0.1, 198.51.100.7", "198.51.100.7"),
            ("127.0.0.1, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("127.0.0.1, unknown", "10.0.0.1"),
            ("198.51.100.7", "198.51.100.7"),
        ] {
            let headers: &'static [(&str, &str)] = Box::leak(Box::new([("x-forwarded-for", header)]));
            check(&case(headers), expected);
        }
        let settings: &[_] = &[("client.FORWARDED_PROXY", "10.0.0.0/24"), ("client.FORWARDED", "true")];
        let headers: &[_] = &[("forwarded", "for=127.0.0.1, for=198.51.100.7;proto=http, for=10.0.0.2")];
        check(&Case { peer: "10.0.0.1", headers, settings, ..Case::default() }, "198.51.100.7");
    }

    #[test]
    fn configured_proxies_need_the_switch_of_the_header() {
        let headers: &[_] =
            &[("x-forwarded-for", "1.2.3.4"), ("forwarded", "proto=http;for=\"[2001:db8::7]:4711\"")];
        let case = |settings| Case { peer: "10.0.0.1", headers, settings, ..Case::default() };
        check(&case(&[("client.FORWARDED_PROXY", "10.0.0.1")]), "10.0.0.1");
        check(
            &case(&[("client.FORWARDED_PROXY", "10.0.0.1"), ("client.X_FORWARDED_FOR", "True")]),
            "1.2.3.4",
        );
        check(
            &case(&[
                ("client.FORWARDED_PROXY", "192.168.0.0/16, 10.0.0.1"),
                ("client.X_FORWARDED_FOR", "True"),
                ("client.FORWARDED", "True"),
            ]),
            "2001:db8::7",
        );
    }

    #[test]
    fn the_parameter_needs_permission() {
        let settings: &[_] = &[("mayOverwriteClient", "10.0.0.1, 2001:db8::1")];
        let case = |peer, parameter| Case { peer, parameter: Some(parameter), settings, ..Case::default() };
        check(&case("10.0.0.1", "192.0.2.7"), "192.0.2.7");
        check(&case("2001:db8::1", "2001:db8::2"), "2001:db8::2");
        check(&case("10.0.0.2", "192.0.2.7"), "10.0.0.2");
        check(&case("10.0.0.1", "not an address"), "10.0.0.1");
        check(&case("10.0.0.1", ""), "10.0.0.1");
    }

    #[test]
    fn networks_are_checked() {
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "2001:db8::/129", "10.0.0.0/-1", "host"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        let everything: Network = "0.0.0.0/0".parse().unwrap();
        assert!(everything.contains("255.1.2.3".parse().unwrap()));
        assert!(!everything.contains("2001:db8::1".parse().unwrap()));
        let v6: Network = "2001:db8::/32".parse().unwrap();
        assert!(
            v6.contains("2001:db8:ffff::1".parse().unwrap()) && !v6.contains("2001:db9::1".parse().unwrap())
        );
    }
}
