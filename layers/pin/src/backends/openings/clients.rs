//! Which clients a backend has rejected in a row, as far as it matters.

use std::net::IpAddr;

/// How many clients are distinguished.
const CLIENTS: usize = 8;

/// A client, as far as it is told apart from others. All without an address are one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Client(u64);

/// The clients that were rejected since the last success.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rejected {
    clients: [Client; CLIENTS],
    count: usize,
    since_ms: u64,
}

impl Client {
    /// The client at this address. With IPv6 a host has a whole network of 64 bits: those are one client.
    pub(crate) fn at(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self(u64::from(u32::from(ip))),
            // The upper half, which is never that small in use.
            IpAddr::V6(ip) => Self(u64::try_from(u128::from(ip) >> 64).unwrap_or_default()),
        }
    }
}

impl Rejected {
    pub(super) fn add(&mut self, client: Client, now_ms: u64) {
        if self.count == 0 {
            self.since_ms = now_ms;
        }
        let (known, free) = self.clients.split_at_mut(self.count.min(CLIENTS));
        if let Some(place) = free.first_mut()
            && !known.contains(&client)
        {
            *place = client;
            self.count += 1;
        }
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    /// How many clients were rejected, and since when.
    pub(super) fn row(&self) -> (usize, u64) {
        (self.count, self.since_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_counts_once_and_there_is_room_for_eight() {
        let mut rejected = Rejected::default();
        for now_ms in 1..1_000 {
            rejected.add(Client::at([192, 0, 2, 1].into()), now_ms);
        }
        assert_eq!(rejected.row(), (1, 1));
        for last in 2..100 {
            rejected.add(Client::at([192, 0, 2, last].into()), 1_000);
        }
        assert_eq!(rejected.row(), (8, 1));
        rejected.clear();
        rejected.add(Client::default(), 2_000);
        assert_eq!(rejected.row(), (1, 2_000));
    }

    #[test]
    fn a_network_of_64_bits_is_one_client() {
        let client = |text: &str| Client::at(text.parse().unwrap());
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }
}
