//! The fields of a kept request, as a list: copying a map would also copy its index, which is needed only if a session
//! is lost.

use std::{cell::RefCell, mem};

use http::{HeaderMap, HeaderName, HeaderValue};

type List = Vec<(HeaderName, HeaderValue)>;

/// How many empty lists a thread keeps for its next requests.
const SPARES: usize = 64;

/// How many fields a list that is kept may have room for.
const SPARE_FIELDS: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<List>> = const { RefCell::new(Vec::new()) };
}

/// The fields of a kept request, in their order.
pub(super) struct Fields(List);

impl Fields {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let spare = SPARE.try_with(|spares| spares.try_borrow_mut().ok()?.pop());
        let mut list = spare.ok().flatten().unwrap_or_default();
        list.extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        Self(list)
    }

    pub(super) fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.0.iter().find_map(|(other, value)| (other == name).then_some(value))
    }

    pub(super) fn to_map(&self) -> HeaderMap {
        self.0.iter().cloned().collect()
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        let mut list = mem::take(&mut self.0);
        // The values are dropped here, because some of them are secrets.
        list.clear();
        if list.capacity() > SPARE_FIELDS {
            return;
        }
        // Unavailable while the thread is ending, or while the lists are already borrowed.
        let _ = SPARE.try_with(|spares| {
            if let Ok(mut spares) = spares.try_borrow_mut()
                && spares.len() < SPARES
            {
                spares.push(list);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lines_are_kept_in_their_order_and_nothing_survives_into_the_next() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let fields = Fields::of(&headers);
        assert_eq!(fields.to_map(), headers);
        assert_eq!(fields.get(&HeaderName::from_static("a")).unwrap(), "1");
        drop(fields);
        assert!(Fields::of(&HeaderMap::new()).to_map().is_empty());
    }
}
