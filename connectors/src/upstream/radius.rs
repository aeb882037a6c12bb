//! A RADIUS client for logins with a password (RFC 2865, RFC 3579 section 3.2 for Message-Authenticator).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;
use tessera_core::facts::RemoteReply;
use tessera_core::secret::SecretText;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

/// How often a request is sent before the server counts as unreachable.
const TRIES: u32 = 3;
/// The longest packet (RFC 2865 section 3).
const PACKET_MAX: usize = 4096;
/// Code, identifier, length and authenticator.
const HEADER: usize = 20;
/// The longest value of an attribute.
const VALUE_MAX: usize = 253;
/// The longest password (RFC 2865 section 5.2).
const PASSWORD_MAX: usize = 128;

const ACCESS_REQUEST: u8 = 1;
const ACCESS_ACCEPT: u8 = 2;
const ACCESS_REJECT: u8 = 3;
const ACCESS_CHALLENGE: u8 = 11;

const USER_NAME: u8 = 1;
const USER_PASSWORD: u8 = 2;
const REPLY_MESSAGE: u8 = 18;
const STATE: u8 = 24;
const NAS_IDENTIFIER: u8 = 32;
const MESSAGE_AUTHENTICATOR: u8 = 80;

/// Why a request could not be made. A server that is silent is no error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RadiusError {
    #[error("no random bytes")]
    Entropy,
    #[error("the {0} is longer than RADIUS allows")]
    Long(&'static str),
    #[error("no socket")]
    Socket(#[source] std::io::Error),
}

/// What a server is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a SecretText,
    /// The state of the challenge that is answered.
    pub(crate) state: Option<&'a str>,
    pub(crate) nas_identifier: &'a str,
}

/// Asks a server within a time limit; `None` if it cannot be reached or is silent.
///
/// # Errors
/// When the request cannot be made.
pub(crate) async fn ask(
    server: (&str, u16),
    secret: &SecretText,
    request: &Request<'_>,
    limit: Duration,
) -> Result<Option<RemoteReply>, RadiusError> {
    let end = Instant::now() + limit;
    let mut random = [0_u8; 17];
    getrandom::fill(&mut random).map_err(|_| RadiusError::Entropy)?;
    let [identifier, authenticator @ ..] = random;
    let packet = Zeroizing::new(encode(identifier, &authenticator, secret.expose().as_bytes(), request)?);
    let Ok(Ok(mut found)) = timeout_at(end, lookup_host(server)).await else { return Ok(None) };
    let Some(address) = found.next() else { return Ok(None) };
    let socket = connect(address).await.map_err(RadiusError::Socket)?;
    for number in 1..=TRIES {
        if socket.send(&packet).await.is_err() {
            return Ok(None);
        }
        let until = end.checked_sub(limit / TRIES * (TRIES - number)).unwrap_or(end);
        let asked = Asked { identifier, authenticator: &authenticator, secret: secret.expose().as_bytes() };
        match timeout_at(until, receive(&socket, &asked)).await {
            Ok(Some(reply)) => return Ok(Some(reply)),
            // Nobody listens there; another attempt may meet a server that is just starting.
            Ok(None) => tokio::time::sleep_until(until).await,
            Err(_) => {}
        }
    }
    Ok(None)
}

async fn connect(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?,
    };
    socket.connect(address).await?;
    Ok(socket)
}

/// A request that is waiting for its reply.
struct Asked<'a> {
    identifier: u8,
    authenticator: &'a [u8; 16],
    secret: &'a [u8],
}

/// The first reply that the server must have made. Anything else is passed over (RFC 2865 section 3); `None` if the
/// socket fails.
async fn receive(socket: &UdpSocket, asked: &Asked<'_>) -> Option<RemoteReply> {
    let mut buffer = [0_u8; PACKET_MAX];
    loop {
        let length = socket.recv(&mut buffer).await.ok()?;
        if let Some(reply) = buffer.get(..length).and_then(|packet| decode(packet, asked)) {
            return Some(reply);
        }
    }
}

