//! Hosts and URLs, read strictly: one spelling only, nothing repaired.
//!
//! Shared by `url:` resources and by the caveats on hosts, so that both mean the same host.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Schemes whose host is where the bytes go; `javascript://host/` has a host too.
const NETWORK_SCHEMES: [&str; 4] = ["https", "http", "wss", "ws"];

/// `host`, `host:port`, `[v6]` or `[v6]:port`, taken apart; the host in any case, brackets kept.
pub(crate) fn authority(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if text.contains('@') {
        return Err("a user name stands before the host");
    }
    let (name, port) = if text.starts_with('[') {
        let end = text.find(']').ok_or("the bracket of an IPv6 address is not closed")?;
        let (name, rest) = text.split_at_checked(end + 1).ok_or("the host is malformed")?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => return Err("the host is malformed"),
        };
        (name, port)
    } else {
        match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        }
    };
    host(name)?;
    if let Some(port) = port {
        let number = port.parse::<u16>().ok().filter(|n| *n > 0);
        let plain = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
        if number.is_none() || !plain {
            return Err("the port is not a number from 1 to 65535");
        }
    }
    Ok((name, port))
}

/// Checks a host: a name in ASCII (`xn--` for others), an IPv4 address in four decimal parts, or
/// an IPv6 address in brackets in its shortest form.
pub(crate) fn host(text: &str) -> Result<(), &'static str> {
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or("the host is malformed")?;
        let address: Ipv6Addr = inner.parse().map_err(|_| "the IPv6 address is malformed")?;
        if !address.to_string().eq_ignore_ascii_case(inner) {
            return Err("the IPv6 address is not in its shortest form");
        }
        return Ok(());
    }
    if text.is_empty() {
        return Err("the host is empty");
    }
    if text.len() > 253 {
        return Err("the host is longer than 253 bytes");
    }
    for label in text.split('.') {
        let fits = (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-');
        if !fits {
            return Err("the host is not a name of letters, digits, `-`, `_` and dots");
        }
    }
    let last = text.rsplit('.').next().unwrap_or_default();
    let hex = last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    // `127.1`, `2130706433` and `0x7f.1` are other spellings of an address.
    if (hex || last.bytes().all(|b| b.is_ascii_digit())) && text.parse::<Ipv4Addr>().is_err() {
        return Err("a host that ends in a number is an IPv4 address in four decimal parts");
    }
    Ok(())
}

/// Whether a scheme is written as RFC 3986 wants it, in lower case.
pub(crate) fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.')
        })
}

/// Whether the port is the one that its scheme means anyway.
pub(crate) fn is_default_port(scheme: &str, port: &str) -> bool {
    matches!((scheme, port), ("https" | "wss", "443") | ("http" | "ws", "80"))
}

/// The host of an `http`, `https`, `ws` or `wss` URL in any case of letters; `None` if programs
/// could disagree about it.
pub(crate) fn host_of(text: &str) -> Option<&str> {
    if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return None;
    }
    let (scheme, rest) = text.split_once("://")?;
    if !NETWORK_SCHEMES.contains(&scheme) {
        return None;
    }
    // A `?` or `#` right after the host ends it for some programs and not for others, so that
    // `https://a.com?@b.com` is b.com to those: a path must come first.
    let (text, _) = rest.split_once('/').unwrap_or((rest, ""));
    authority(text).ok().map(|(host, _)| host)
}
