//! Entries that inner layers add to the record of a session that a response opens.

use std::{any::Any, sync::Arc};

use http::Extensions;

use crate::Record;

/// Entries for the map of a record, left in the extensions of the response that opens a session.
/// The layer that stores the session stores them with it, in one step.
#[derive(Clone, Default)]
pub struct Additions {
    entries: Vec<(&'static str, Box<[u8]>)>,
    companions: Vec<Arc<dyn Any + Send + Sync>>,
}

impl Additions {
    /// Adds `value` under `name`, next to the entries of other layers.
    pub fn leave(extensions: &mut Extensions, name: &'static str, value: &[u8]) {
        extensions.get_or_insert_default::<Self>().entries.push((name, value.into()));
    }

    /// Adds a value that is dropped with the last copy of the record in this process.
    pub fn leave_companion(extensions: &mut Extensions, companion: Arc<dyn Any + Send + Sync>) {
        extensions.get_or_insert_default::<Self>().companions.push(companion);
    }

    /// Takes the entries out of the extensions.
    #[must_use]
    pub fn take(extensions: &mut Extensions) -> Self {
        extensions.remove().unwrap_or_default()
    }

    /// Puts the entries into `record`.
    #[must_use]
    pub fn apply(&self, record: Record) -> Record {
        let entries = self.entries.iter();
        let record = entries.fold(record, |record, (name, value)| record.with_field(name, value));
        let companions = self.companions.iter().cloned();
        companions.fold(record, Record::with_companion)
    }
}

// Written by hand, because what a layer keeps may be secret.
impl std::fmt::Debug for Additions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.entries.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_layers_leave_reaches_the_record_and_no_log() {
        let mut extensions = Extensions::new();
        Additions::leave(&mut extensions, "a", b"secret");
        Additions::leave(&mut extensions, "b", b"2");
        let companion = Arc::new(());
        Additions::leave_companion(&mut extensions, companion.clone());
        let additions = Additions::take(&mut extensions);
        assert!(extensions.is_empty() && !format!("{additions:?}").contains("secret"));
        let record = additions.apply(Record::new(Record::IDLE, Record::LIFETIME));
        assert_eq!((record.field("a"), record.field("b")), (Some(&b"secret"[..]), Some(&b"2"[..])));
        drop(additions);
        assert_eq!(Arc::strong_count(&companion), 2, "the record has it");
        drop(record);
        assert_eq!(Arc::strong_count(&companion), 1);
    }
}