fn encode(
    identifier: u8,
    authenticator: &[u8; 16],
    secret: &[u8],
    request: &Request<'_>,
) -> Result<Vec<u8>, RadiusError> {
    let mut attributes = Vec::new();
    // First, so that its place is known (and as RFC 5997 and later advice want it).
    attribute(&mut attributes, MESSAGE_AUTHENTICATOR, &[0; 16], "authenticator")?;
    attribute(&mut attributes, USER_NAME, request.user.as_bytes(), "login")?;
    let hidden = hide(request.password.expose().as_bytes(), authenticator, secret)?;
    attribute(&mut attributes, USER_PASSWORD, &hidden, "password")?;
    attribute(&mut attributes, NAS_IDENTIFIER, request.nas_identifier.as_bytes(), "NAS identifier")?;
    if let Some(state) = request.state {
        attribute(&mut attributes, STATE, &state_bytes(state), "state")?;
    }
    let length = u16::try_from(HEADER + attributes.len()).map_err(|_| RadiusError::Long("request"))?;
    let mut packet = vec![ACCESS_REQUEST, identifier];
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(authenticator);
    packet.extend_from_slice(&attributes);
    let mac = message_authenticator(secret, &packet);
    if let Some(place) = packet.get_mut(HEADER + 2..HEADER + 18) {
        place.copy_from_slice(&mac);
    }
    Ok(packet)
}

fn attribute(all: &mut Vec<u8>, kind: u8, value: &[u8], what: &'static str) -> Result<(), RadiusError> {
    let length = u8::try_from(value.len() + 2).map_err(|_| RadiusError::Long(what))?;
    all.extend_from_slice(&[kind, length]);
    all.extend_from_slice(value);
    Ok(())
}

/// Hides a password (RFC 2865 section 5.2).
fn hide(password: &[u8], authenticator: &[u8; 16], secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, RadiusError> {
    if password.len() > PASSWORD_MAX {
        return Err(RadiusError::Long("password"));
    }
    let mut padded = Zeroizing::new(password.to_vec());
    padded.resize(password.len().div_ceil(16).max(1) * 16, 0);
    let mut before = *authenticator;
    for block in padded.chunks_exact_mut(16) {
        let pad: [u8; 16] = Md5::new().chain_update(secret).chain_update(before).finalize().into();
        for (byte, pad) in block.iter_mut().zip(pad) {
            *byte ^= pad;
        }
        before.copy_from_slice(block);
    }
    Ok(padded)
}

/// HMAC-MD5 over the packet with zeros in the attribute's place.
fn message_authenticator(secret: &[u8], packet: &[u8]) -> [u8; 16] {
    match Hmac::<Md5>::new_from_slice(secret) {
        Ok(mac) => mac.chain_update(packet).finalize().into_bytes().into(),
        // HMAC accepts keys of every length (RFC 2104).
        Err(_) => [0; 16],
    }
}

/// The reply in a packet; `None` if it is none to this request, or not from who knows the secret.
fn decode(packet: &[u8], asked: &Asked<'_>) -> Option<RemoteReply> {
    let (header, _) = packet.split_first_chunk::<HEADER>()?;
    let [code, identifier, high, low, received @ ..] = *header;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let packet = packet.get(..length)?;
    let attributes = packet.get(HEADER..)?;
    let expected: [u8; 16] = Md5::new()
        .chain_update([code, identifier, high, low])
        .chain_update(asked.authenticator)
        .chain_update(attributes)
        .chain_update(asked.secret)
        .finalize()
        .into();
    let genuine = bool::from(expected.ct_eq(&received)) && has_right_mac(packet, asked);
    if identifier != asked.identifier || !genuine {
        return None;
    }
    match code {
        ACCESS_ACCEPT => Some(RemoteReply::Accepted),
        ACCESS_REJECT => Some(RemoteReply::Rejected),
        ACCESS_CHALLENGE => {
            let joined = |kind| {
                let parts = values(attributes).filter(|(found, ..)| *found == kind);
                parts.flat_map(|(_, _, value)| value.to_vec()).collect::<Vec<u8>>()
            };
            let message = String::from_utf8_lossy(&joined(REPLY_MESSAGE)).into_owned();
            Some(RemoteReply::Challenged { state: state_text(&joined(STATE)), message })
        }
        _ => None,
    }
}

/// Whether the Message-Authenticator is right, if the reply has one.
fn has_right_mac(packet: &[u8], asked: &Asked<'_>) -> bool {
    let Some(attributes) = packet.get(HEADER..) else { return false };
    let Some((_, at, received)) = values(attributes).find(|(kind, ..)| *kind == MESSAGE_AUTHENTICATOR) else {
        return true;
    };
    let mut signed = packet.to_vec();
    if let Some(place) = signed.get_mut(4..HEADER) {
        place.copy_from_slice(asked.authenticator);
    }
    match signed.get_mut(HEADER + at..HEADER + at + 16) {
        Some(place) if received.len() == 16 => place.fill(0),
        _ => return false,
    }
    message_authenticator(asked.secret, &signed).ct_eq(received).into()
}

/// Kind, place and value of the attributes; ends where they are malformed.
fn values(attributes: &[u8]) -> impl Iterator<Item = (u8, usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let kind = *attributes.get(at)?;
        let length = usize::from(*attributes.get(at + 1)?);
        let value = attributes.get(at + 2..at.checked_add(length)?)?;
        let place = at + 2;
        at += length;
        Some((kind, place, value))
    })
}

