//! The stored bytes: committed vectors of this release and of every release that wrote another layout or other keys.
//! Two releases share a server during a rolling deploy.
//!
//! A vector is a line of a file in `vectors`: its name, the key, and the value in hexadecimal digits.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::time::Duration;

use bartizan_core::{
    Answer, Key, Principal, Record, Route, SessionStore,
    store::{Inserted, RecordVersion, Replaced, StoreErrorKind},
};
use bartizan_redis::RedisStore;
use bartizan_testkit::{RedisServer, eventually};
use common::{
    PATIENCE, fresh, get, insert, insert_record, ready, record, relay::Relay, remove, replace,
    with_key,
};

/// Written by the release before the layout had vectors (commit 3af2929).
const BEFORE: &str = include_str!("vectors/3af2929.txt");
/// Written by this release.
const NOW: &str = include_str!("vectors/now.txt");

/// A session that the vectors know by its name.
struct Case {
    name: &'static str,
    route: Route,
    principal: Option<Principal>,
    record: Record,
    version: RecordVersion,
}

/// A record with what the layer that splits sessions keeps in it, as that layer writes it (`split::listed` in the resume
/// crate has the same bytes). No earlier release wrote such fields.
const SPLIT: &str = "split";
const SPLIT_FIELD: &[u8] = b"\x01\x00\x01\x00\x33\xf6\xbb\x22\x4b\x4b\x13\x0f\xf7\xdc\xed\xa3\x60\x9b\x55\x02\xea\x05tools\x00\x08theirs-1/tools/mcp?tenant=7";

const ID: &[u8] = b"1868a90c-5f21-4c3f-9d5c-6f3d9c4b2a10";

impl Case {
    fn all() -> [Self; 3] {
        let plain = Record::new(Record::IDLE, Record::LIFETIME);
        let full = Record::new(Duration::from_millis(1_234), Duration::from_secs(4_000_000))
            .with_backend("http://10.0.0.7:9001".parse().unwrap())
            .with_upstream_id("known-there-as".parse().unwrap())
            .with_field("resume", b"\0\xff")
            .with_field("empty", b"");
        let owner = Principal::new("https://issuer.example", "alice");
        let case = |name, route, principal, record, version| Self {
            name,
            route: Route::new(route),
            principal,
            record,
            version,
        };
        let first = RecordVersion::FIRST;
        [
            case("plain", "default", None, plain.clone(), first),
            case("full", "gateway-1", Some(owner.clone()), full, first),
            case("replaced", "default", Some(owner), plain, first.next()),
        ]
    }

    /// Only those of this release.
    fn new() -> [Self; 1] {
        let record = Record::new(Record::IDLE, Record::LIFETIME)
            .with_field("gateway", b"search")
            .with_field(SPLIT, SPLIT_FIELD);
        [Self {
            name: SPLIT,
            route: Route::new("federation"),
            principal: None,
            record,
            version: RecordVersion::FIRST.next(),
        }]
    }

    /// Those that a file of vectors has.
    fn of(file: &str) -> Vec<Self> {
        let mut cases = Vec::from(Self::all());
        if file == NOW {
            cases.extend(Self::new());
        }
        cases
    }

    fn key(&self) -> Key<'_> {
        Key::new(&self.route, self.principal.as_ref(), ID)
    }
}

/// Key and value of the vector `name`.
fn vector<'a>(file: &'a str, name: &str) -> (&'a str, &'a str) {
    let mut lines = file.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let line = lines.find(|line| line[0] == name).unwrap();
    (line[1], line[2])
}

/// Puts a value of hexadecimal digits under `key`.
fn put(server: &RedisServer, key: &str, value: &str) {
    let script = "local value = ARGV[1]:gsub('%x%x', function(pair) return string.char(tonumber(pair, 16)) end)
        return redis.call('SET', KEYS[1], value)";
    assert_eq!(server.cli(&["EVAL", script, "1", key, value]), "OK");
}

/// The value under `key`, in hexadecimal digits.
fn hex(server: &RedisServer, key: &str) -> String {
    let script = "local value = redis.call('GET', KEYS[1])
        return (value:gsub('.', function(byte) return string.format('%02x', byte:byte()) end))";
    server.cli(&["EVAL", script, "1", key])
}

/// The digits of a value without the times of its insert and of its last use.
fn timeless(value: &str) -> String {
    if value.len() < 34 { value.to_owned() } else { format!("{}*{}", &value[..2], &value[34..]) }
}

