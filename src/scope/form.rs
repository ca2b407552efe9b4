//! The forms of text that caveats know: wild parts, e-mail addresses, paths, networks. Each is
//! judged strictly and without allocation; what two programs could read differently is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::request::{MAX_RESOURCE_BYTES, is_hidden};

/// Whether a character may be part of what the `*` of `matches` stands for.
pub(super) fn is_wild_character(c: char) -> bool {
    !(is_hidden(c) || c.is_whitespace() || r#"/\,;:|@?#&=<>"'`"#.contains(c))
}

/// Whether the `*` of `matches` may stand for this text.
pub(super) fn is_wild(text: &str) -> bool {
    text.chars().all(is_wild_character) && !text.contains("..")
}

/// Whether text is exactly one address at a domain in lower case.
pub(super) fn address_at(text: &str, domain: &str) -> bool {
    let Some((local, host)) = text.split_once('@') else { return false };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._+-'".contains(&b);
    text.len() <= 254
        && (1..=64).contains(&local.len())
        && local.bytes().all(plain)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && host.eq_ignore_ascii_case(domain)
}

/// A canonical directory.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Directory {
    text: Box<str>,
}

impl Directory {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_RESOURCE_BYTES {
            return Err("the directory is longer than 4096 bytes");
        }
        if text != "/" && !is_path(text) {
            return Err(
                "the directory is not canonical: no empty part, `.`, `..`, `%`, `\\`, invisible \
                 character or `/` at its end",
            );
        }
        Ok(Self { text: text.into() })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// What follows the directory and its `/`.
    fn rest<'a>(&self, text: &'a str) -> Option<&'a str> {
        match &*self.text {
            "/" => text.strip_prefix('/'),
            own => text.strip_prefix(own)?.strip_prefix('/'),
        }
    }

    pub(super) fn holds(&self, text: &str) -> bool {
        self.rest(text).is_some() && is_path(text)
    }

    pub(super) fn within(&self, parent: &Self) -> bool {
        self == parent || parent.holds(&self.text)
    }

    /// Whether all that is below starts with this text.
    pub(super) fn starts_with(&self, start: &str) -> bool {
        match self.text.strip_prefix(start) {
            Some(_) => true,
            None => start.strip_suffix('/') == Some(&*self.text) && *self.text != *"/",
        }
    }

    /// Below how many characters no path below it can be.
    pub(super) fn min_length(&self) -> usize {
        let own = self.text.chars().count();
        if *self.text == *"/" { own + 1 } else { own + 2 }
    }
}

/// A path, absolute or relative, in its one canonical form. `/` itself is none.
fn is_path(text: &str) -> bool {
    let parts = text.strip_prefix('/').unwrap_or(text);
    parts.split('/').all(|part| {
        !matches!(part, "" | "." | "..")
            && !part.chars().any(|c| is_hidden(c) || c == '%' || c == '\\')
    })
}

/// A network: an address and how many of its first bits count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "expected an address and a number of bits, such as `10.0.0.0/8`";
        let (address, bits) = text.split_once('/').ok_or(FORM)?;
        let address: IpAddr = address.parse().map_err(|_| FORM)?;
        let network = Self { address, bits: bits.parse().map_err(|_| FORM)? };
        if network.bits > width(&address) {
            return Err("it counts more bits than the address has");
        }
        if shifted(&address, network.bits).1 {
            return Err("the address has bits outside the network: clear them");
        }
        if network.to_string() != text {
            return Err("it is not in its shortest form");
        }
        Ok(network)
    }

    fn covers(&self, address: &IpAddr) -> bool {
        width(address) == width(&self.address)
            && shifted(address, self.bits).0 == shifted(&self.address, self.bits).0
    }

    pub(super) fn holds(&self, text: &str) -> bool {
        text.parse().is_ok_and(|address| self.covers(&address))
    }

    pub(super) fn within(&self, parent: &Self) -> bool {
        self.bits >= parent.bits && parent.covers(&self.address)
    }
}

fn width(address: &IpAddr) -> u32 {
    if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS }
}

/// The first bits of an address, and whether any bit after them is set.
fn shifted(address: &IpAddr, bits: u32) -> (u128, bool) {
    let number = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    let drop = width(address).saturating_sub(bits);
    let first = number.checked_shr(drop).unwrap_or(0);
    (first, first.checked_shl(drop).unwrap_or(0) != number)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}
