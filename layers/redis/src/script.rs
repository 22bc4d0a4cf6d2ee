//! What races is one script each: the server runs them one at a time.
//!
//! They take the time from the server, so that replicas whose clocks differ agree. The layout of a value
//! is in [`codec`](crate::codec).

use bytes::Bytes;
use fred::{
    clients::WithOptions,
    error::Error,
    interfaces::ClientLike,
    prelude::Client,
    types::{ClusterHash, CustomCommand, FromValue, Value},
};

/// The scripts of the store.
#[derive(Debug)]
pub(crate) struct Scripts {
    /// Inserts unless there is something, and counts it in the sets that are the further keys. Takes idle and lifetime
    /// (ms), the parts, the member, and for each set how many it may have; answers 1 and the value that is there now,
    /// 0 and the one that was there, or 2 or 3 if the first or the second set is full: who names a session that is
    /// there learns so, however full it is.
    pub(crate) insert: Script,
    /// Takes a place in the sets that are the keys, for an insert on another node. Takes how long it is taken (ms), the
    /// member, and for each set how many it may have; answers 1, or 2 or 3 if the first or the second set is full.
    pub(crate) take: Script,
    /// Replaces a live value of a version. Takes the version, idle, lifetime and the parts; answers 1 and
    /// the value that is there now, 0 and that of another version or of another layout, or 2 if there is none, or a
    /// tombstone.
    pub(crate) replace: Script,
    /// Ends a live value of a version. Takes the version and how long the tombstone stands (ms); answers 1 and the
    /// value that was there, or 0 if there is no live one of that version.
    pub(crate) end: Script,
    /// Restarts the idle time of a live value. Takes nothing; answers 1, or 0 if there is no live one. One of a later
    /// release is live, and left as it is.
    pub(crate) touch: Script,
    /// Removes a value that no release wrote. Takes the value that was seen, or nothing if it was of another type;
    /// answers 1, or 0 if it is not there any more.
    pub(crate) discard: Script,
    /// Adds to sorted sets, and sees that no set is outlived by what is in it. Takes a score (a time by the server, ms),
    /// how long that is from now (ms), and a member.
    pub(crate) list: Script,
    /// Takes a member out of sorted sets.
    pub(crate) unlist: Script,
}

/// A script, with the name that the server knows it by.
#[derive(Debug)]
pub(crate) struct Script {
    text: String,
    sha1: String,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            insert: Script::new(&[PUT, TAKE_PLACE, INSERT]),
            take: Script::new(&[PUT, TAKE_PLACE, TAKE]),
            replace: Script::new(&[REPLACE]),
            end: Script::new(&[END]),
            touch: Script::new(&[TOUCH]),
            discard: Script::new(&[DISCARD]),
            list: Script::new(&[PUT, LIST]),
            unlist: Script::new(&[UNLIST]),
        }
    }
}

impl Script {
    fn new(parts: &[&str]) -> Self {
        let text = parts.concat();
        Self { sha1: fred::util::sha1_hash(&text), text }
    }

    /// Runs it on `keys`. A server that does not know it by name gets its text, and knows it then.
    pub(crate) async fn run<R: FromValue>(
        &self,
        client: &WithOptions<Client>,
        keys: &[&str],
        args: &[Value],
    ) -> Result<R, Error> {
        let known = send(client, "EVALSHA", &self.sha1, keys, args).await;
        match known {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                send(client, "EVAL", &self.text, keys, args).await
            }
            outcome => outcome,
        }
    }
}

async fn send<R: FromValue>(
    client: &WithOptions<Client>,
    command: &'static str,
    script: &str,
    keys: &[&str],
    args: &[Value],
) -> Result<R, Error> {
    let count = i64::try_from(keys.len()).unwrap_or(i64::MAX);
    let keys = keys.iter().map(|&key| key.into());
    let head = [script.into(), Value::Integer(count)].into_iter().chain(keys);
    let args: Vec<Value> = head.chain(args.iter().cloned()).collect();
    // The first key is what a cluster routes by.
    client.custom(CustomCommand::new_static(command, ClusterHash::Offset(2), false), args).await
}

/// Bytes as an argument.
pub(crate) fn bytes(bytes: Vec<u8>) -> Value {
    Value::Bytes(Bytes::from(bytes))
}