/// Marks a state that is written in hex.
const HEX: &str = "0x";

/// A state as a transaction id: as it is if it is printable, else in hex.
fn state_text(state: &[u8]) -> String {
    match std::str::from_utf8(state) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.starts_with(HEX) => {
            text.to_owned()
        }
        _ => state.iter().fold(HEX.to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}

fn state_bytes(text: &str) -> Vec<u8> {
    let from_hex = |digits: &str| -> Option<Vec<u8>> {
        let pair = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        (0..digits.len()).step_by(2).map(pair).collect()
    };
    let bytes = text.strip_prefix(HEX).and_then(from_hex).unwrap_or_else(|| text.as_bytes().to_vec());
    bytes.into_iter().take(VALUE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    const SECRET: &[u8] = b"xyzzy5461";

    fn authenticator(text: &str) -> [u8; 16] {
        hex(text).try_into().unwrap()
    }

    /// RFC 2865 section 7.1: user nemo, password arctangent.
    #[test]
    fn passwords_are_hidden_as_in_the_rfc() {
        let authenticator = authenticator("0f403f9473978057bd83d5cb98f4227a");
        let hidden = hide(b"arctangent", &authenticator, SECRET).unwrap();
        assert_eq!(*hidden, hex("0dbe708d93d413ce3196e43f782a0aee"));
        assert_eq!(hide(b"", &authenticator, SECRET).unwrap().len(), 16);
        assert_eq!(hide(&[b'x'; 17], &authenticator, SECRET).unwrap().len(), 32);
        assert!(hide(&[b'x'; 129], &authenticator, SECRET).is_err());
    }

    /// The Access-Accept of RFC 2865 section 7.1.
    #[test]
    fn replies_are_read_if_they_are_genuine() {
        let request = authenticator("0f403f9473978057bd83d5cb98f4227a");
        let asked = Asked { identifier: 0, authenticator: &request, secret: SECRET };
        let packet =
            hex("02000026 86fe220e7624ba2a1005f6bf9b55e0b2 0606 00000001 0f06 00000000 0e06 c0a80103");
        assert_eq!(decode(&packet, &asked), Some(RemoteReply::Accepted));
        for wrong in [
            Asked { identifier: 1, ..asked },
            Asked { secret: b"other", ..asked },
            Asked { authenticator: &[0; 16], ..asked },
        ] {
            assert_eq!(decode(&packet, &wrong), None);
        }
        for length in 0..packet.len() {
            assert_eq!(decode(&packet[..length], &asked), None, "{length}");
        }
        for at in 0..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 1;
            assert_eq!(decode(&changed, &asked), None, "{at}");
        }
    }

    /// The Access-Challenge of RFC 2865 section 7.3.
    #[test]
    fn challenges_tell_state_and_message() {
        let request = authenticator("f3a47a1f6a6d76710b947ab93041a039");
        let asked = Asked { identifier: 2, authenticator: &request, secret: SECRET };
        let packet =
            hex("0b02004e 36f3c8764ae8c71157403c0c71ff9c45 1230 4368616c6c656e67652033323736393433302e2020 \
                          456e74657220726573706f6e73652061742070726f6d70742e 180a 3332373639343330");
        let Some(RemoteReply::Challenged { state, message }) = decode(&packet, &asked) else {
            panic!("not a challenge")
        };
        assert_eq!(
            (state.as_str(), message.as_str()),
            ("32769430", "Challenge 32769430.  Enter response at prompt.")
        );
    }

    #[test]
    fn states_survive_as_text() {
        for (bytes, text) in [
            (&b"abc"[..], "abc"),
            (&[0, 255], "0x00ff"),
            (b"two words", "0x74776f20776f726473"),
            (b"0xab", "0x30786162"),
            (b"", ""),
        ] {
            assert_eq!(state_text(bytes), text);
            assert_eq!(state_bytes(text), bytes);
        }
        for other in ["0x", "0xa", "0xzz", "12345"] {
            assert!(state_bytes(other).len() <= other.len());
        }
    }
}
