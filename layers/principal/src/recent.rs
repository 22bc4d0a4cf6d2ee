//! A cache of recently read caller names, keyed by the values that they were read from.
//!
//! One connection of a load balancer carries the requests of many callers, so the names are kept per thread, not per
//! connection: [`SLOTS`] of them, each in the slot that its value hashes to. A later value with the same slot replaces
//! it. Values are copied, because a `HeaderValue` is a slice of the connection's read buffer and would keep all of it
//! alive. They are zeroed when they are replaced, and never printed.
//!
//! The slot is a hash of part of the value, with a key of this thread: the ends of tokens differ. A value is found only
//! if all bytes are equal. The comparison may stop at the first difference, so its time could tell a client how long a
//! common prefix its value has with one in the cache. But which value it is compared with depends on a secret key, and
//! the last bytes must already be equal.

use std::{
    cell::RefCell,
    hash::{BuildHasher, Hasher},
    sync::atomic::{AtomicU32, Ordering},
};

use bartizan_core::Principal;
use foldhash::fast::RandomState;
use zeroize::Zeroizing;

/// How many values are kept per thread.
pub(crate) const SLOTS: usize = 256;

/// The longest value that is kept, in bytes; a longer one is read each time. With [`SLOTS`], this limits the cache to 1
/// MiB per thread.
pub(crate) const MAX_VALUE_BYTES: usize = 4 * 1024;

thread_local! {
    static RECENT: RefCell<Recent> = RefCell::default();
}

/// Separates the values that one layer has read from those of another, which may read them
/// differently.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ReaderId(u32);

impl ReaderId {
    /// An id that is unique to each layer. Ids repeat after 4 billion layers.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The caller that `value` names, from the cache or by calling `read`.
#[inline]
pub(crate) fn principal(
    reader: ReaderId,
    value: &[u8],
    read: impl FnOnce(&[u8]) -> Principal,
) -> Principal {
    // The cache is unavailable: the thread is ending, or (which never happens) `read` called this
    // function.
    let found = RECENT.try_with(|recent| recent.try_borrow().ok()?.find(reader, value));
    match found {
        Ok(Some(principal)) => principal,
        _ => miss(reader, value, read(value)),
    }
}

#[cold]
fn miss(reader: ReaderId, value: &[u8], principal: Principal) -> Principal {
    let _ = RECENT.try_with(|recent| {
        recent.try_borrow_mut().ok()?.keep(reader, value, principal.clone());
        Some(())
    });
    principal
}

#[derive(Default)]
struct Recent {
    hash: RandomState,
    // Empty until there is a first value.
    slots: Box<[Option<Entry>]>,
}

struct Entry {
    reader: ReaderId,
    value: Zeroizing<Box<[u8]>>,
    principal: Principal,
}

impl Recent {
    #[inline(always)]
    fn find(&self, reader: ReaderId, value: &[u8]) -> Option<Principal> {
        let entry = self.slots.get(self.place(value))?.as_ref()?;
        (entry.reader == reader && **entry.value == *value).then(|| entry.principal.clone())
    }

    fn keep(&mut self, reader: ReaderId, value: &[u8], principal: Principal) {
        if value.len() > MAX_VALUE_BYTES {
            return;
        }
        if self.slots.is_empty() {
            self.slots = (0..SLOTS).map(|_| None).collect();
        }
        let place = self.place(value);
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Some(Entry { reader, value: Zeroizing::new(value.into()), principal });
        }
    }

    /// The slot of `value`.
    #[inline]
    fn place(&self, value: &[u8]) -> usize {
        let mut hasher = self.hash.build_hasher();
        // The end of a token is its signature, or as random as the rest. Tokens without a signature differ from others
        // of the same issuer in the middle.
        let middle = value.get(value.len() / 2..).and_then(<[u8]>::first_chunk);
        match (value.last_chunk(), middle) {
            (Some(end), Some(middle)) => {
                hasher.write_u64(u64::from_le_bytes(*end));
                hasher.write_u64(u64::from_le_bytes(*middle));
            }
            _ => hasher.write(value),
        }
        hasher.finish() as usize % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: ReaderId, value: &str) -> bool {
        let mut was_read = false;
        let named = principal(reader, value.as_bytes(), |value| {
            was_read = true;
            Principal::new("i", str::from_utf8(value).unwrap())
        });
        assert_eq!(named, Principal::new("i", value));
        was_read
    }

    #[test]
    fn a_value_is_read_once_by_each_layer() {
        let (one, two) = (ReaderId::new(), ReaderId::new());
        assert!(read(one, "a") && !read(one, "a"));
        assert!(read(two, "a") && !read(two, "a"), "a layer knows what it has read itself");
    }

    /// The same end, middle and length give the same slot.
    #[test]
    fn values_that_fall_on_one_place_are_told_apart() {
        let reader = ReaderId::new();
        let values = ["a", "b"].map(|first| format!("{first}{}", "x".repeat(40)));
        for _ in 0..3 {
            assert!(values.iter().all(|value| read(reader, value)));
        }
        assert!(!read(reader, &values[1]));
    }

    #[test]
    fn the_cache_is_bounded_in_number_and_size() {
        let reader = ReaderId::new();
        let long = "x".repeat(MAX_VALUE_BYTES + 1);
        assert!(read(reader, &long) && read(reader, &long));
        assert!(read(reader, &long[1..]) && !read(reader, &long[1..]));
        let values: Vec<_> = (0..SLOTS * 20).map(|number| format!("value {number:20}")).collect();
        values.iter().for_each(|value| assert!(read(reader, value)));
        let kept = values.iter().rev().filter(|value| !read(reader, value)).count();
        assert!((SLOTS / 2..=SLOTS).contains(&kept), "{kept}");
    }
}
