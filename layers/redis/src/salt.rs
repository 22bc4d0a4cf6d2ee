//! The key of fingerprints, which all replicas share.
//!
//! ```text
//! prefix ":salt"            32 hexadecimal digits; set by the first replica, and gone a day after the last
//! ```
//!
//! A server that was emptied gets it back from the replicas that know it.

use std::{
    hash::{BuildHasher, RandomState},
    sync::OnceLock,
};

use bartizan_core::session::Fingerprint;
use fred::{
    clients::{Client, WithOptions},
    interfaces::KeysInterface,
    types::{Expiration, SetOptions},
};

/// For how long the server keeps the key after the last replica asked it to, in seconds.
const KEPT_SECS: i64 = 24 * 60 * 60;

/// The key, once the server has told it.
#[derive(Debug, Default)]
pub(crate) struct Salt(OnceLock<String>);

impl Salt {
    /// Agrees on the key with the other replicas. If the server takes no writes and has none, the key of this process
    /// stays in use.
    pub(crate) async fn agree(&self, client: &WithOptions<Client>, prefix: &str) {
        let name = format!("{prefix}:salt");
        let own = self.0.get().cloned().unwrap_or_else(random);
        let expiry = Some(Expiration::EX(KEPT_SECS));
        let set = client.set(&*name, &*own, expiry, Some(SetOptions::NX), true).await;
        let there = match set {
            Ok(there) => there,
            Err(_) => match client.get::<Option<String>, _>(&*name).await {
                Ok(Some(there)) => Some(there),
                _ => return,
            },
        };
        let salt: String = there.unwrap_or(own);
        if let Some(key) = read(&salt) {
            Fingerprint::share_key(key);
            // What was agreed on first stays.
            let _ = self.0.set(salt);
        }
    }

    /// Asks the server to keep the key for another day. If it fails, the next time will do.
    pub(crate) async fn keep(&self, client: &WithOptions<Client>, prefix: &str) {
        if self.0.get().is_some() {
            let _: Result<(), _> = client.expire(format!("{prefix}:salt"), KEPT_SECS, None).await;
        }
    }
}

fn random() -> String {
    // Its keys come from the system's source of randomness.
    let random = RandomState::new();
    format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1))
}

fn read(salt: &str) -> Option<[u8; 16]> {
    let mut key = [0; 16];
    let read = base16ct::lower::decode(salt, &mut key).ok()?.len();
    (read == key.len()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_is_32_digits() {
        assert_eq!(read("000000000000000000000000000000ff").map(|key| key[15]), Some(255));
        assert!(read(&random()).is_some() && random() != random());
        for bad in ["", "ff", "T", &"g".repeat(32), &"f".repeat(33)] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
