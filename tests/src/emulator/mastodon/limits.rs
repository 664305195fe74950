//! Rate limits: windows that begin at fixed times, by client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::emulator::world::iso_date;

/// A number of requests in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Requests answered in one window.
    pub requests: u64,
    /// Its length, whole seconds; windows begin at multiples of it since 1970.
    pub length: Duration,
}

/// The rate limits of each host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For all requests.
    pub plain: Window,
    /// For those with `max_id`, `min_id`, `since_id` or `page`, which count as plain ones too.
    pub paging: Window,
}

impl Default for Limits {
    /// Mastodon's: 300 in 5 minutes, and 300 pages in 15 minutes.
    fn default() -> Self {
        let window = |minutes: u64| Window { requests: 300, length: Duration::from_secs(60 * minutes) };
        Self { plain: window(5), paging: window(15) }
    }
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// An IPv4 address, or the first 64 bits of an IPv6 address.
    Address(IpAddr),
    Token(String),
}

impl Client {
    pub fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::from([a, b, c, d, 0, 0, 0, 0])
            }
            v4 => v4,
        })
    }
}

/// What the headers of an answer say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allowance {
    pub limit: u64,
    pub remaining: u64,
    pub reset: String,
    /// Whether the request was one too many.
    pub exceeded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Plain,
    Paging,
}

/// The counts of one host.
#[derive(Debug, Default)]
pub(super) struct Counts {
    used: HashMap<(Client, Kind), (u64, u64)>,
}

impl Counts {
    /// Counts a request and returns the tightest of the limits that it counts against.
    pub fn charge(&mut self, client: &Client, paging: bool, limits: &Limits, wall: Duration) -> Allowance {
        let mut kinds = vec![(Kind::Plain, limits.plain)];
        kinds.extend(paging.then_some((Kind::Paging, limits.paging)));
        let mut tightest: Option<(u64, Window)> = None;
        let mut exceeded = false;
        for (kind, window) in kinds {
            let number = wall.as_secs() / window.length.as_secs().max(1);
            let used = self.used.entry((client.clone(), kind)).or_default();
            if used.0 != number {
                *used = (number, 0);
            }
            used.1 += 1;
            exceeded |= used.1 > window.requests;
            let left = window.requests.saturating_sub(used.1);
            if tightest.is_none_or(|(least, _)| left < least) {
                tightest = Some((left, window));
            }
        }
        let (remaining, window) = tightest.unwrap_or((0, limits.plain));
        Allowance { limit: window.requests, remaining, reset: reset(wall, window), exceeded }
    }
}

/// The end of the window, to which the fraction of the present second is added.
fn reset(wall: Duration, window: Window) -> String {
    let length = window.length.as_secs().max(1);
    let left = length - wall.as_secs() % length;
    let micros = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
    iso_date(micros.saturating_add(left * 1_000_000), 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(seconds: u64, micros: u64) -> Duration {
        Duration::from_secs(1_791_997_200 + seconds) + Duration::from_micros(micros)
    }

    #[test]
    fn the_tightest_limit_is_shown_so_that_limit_and_reset_jump() {
        let limits = Limits::default();
        let (mut counts, client) = (Counts::default(), Client::at("192.0.2.1".parse().unwrap()));
        let first = counts.charge(&client, true, &limits, wall(1, 7));
        assert_eq!((first.remaining, first.reset.as_str()), (299, "2026-10-14T17:05:00.000007Z"));
        for _ in 0..9 {
            counts.charge(&client, true, &limits, wall(2, 0));
        }
        // The plain window is over, that of pages is not.
        let later = counts.charge(&client, true, &limits, wall(301, 526_148));
        assert_eq!((later.remaining, later.reset.as_str()), (289, "2026-10-14T17:15:00.526148Z"));
        let plain = counts.charge(&client, false, &limits, wall(302, 0));
        assert_eq!((plain.remaining, plain.exceeded), (298, false));
    }

    #[test]
    fn a_request_too_many_is_told_and_an_ipv6_network_is_one_client() {
        let window = Window { requests: 1, length: Duration::from_secs(60) };
        let limits = Limits { plain: window, paging: window };
        let mut counts = Counts::default();
        let client = |text: &str| Client::at(text.parse().unwrap());
        assert!(!counts.charge(&client("2001:db8::1"), false, &limits, wall(0, 0)).exceeded);
        assert!(counts.charge(&client("2001:db8::ffff:1"), false, &limits, wall(1, 0)).exceeded);
        assert!(!counts.charge(&client("2001:db8:0:1::1"), false, &limits, wall(1, 0)).exceeded);
        assert!(!counts.charge(&client("::ffff:192.0.2.1"), false, &limits, wall(1, 0)).exceeded);
        assert!(counts.charge(&client("192.0.2.1"), false, &limits, wall(1, 0)).exceeded);
    }
}