async fn write(store: &RedisStore, case: &Case) {
    let inserted = store.insert_if_absent(case.key(), case.record.clone()).wait().await.unwrap();
    assert!(matches!(inserted, Inserted::Inserted(_)));
    if case.version != RecordVersion::FIRST {
        let first = RecordVersion::FIRST;
        let replaced = store.replace(case.key(), first, case.record.clone()).wait().await.unwrap();
        assert!(matches!(replaced, Replaced::Replaced(_)));
    }
}

#[tokio::test]
async fn what_any_release_wrote_is_read() {
    for file in [BEFORE, NOW] {
        let (store, server) = fresh(|builder| builder).await;
        for case in Case::of(file) {
            let (key, value) = vector(file, case.name);
            put(&server, key, value);
            let session = store.get(case.key()).wait().await.unwrap().expect(case.name);
            assert_eq!(session.record(), &case.record, "{}", case.name);
            assert_eq!(session.version(), case.version, "{}", case.name);
            // The scripts read it, too.
            let again = store.insert_if_absent(case.key(), case.record.clone()).wait().await;
            assert!(matches!(again, Ok(Inserted::Exists(_))), "{}", case.name);
            let removed = store.remove_if_unchanged(case.key(), case.version).wait().await;
            assert!(removed.unwrap(), "{}", case.name);
            let (_, ended) = vector(file, "ended");
            assert_eq!(hex(&server, key), ended);
            assert!(store.get(case.key()).wait().await.unwrap().is_none(), "{}", case.name);
        }
    }
}

#[tokio::test]
async fn what_is_written_is_as_the_vectors_have_it() {
    let (store, server) = fresh(|builder| builder).await;
    for case in Case::of(NOW) {
        write(&store, &case).await;
        let keys = server.cli(&["--scan", "--pattern", "bartizan:{*"]);
        let (key, value) = vector(NOW, case.name);
        assert_eq!(keys, key, "{}", case.name);
        let written = hex(&server, key);
        assert_eq!(timeless(&written), timeless(value), "{} {key} {written}", case.name);
        server.cli(&["DEL", key]);
    }
}

/// Checks what happens to a value that is not a session record, under the key of `id`, on a
/// separate server.
struct Place {
    store: RedisStore,
    server: RedisServer,
    key: String,
}

impl Place {
    async fn of(id: &str) -> Self {
        let (store, server) = fresh(|builder| builder).await;
        insert(&store, id).await.unwrap();
        let key = server.cli(&["--scan", "--pattern", "bartizan:{*"]);
        assert!(get(&store, id).await.unwrap().is_some());
        Self { store, server, key }
    }

    /// Waits until the invalidation of the key has arrived.
    async fn news(&self, id: &str) {
        let told = async || with_key(id, |key| matches!(self.store.get(key), Answer::Later(_)));
        eventually("the news has come", PATIENCE, told).await;
    }
}

/// Digits of values that no release wrote: garbage, only the head of a record, an incomplete part, an invalid backend.
const FOREIGN: [&str; 5] = [
    "67617262616765",
    "",
    "52",
    "52000001a1ffc8cf24000001a1ffc8cf2400000007006ddd0005265c000100000009",
    "52000001a1ffc8cf24000001a1ffc8cf2400000007006ddd0005265c000100000000",
];

#[tokio::test]
async fn what_no_release_wrote_is_absent_and_removed() {
    let place = Place::of("id").await;
    let Place { store, server, key } = &place;
    let gone = async || server.cli(&["EXISTS", key]) == "0";
    for value in FOREIGN {
        put(server, key, value);
        place.news("id").await;
        assert!(get(store, "id").await.unwrap().is_none(), "{value}");
        eventually("it is removed", PATIENCE, gone).await;
        put(server, key, value);
        let replaced = replace(store, "id", RecordVersion::FIRST, record()).await.unwrap();
        assert!(matches!(replaced, Replaced::Gone), "{value}");
        put(server, key, value);
        let first = RecordVersion::FIRST;
        let removed = with_key("id", |key| store.remove_if_unchanged(key, first)).wait().await;
        assert!(!removed.unwrap(), "{value}");
        put(server, key, value);
        assert!(matches!(insert(store, "id").await.unwrap(), Inserted::Inserted(_)), "{value}");
        assert!(get(store, "id").await.unwrap().is_some());
    }
}

