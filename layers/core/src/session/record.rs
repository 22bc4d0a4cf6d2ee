//! The data that a store keeps for a session.

use std::{any::Any, collections::BTreeMap, fmt, sync::Arc, time::Duration};

use super::ClientNetwork;
use crate::{BackendId, SessionId};

/// The data that a store keeps for a session: its backend, its expiry, and a small map for data of layers. Times are in
/// whole milliseconds, up to 49 days.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    backend: Option<BackendId>,
    idle_ms: u32,
    lifetime_ms: u32,
    // Shared, because most sessions of a proxy are opened on one path; and a thin pointer, because there may be a
    // million records.
    path: Option<Arc<String>>,
    // Boxed, because most records have neither and there may be a million records.
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Default, Eq, PartialEq)]
struct Rare {
    upstream_id: Option<SessionId>,
    // A field like any other, stored separately because each request reads it.
    owner: Option<Box<[u8]>>,
    // Likewise, because it is read when the session ends.
    client: Option<ClientNetwork>,
    fields: BTreeMap<Box<str>, Box<[u8]>>,
    companions: Companions,
}

/// Values that are dropped with the last copy of a record. A store does not write them.
#[derive(Clone, Default)]
struct Companions(Vec<Arc<dyn Any + Send + Sync>>);

impl PartialEq for Companions {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Companions {}

impl Record {
    /// The default idle time: two hours.
    pub const IDLE: Duration = Duration::from_secs(2 * 60 * 60);
    /// The default lifetime: a day.
    pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

    /// The name of the path in the map, so that stores need no special case for it.
    pub const PATH: &str = "path";
    /// The field with the owner of a session that was opened without a principal.
    pub const OWNER: &str = "owner";
    /// The field with the network of the client that opened the session, if sessions are counted by it.
    pub const CLIENT: &str = "client";

    /// Starts a record that expires when unused for `idle`, and `lifetime` after it was made.
    #[must_use]
    pub fn new(idle: Duration, lifetime: Duration) -> Self {
        Self {
            backend: None,
            idle_ms: millis(idle),
            lifetime_ms: millis(lifetime),
            path: None,
            rare: None,
        }
    }

    /// Keeps the session on `backend`.
    #[must_use]
    pub fn with_backend(self, backend: BackendId) -> Self {
        Self { backend: Some(backend), ..self }
    }

    /// Sets the path on which the session was opened. A 404 of the backend ends the session only there.
    #[must_use]
    pub fn with_path(self, path: Arc<String>) -> Self {
        Self { path: Some(path), ..self }
    }

    /// Sets the id by which the backend knows the session, if the client has a different one.
    #[must_use]
    pub fn with_upstream_id(mut self, id: SessionId) -> Self {
        self.rare.get_or_insert_default().upstream_id = Some(id);
        self
    }

    /// Counts the session as one of the client's network: for stores with a cap on the sessions of one client.
    #[must_use]
    pub fn with_client(mut self, client: ClientNetwork) -> Self {
        self.rare.get_or_insert_default().client = Some(client);
        self
    }

    /// Sets the field `name` in the map for layers, replacing its value. [`Self::PATH`] is the path.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: &[u8]) -> Self {
        if name == Self::PATH {
            let path = str::from_utf8(value).ok().map(|path| Arc::new(path.to_owned()));
            return Self { path, ..self };
        }
        let rare = self.rare.get_or_insert_default();
        if name == Self::OWNER {
            rare.owner = Some(value.into());
        } else if name == Self::CLIENT {
            rare.client = ClientNetwork::from_bytes(value);
        } else {
            rare.fields.insert(name.into(), value.into());
        }
        self
    }

    /// Drops `companion` with the last copy of this record in this process: for a layer that limits the memory of its
    /// entries. A store that keeps records elsewhere drops it when it forgets its own copy.
    #[must_use]
    pub fn with_companion(mut self, companion: Arc<dyn Any + Send + Sync>) -> Self {
        self.rare.get_or_insert_default().companions.0.push(companion);
        self
    }

    /// Takes over the companions of `other`, for a store that has read a record which it already knows.
    #[must_use]
    pub fn with_companions_of(mut self, other: &Self) -> Self {
        if let Some(other) = &other.rare
            && !other.companions.0.is_empty()
        {
            self.rare.get_or_insert_default().companions = other.companions.clone();
        }
        self
    }

    /// The backend that holds the session, if it is bound to one.
    #[must_use]
    pub fn backend(&self) -> Option<&BackendId> {
        self.backend.as_ref()
    }

