//! Where messages may be sent: public HTTPS addresses only. What a name resolves to cannot be seen
//! from here. The platform's `fetch` has no network of the operator's to reach; but to a name of the
//! Worker's own zone it goes straight to the origin, past all that protects it, unless the
//! compatibility flag `global_fetch_strictly_public` is set.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A URL's parts, as the platform's parser gives them: numbers in disguise are plain addresses by
/// then.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// Such as `https:`.
    pub scheme: &'a str,
    /// Name or address, IPv6 in brackets.
    pub host: &'a str,
    /// A user name or password stands in it.
    pub has_credentials: bool,
}

/// Why nothing is sent there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsafe {
    /// Not HTTPS.
    Scheme,
    /// User name or password in the URL: they would end up in logs.
    Credentials,
    /// A private, local or reserved address or name.
    Private,
}

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "`url` must begin with https://",
            Self::Credentials => {
                "`url` carries no user name or password: take them out, and check the signature instead"
            }
            Self::Private => {
                "`url` must be reachable from the public Internet: give it a public name, no private, local or reserved address"
            }
        })
    }
}

/// Names that are never public, and those below them.
const PRIVATE_NAMES: [&str; 7] =
    ["localhost", "local", "internal", "intranet", "lan", "home.arpa", "localdomain"];

/// Whether messages may go there. `dev`: on the developer's machine everything may.
pub fn check(address: Address<'_>, dev: bool) -> Result<(), Unsafe> {
    if address.has_credentials {
        return Err(Unsafe::Credentials);
    }
    if dev && matches!(address.scheme, "http:" | "https:") {
        return Ok(());
    }
    if address.scheme != "https:" {
        return Err(Unsafe::Scheme);
    }
    let host = address.host.trim_end_matches('.').to_ascii_lowercase();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    let is_private = match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => is_private_v4(v4),
        Ok(IpAddr::V6(v6)) => is_private_v6(v6),
        Err(_) => !host.contains('.') || PRIVATE_NAMES.iter().any(|name| is_below(&host, name)),
    };
    if is_private { Err(Unsafe::Private) } else { Ok(()) }
}

fn is_below(host: &str, name: &str) -> bool {
    host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

/// Everything of the IANA's registry of special-purpose addresses that is not globally reachable,
/// and multicast.
fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || matches!(
            (a, b, c),
            (0 | 240..=255, ..)
                | (100, 64..=127, _)
                | (198, 18 | 19, _)
                | (192, 0, 0)
                | (192, 88, 99)
        )
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [a, b, .., y, z] = segments;
    let [high, low] = [y, z].map(u16::to_be_bytes);
    let last = Ipv4Addr::new(high[0], high[1], low[0], low[1]);
    let is_global = a & 0xe000 == 0x2000;
    // Addresses that carry a version 4 one: translated (64:ff9b::/96; 64:ff9b:1::/48 is for local
    // use, whatever it carries), mapped and tunnelled (2002::/16).
    if matches!(segments, [0x64, 0xff9b, 0, 0, 0, 0, _, _]) {
        return is_private_v4(last);
    }
    if a == 0x2002 {
        return true;
    }
    let is_special = a == 0x2001 && b < 0x200;
    let is_documentation = (a == 0x2001 && b == 0xdb8) || (a == 0x3fff && b < 0x1000);
    !is_global || is_special || is_documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scheme: &str, host: &str) -> Result<(), Unsafe> {
        check(Address { scheme, host, has_credentials: false }, false)
    }

    #[test]
    fn public_https_is_the_only_way_out() {
        for host in [
            "hooks.example.com",
            "8.8.8.8",
            "[2606:4700::1111]",
            "[64:ff9b::808:808]",
            "[3fff:1000::1]",
            "xn--bcher-kva.example",
        ] {
            assert_eq!(of("https:", host), Ok(()), "{host}");
        }
        assert_eq!(of("http:", "hooks.example.com"), Err(Unsafe::Scheme));
        assert_eq!(of("ftp:", "hooks.example.com"), Err(Unsafe::Scheme));
        let told = Address { scheme: "https:", host: "a.example.com", has_credentials: true };
        assert_eq!(check(told, false), Err(Unsafe::Credentials));
    }

    #[test]
    fn no_private_local_or_reserved_address_or_name_is_sent_to() {
        for host in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fd00::1]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:8.8.8.8]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[64:ff9b:1::808:808]",
            "[64:ff9b:1:ffff:ffff:ffff:808:808]",
            "[64:ff9b:2::808:808]",
            "[2001:db8::1]",
            "[3fff::1]",
            "[3fff:fff:ffff::1]",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "metadata.google.internal",
            "printer.local",
            "intranet",
            "router.home.arpa",
            "redis",
        ] {
            assert_eq!(of("https:", host), Err(Unsafe::Private), "{host}");
        }
        assert_eq!(of("https:", "notlocal.example"), Ok(()));
    }

    #[test]
    fn a_developers_machine_may_be_sent_to() {
        let own = Address { scheme: "http:", host: "127.0.0.1", has_credentials: false };
        assert_eq!(check(own, true), Ok(()));
        assert_eq!(check(Address { scheme: "file:", ..own }, true), Err(Unsafe::Scheme));
    }
}