/// Between the read that found garbage and its removal, another replica may have written a valid
/// value.
#[tokio::test]
async fn what_was_put_right_meanwhile_is_not_removed() {
    let place = Place::of("id").await;
    let (server, key) = (&place.server, &place.key);
    let relay = Relay::to(server.addr(), Duration::from_millis(100)).await;
    let store = RedisStore::builder(&relay.url()).timeout(PATIENCE).near_cache(0).build().unwrap();
    ready(&store).await;
    let good = hex(server, key);
    // Now the server knows the script.
    put(server, key, FOREIGN[0]);
    assert!(get(&store, "id").await.unwrap().is_none());
    let gone = async || server.cli(&["EXISTS", key]) == "0";
    eventually("it is removed", PATIENCE, gone).await;
    for is_other_type in [false, true] {
        server.cli(&["DEL", key]);
        if is_other_type {
            server.cli(&["HSET", key, "field", "value"]);
        } else {
            put(server, key, FOREIGN[0]);
        }
        let none = async || get(&store, "id").await.unwrap().is_none();
        eventually("the rubbish is read", PATIENCE, none).await;
        // The removal is in flight.
        server.cli(&["DEL", key]);
        put(server, key, &good);
        let tried = server.calls("evalsha");
        let again = async || server.calls("evalsha") > tried;
        eventually("the removal was tried", PATIENCE, again).await;
        assert_eq!(hex(server, key), good);
        let found = async || get(&store, "id").await.unwrap().is_some();
        eventually("it is found", PATIENCE, found).await;
    }
}

#[tokio::test]
async fn a_key_of_another_type_is_absent_and_removed() {
    let place = Place::of("id").await;
    let Place { store, server, key } = &place;
    let occupy = || {
        server.cli(&["DEL", key]);
        server.cli(&["HSET", key, "field", "value"]);
        assert_eq!(server.cli(&["TYPE", key]), "hash");
    };
    occupy();
    place.news("id").await;
    assert!(get(store, "id").await.unwrap().is_none());
    let gone = async || server.cli(&["EXISTS", key]) == "0";
    eventually("it is removed", PATIENCE, gone).await;
    occupy();
    let first = RecordVersion::FIRST;
    assert!(matches!(replace(store, "id", first, record()).await.unwrap(), Replaced::Gone));
    occupy();
    let removed = with_key("id", |key| store.remove_if_unchanged(key, first)).wait().await;
    assert!(!removed.unwrap());
    assert!(matches!(insert(store, "id").await.unwrap(), Inserted::Inserted(_)));
    occupy();
    remove(store, "id").await.unwrap();
    assert!(matches!(insert(store, "id").await.unwrap(), Inserted::Ended));
}

/// It is live, and other replicas can read it: this release does not touch it.
#[tokio::test]
async fn what_a_later_release_wrote_is_an_error_and_stays() {
    const LATER: &str = "00425a02a1ffc8cf2400000001006ddd0005265c00";
    let place = Place::of("id").await;
    let Place { store, server, key } = &place;
    let hold = get(store, "id").await.unwrap().unwrap().hold();
    put(server, key, LATER);
    place.news("id").await;
    for _ in 0..3 {
        assert_eq!(get(store, "id").await.unwrap_err().kind(), StoreErrorKind::Corrupt);
        let first = RecordVersion::FIRST;
        let replaced = replace(store, "id", first, record()).await;
        assert_eq!(replaced.unwrap_err().kind(), StoreErrorKind::Corrupt);
        let inserted = insert(store, "id").await;
        assert_eq!(inserted.unwrap_err().kind(), StoreErrorKind::Corrupt);
        let removed = with_key("id", |key| store.remove_if_unchanged(key, first)).wait().await;
        assert!(!removed.unwrap());
    }
    assert_eq!(hex(server, key), LATER);
    drop(hold);
    // Its client can still end it.
    remove(store, "id").await.unwrap();
    assert!(get(store, "id").await.unwrap().is_none());
}

/// A stream stays open while a later release rewrites its session.
#[tokio::test]
async fn a_use_of_what_a_later_release_wrote_neither_ends_nor_changes_it() {
    const LATER: &str = "00425a02a1ffc8cf2400000001006ddd0005265c00";
    let (store, server) = fresh(|builder| builder).await;
    let brief = Record::new(Duration::from_secs(2), Duration::from_secs(60));
    insert_record(&store, "id", brief).await.unwrap();
    let session = get(&store, "id").await.unwrap().unwrap();
    let _hold = session.hold();
    put(&server, &server.cli(&["--scan", "--pattern", "bartizan:{*"]), LATER);
    let told = server.calls("getrange");
    let again = async || server.calls("getrange") >= told + 2;
    eventually("its use was reported", PATIENCE, again).await;
    assert!(!session.is_ended());
    assert_eq!(hex(&server, &server.cli(&["--scan", "--pattern", "bartizan:{*"])), LATER);
}