    /// The path on which the session was opened, if it is known.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref().map(String::as_str)
    }

    /// The same as [`Self::path`], in a form that can be shared with another record.
    #[must_use]
    pub fn shared_path(&self) -> Option<Arc<String>> {
        self.path.clone()
    }

    /// How long the session may stay unused.
    #[must_use]
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms.into())
    }

    /// How long the session may exist.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        Duration::from_millis(self.lifetime_ms.into())
    }

    /// The idle time in milliseconds.
    #[inline]
    pub(super) const fn idle_ms(&self) -> u32 {
        self.idle_ms
    }

    /// The lifetime in milliseconds.
    #[inline]
    pub(super) const fn lifetime_ms(&self) -> u32 {
        self.lifetime_ms
    }

    /// The id by which the backend knows the session, if it differs from the client's.
    #[must_use]
    pub fn upstream_id(&self) -> Option<&SessionId> {
        self.rare.as_ref()?.upstream_id.as_ref()
    }

    /// The owner of a session that was opened without a principal: the field [`Self::OWNER`], in the format of the
    /// layer that validates sessions.
    #[inline]
    #[must_use]
    pub fn owner(&self) -> Option<&[u8]> {
        self.rare.as_ref()?.owner.as_deref()
    }

    /// The network of the client that opened the session, if the session is counted by it.
    #[must_use]
    pub fn client(&self) -> Option<ClientNetwork> {
        self.rare.as_ref()?.client
    }

    fn client_bytes(&self) -> Option<&[u8]> {
        Some(self.rare.as_ref()?.client.as_ref()?.as_bytes())
    }

    /// The field that a layer added under `name`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        if name == Self::PATH {
            return self.path().map(str::as_bytes);
        }
        if name == Self::OWNER {
            return self.owner();
        }
        if name == Self::CLIENT {
            return self.client_bytes();
        }
        self.rare.as_ref()?.fields.get(name).map(AsRef::as_ref)
    }

    /// All fields by name, including the path, the owner and the client.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let path = self.path().map(|path| (Self::PATH, path.as_bytes()));
        let owner = self.owner().map(|owner| (Self::OWNER, owner));
        let fields = self.rare.as_ref().map(|rare| &rare.fields).into_iter().flatten();
        let fields = fields.map(|(name, value)| (name.as_ref(), value.as_ref()));
        let client = self.client_bytes().map(|client| (Self::CLIENT, client));
        path.into_iter().chain(fields).chain(owner).chain(client)
    }
}

// Written by hand, because what a layer keeps may be secret.
impl fmt::Debug for Rare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rare")
            .field("upstream_id", &self.upstream_id)
            .field("has_owner", &self.owner.is_some())
            .field("has_client", &self.client.is_some())
            .field("fields", &self.fields.keys())
            .finish()
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_what_it_was_given() {
        let record = Record::new(Duration::from_secs(1), Duration::MAX)
            .with_backend("b".parse().unwrap())
            .with_upstream_id("up".parse().unwrap())
            .with_field("x", b"1")
            .with_field("x", b"2");
        assert_eq!(record.idle(), Duration::from_secs(1));
        assert!(record.lifetime() > Duration::from_secs(49 * 24 * 60 * 60));
        assert_eq!(record.backend().unwrap().as_str(), "b");
        assert_eq!(record.upstream_id().unwrap().as_str(), "up");
        assert_eq!(record.fields().collect::<Vec<_>>(), [("x", &b"2"[..])]);
    }

    /// A store writes and reads the fields without knowing which of them is the path.
    #[test]
    fn the_path_is_one_of_the_fields() {
        let record =
            Record::new(Record::IDLE, Record::LIFETIME).with_path(Arc::new("/mcp".to_owned()));
        assert_eq!((record.path(), record.field("path")), (Some("/mcp"), Some(&b"/mcp"[..])));
        let read = Record::new(Record::IDLE, Record::LIFETIME);
        let read = record.fields().fold(read, |read, (name, value)| read.with_field(name, value));
        assert_eq!(read, record);
        assert_eq!(read.with_field("path", b"\xff").path(), None);
    }

    /// A store that does not know about owners keeps them.
    #[test]
    fn the_owner_is_a_field_like_any_other() {
        let record = Record::new(Record::IDLE, Record::LIFETIME).with_field("x", b"1");
        assert_eq!((record.owner(), record.field(Record::OWNER)), (None, None));
        let owned = record.clone().with_field(Record::OWNER, b"a").with_field(Record::OWNER, b"b");
        assert_eq!((owned.owner(), owned.field("owner")), (Some(&b"b"[..]), Some(&b"b"[..])));
        assert_eq!(owned.fields().collect::<Vec<_>>(), [("x", &b"1"[..]), ("owner", b"b")]);
        let copied = owned
            .fields()
            .fold(Record::new(Record::IDLE, Record::LIFETIME), |copy, (name, value)| {
                copy.with_field(name, value)
            });
        assert_eq!(copied, owned);
        assert_ne!(copied, record);
    }

    /// A store that does not know about clients keeps them.
    #[test]
    fn the_client_is_a_field_like_any_other() {
        let client = ClientNetwork::of("192.0.2.7".parse().unwrap());
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        assert_eq!((record.client(), record.field(Record::CLIENT)), (None, None));
        let counted = record.clone().with_client(client);
        assert_eq!(counted.fields().collect::<Vec<_>>(), [("client", client.as_bytes())]);
        assert_eq!(record.clone().with_field("client", client.as_bytes()), counted);
        assert_eq!(record.with_field("client", b"nobody").client(), None);
    }

    #[test]
    fn a_companion_goes_with_the_last_copy_and_makes_no_difference() {
        let companion = Arc::new(());
        let plain = Record::new(Record::IDLE, Record::LIFETIME).with_field("x", b"1");
        let accompanied = plain.clone().with_companion(companion.clone());
        assert_eq!((&accompanied, Arc::strong_count(&companion)), (&plain, 2));
        let changed = accompanied.clone().with_field("x", b"2");
        let read = plain.clone().with_companions_of(&changed);
        drop((accompanied, changed));
        assert_eq!(Arc::strong_count(&companion), 2);
        assert_eq!(read.fields().collect::<Vec<_>>(), plain.fields().collect::<Vec<_>>());
        drop(read.with_companions_of(&plain));
        assert_eq!(Arc::strong_count(&companion), 1);
    }

    /// The data of a layer may be a whole request with its credentials.
    #[test]
    fn what_layers_keep_is_not_printed() {
        let record = Record::new(Record::IDLE, Record::LIFETIME)
            .with_upstream_id("secret-id".parse().unwrap())
            .with_field("x", b"secret");
        let printed = format!("{record:?} {record:#?}");
        assert!(printed.contains("\"x\"") && !printed.contains("secret"), "{printed}");
        assert!(!printed.contains("115, 101"), "byte by byte: {printed}");
    }
}