/// Adds to a set what idles out at `until_ms`, `left` from now.
const PUT: &str = "local function put(key, until_ms, left, member)
    redis.call('ZADD', key, 'GT', until_ms, member)
    if redis.call('PTTL', key) < tonumber(left) then
        redis.call('PEXPIRE', key, left)
    end
end
";

/// Takes a place in the sets from the key `first` on, whose caps are the arguments from `cap` on; answers 2 or 3 if the
/// first or the second is full. A server that is out of memory refuses the first command of a script that needs some,
/// and only if nothing was written before: so the place is taken first, and given back.
const TAKE_PLACE: &str = "local function take(first, cap, now, left, member)
    for at = first, #KEYS do
        put(KEYS[at], now + left, left, member)
        redis.call('ZREMRANGEBYSCORE', KEYS[at], '-inf', now)
        if redis.call('ZCARD', KEYS[at]) > tonumber(ARGV[cap + at - first]) then
            for taken = first, at do redis.call('ZREM', KEYS[taken], member) end
            return 2 + at - first
        end
    end
end
";

const INSERT: &str = "local value = redis.call('GET', KEYS[1])
if value then return {0, value} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local idle, lifetime = tonumber(ARGV[1]), tonumber(ARGV[2])
local left = math.min(idle, lifetime)
local is_full = take(2, 5, now, left, ARGV[4])
if is_full then return {is_full, ''} end
value = struct.pack('>c1I8I8I4I4I4', 'R', now, now, 1, idle, lifetime) .. ARGV[3]
redis.call('SET', KEYS[1], value, 'PX', left)
return {1, value}";

const TAKE: &str = "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return take(1, 3, now, tonumber(ARGV[1]), ARGV[2]) or 1";

const REPLACE: &str = "local value = redis.call('GET', KEYS[1])
if not value or value == 'T' then return {2, ''} end
if string.sub(value, 1, 1) ~= 'R' or #value < 29 then return {0, value} end
local _, born, _, version = struct.unpack('>c1I8I8I4', value)
if version ~= tonumber(ARGV[1]) then return {0, value} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local idle, lifetime = tonumber(ARGV[2]), tonumber(ARGV[3])
local left = math.min(idle, born + lifetime - now)
if left <= 0 then return {2, ''} end
version = (version + 1) % 4294967296
value = struct.pack('>c1I8I8I4I4I4', 'R', born, now, version, idle, lifetime) .. ARGV[4]
redis.call('SET', KEYS[1], value, 'PX', left)
return {1, value}";

const END: &str = "local value = redis.call('GET', KEYS[1])
if not value or string.sub(value, 1, 1) ~= 'R' or #value < 29 then return {0, ''} end
local _, _, _, version = struct.unpack('>c1I8I8I4', value)
if version ~= tonumber(ARGV[1]) then return {0, ''} end
redis.call('SET', KEYS[1], 'T', 'PX', ARGV[2])
return {1, value}";

// `PEXPIRE` also works when the server is out of memory; noting the time may then fail.
const TOUCH: &str = "local head = redis.call('GETRANGE', KEYS[1], 0, 28)
if string.sub(head, 1, 3) == '\\0BZ' then return 1 end
if string.sub(head, 1, 1) ~= 'R' or #head < 29 then return 0 end
local _, born, _, _, idle, lifetime = struct.unpack('>c1I8I8I4I4I4', head)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left = math.min(idle, born + lifetime - now)
if left <= 0 then return 0 end
redis.call('PEXPIRE', KEYS[1], left)
redis.pcall('SETRANGE', KEYS[1], 9, struct.pack('>I8', now))
return 1";

// A time to live that is over removes the key, whatever its type, and needs no other right.
const DISCARD: &str = "local value = redis.pcall('GET', KEYS[1])
local is_seen = value == ARGV[1]
if type(value) == 'table' then
    is_seen = #ARGV == 0 and string.find(value.err, 'WRONGTYPE', 1, true) ~= nil
end
if not value or not is_seen then return 0 end
return redis.call('PEXPIRE', KEYS[1], 0)";

const LIST: &str = "for _, key in ipairs(KEYS) do put(key, ARGV[1], ARGV[2], ARGV[3]) end
return 1";

const UNLIST: &str = "for _, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[1]) end
return 1";
