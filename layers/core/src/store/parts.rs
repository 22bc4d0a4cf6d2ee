//! The parts of a store that are the same in many.

/// Writes parts of an `impl` of [`SessionStore`](crate::SessionStore).
///
/// | form | what it writes |
/// |---|---|
/// | `futures Never` | the five types of futures, each `Never<Result<…>>`; so for any type with one parameter that is in scope |
/// | `futures of OtherStore` | the same types as those of `OtherStore` |
/// | `field: get touch` | the operations that are named, by the store in that field; it must have the same futures |
///
/// The operations are those of the trait: `get`, `insert_if_absent`, `insert_unconfirmed`, `take_evicted`, `replace`,
/// `remove`, `remove_if_unchanged`, `touch`, `has_room`, `reserve`, `counts_clients`, `answers`. Name all that the
/// store does not do itself: one with a default that is left out runs on the default, and the store in the field does
/// not see it.
///
/// ```
/// use bartizan_core::{
///     Answer, Key, Record, Session, SessionStore, StoreError, store::Inserted, store_parts,
/// };
///
/// /// A store that opens no session while it is locked.
/// #[derive(Clone)]
/// struct Lockable<T> {
///     store: T,
///     is_locked: bool,
/// }
///
/// impl<T: SessionStore> Lockable<T> {
///     fn insert<F>(
///         &self,
///         insert: impl FnOnce() -> Answer<Result<Inserted, StoreError>, F>,
///     ) -> Answer<Result<Inserted, StoreError>, F> {
///         if self.is_locked { Answer::Now(Ok(Inserted::Full)) } else { insert() }
///     }
/// }
///
/// impl<T: SessionStore> SessionStore for Lockable<T> {
///     store_parts!(futures of T);
///     store_parts!(store: get take_evicted replace remove remove_if_unchanged touch);
///     store_parts!(store: has_room reserve counts_clients answers);
///
///     fn insert_if_absent(
///         &self,
///         key: Key<'_>,
///         record: Record,
///     ) -> Answer<Result<Inserted, StoreError>, T::Insert> {
///         self.insert(|| self.store.insert_if_absent(key, record))
///     }
///
///     fn insert_unconfirmed(
///         &self,
///         key: Key<'_>,
///         record: Record,
///     ) -> Answer<Result<Inserted, StoreError>, T::Insert> {
///         self.insert(|| self.store.insert_unconfirmed(key, record))
///     }
/// }
/// ```
#[macro_export]
macro_rules! store_parts {
    (futures of $store:ty) => {
        type Get = <$store as $crate::SessionStore>::Get;
        type Insert = <$store as $crate::SessionStore>::Insert;
        type Replace = <$store as $crate::SessionStore>::Replace;
        type Remove = <$store as $crate::SessionStore>::Remove;
        type RemoveIfUnchanged = <$store as $crate::SessionStore>::RemoveIfUnchanged;
    };
    (futures $future:ident) => {
        type Get = $future<
            ::core::result::Result<::core::option::Option<$crate::Session>, $crate::StoreError>,
        >;
        type Insert = $future<::core::result::Result<$crate::store::Inserted, $crate::StoreError>>;
        type Replace = $future<::core::result::Result<$crate::store::Replaced, $crate::StoreError>>;
        type Remove = $future<::core::result::Result<(), $crate::StoreError>>;
        type RemoveIfUnchanged = $future<::core::result::Result<bool, $crate::StoreError>>;
    };
    ($field:tt: $($operation:ident)+) => {
        $($crate::store_parts!(@ $operation $field);)+
    };
    (@ get $field:tt) => {
        fn get(
            &self,
            key: $crate::Key<'_>,
        ) -> $crate::Answer<
            ::core::result::Result<::core::option::Option<$crate::Session>, $crate::StoreError>,
            Self::Get,
        > {
            $crate::SessionStore::get(&self.$field, key)
        }
    };
    (@ insert_if_absent $field:tt) => {
        $crate::store_parts!(@@ insert insert_if_absent $field);
    };
    (@ insert_unconfirmed $field:tt) => {
        $crate::store_parts!(@@ insert insert_unconfirmed $field);
    };
    (@@ insert $operation:ident $field:tt) => {
        fn $operation(
            &self,
            key: $crate::Key<'_>,
            record: $crate::Record,
        ) -> $crate::Answer<
            ::core::result::Result<$crate::store::Inserted, $crate::StoreError>,
            Self::Insert,
        > {
            $crate::SessionStore::$operation(&self.$field, key, record)
        }
    };
    (@ take_evicted $field:tt) => {
        fn take_evicted(
            &self,
            route: &$crate::Route,
        ) -> ::core::option::Option<$crate::Session> {
            $crate::SessionStore::take_evicted(&self.$field, route)
        }
    };
    (@ replace $field:tt) => {
        fn replace(
            &self,
            key: $crate::Key<'_>,
            seen: $crate::store::RecordVersion,
            record: $crate::Record,
        ) -> $crate::Answer<
            ::core::result::Result<$crate::store::Replaced, $crate::StoreError>,
            Self::Replace,
        > {
            $crate::SessionStore::replace(&self.$field, key, seen, record)
        }
    };
    (@ remove $field:tt) => {
        fn remove(
            &self,
            key: $crate::Key<'_>,
        ) -> $crate::Answer<::core::result::Result<(), $crate::StoreError>, Self::Remove> {
            $crate::SessionStore::remove(&self.$field, key)
        }
    };
    (@ remove_if_unchanged $field:tt) => {
        fn remove_if_unchanged(
            &self,
            key: $crate::Key<'_>,
            seen: $crate::store::RecordVersion,
        ) -> $crate::Answer<
            ::core::result::Result<bool, $crate::StoreError>,
            Self::RemoveIfUnchanged,
        > {
            $crate::SessionStore::remove_if_unchanged(&self.$field, key, seen)
        }
    };
    (@ touch $field:tt) => {
        fn touch(&self, session: &$crate::Session) {
            $crate::SessionStore::touch(&self.$field, session);
        }
    };
    (@ has_room $field:tt) => {
        fn has_room(
            &self,
            route: &$crate::Route,
            principal: ::core::option::Option<&$crate::Principal>,
        ) -> bool {
            $crate::SessionStore::has_room(&self.$field, route, principal)
        }
    };
    (@ reserve $field:tt) => {
        fn reserve(
            &self,
            applicant: $crate::store::Applicant<'_>,
        ) -> ::core::option::Option<$crate::store::Place> {
            $crate::SessionStore::reserve(&self.$field, applicant)
        }
    };
    (@ counts_clients $field:tt) => {
        fn counts_clients(&self) -> bool {
            $crate::SessionStore::counts_clients(&self.$field)
        }
    };
    (@ answers $field:tt) => {
        fn answers(&self) -> bool {
            $crate::SessionStore::answers(&self.$field)
        }
    };
}
