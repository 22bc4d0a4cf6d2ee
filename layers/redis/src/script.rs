//! Each operation that can race is one script: the server runs scripts one at a time.
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
    /// Inserts unless there is a value, and counts it in the sets that are the keys after the second, which lists
    /// unconfirmed sessions. Takes idle and lifetime (ms), the parts, and what [`TAKE_PLACE`] needs; answers 1 and the
    /// value that is there now, 0 and the one that was there, or from 2 on which set is full: a caller that inserts an
    /// existing session learns that, however full the store is. Then the evicted sessions: each member of the list, and
    /// its value; and how many of all sessions had expired.
    pub(crate) insert: Script,
    /// Takes a place in the sets that are the keys after the first, for an insert on another node. Takes how long it is
    /// taken (ms), and what [`TAKE_PLACE`] needs; answers as `insert`, with nothing for the values.
    pub(crate) take: Script,
    /// Removes the live value of an unconfirmed session that `take` has evicted. Takes nothing; returns the value, or
    /// nothing.
    pub(crate) evict: Script,
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
            evict: Script::new(&[EVICT]),
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

    /// Runs it on `keys`. If the server does not know it by name, it gets the text, and knows the
    /// name from then on.
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
    // A cluster routes by the first key.
    client.custom(CustomCommand::new_static(command, ClusterHash::Offset(2), false), args).await
}

/// Bytes as an argument.
pub(crate) fn bytes(bytes: Vec<u8>) -> Value {
    Value::Bytes(Bytes::from(bytes))
}

/// Adds to a set a member that idles out at `until_ms`, `left` from now.
const PUT: &str = "local function put(key, until_ms, left, member)
    redis.call('ZADD', key, 'GT', until_ms, member)
    if redis.call('PTTL', key) < tonumber(left) then
        redis.call('PEXPIRE', key, left)
    end
end
";

/// Takes a place in the sets from the key after `first` on, of which the first counts all; answers the number of the one
/// that is full, and what was evicted for the place. The key `first` lists the sessions that have still to be confirmed,
/// by when they were opened: their digests, and the ends of the names of the other sets that they are in. The arguments
/// from `arg` on are the member; the cap of all, from how many on a session that is not confirmed in time makes room,
/// and how long that is (ms); the member of the list, empty if the session need not be confirmed; the prefix of the
/// sessions' names, empty if they are on other nodes; then the caps of the other sets.
///
/// A server that is out of memory refuses the first command of a script that needs memory, but only if nothing was
/// written before. So the place is taken first, and given back.
const TAKE_PLACE: &str = "local function evict(list, all, prefix, until_ms)
    for _ = 1, 64 do
        local oldest = redis.call('ZRANGE', list, 0, 0, 'WITHSCORES')
        local member = oldest[1]
        if not member or tonumber(oldest[2]) > until_ms then return nil end
        redis.call('ZREM', list, member)
        local name, value, is_it = nil, '', true
        if prefix ~= '' then
            local digits = string.gsub(string.sub(member, 1, 32), '.', function(byte)
                return string.format('%02x', string.byte(byte))
            end)
            name = prefix .. ':{' .. digits .. '}'
            value = redis.pcall('GET', name)
            is_it = type(value) == 'string' and string.sub(value, 1, 1) == 'R'
                and string.sub(value, 10, 17) == string.rep('\\0', 8)
        end
        local short = string.sub(member, 1, 16)
        if is_it and redis.call('ZREM', all, short) == 1 then
            if name then redis.call('PEXPIRE', name, 0) end
            for part in string.gmatch(string.sub(member, 33), '[^|]+') do
                redis.call('ZREM', all .. ':' .. part, short)
            end
            return {member, value}
        end
    end
end
local expired = 0
local function take(first, arg, now, left)
    local list, all = KEYS[first], KEYS[first + 1]
    local member, most = ARGV[arg], tonumber(ARGV[arg + 1])
    for at = first + 1, #KEYS do
        put(KEYS[at], now + left, left, member)
        local swept = redis.call('ZREMRANGEBYSCORE', KEYS[at], '-inf', now)
        if at == first + 1 then expired = swept end
    end
    local full, gone = nil, {}
    for at = #KEYS, first + 2, -1 do
        if redis.call('ZCARD', KEYS[at]) > tonumber(ARGV[arg + 4 + at - first]) then full = at end
    end
    local function make_room(cap, until_ms)
        if redis.call('ZCARD', all) <= cap then return false end
        local one = evict(list, all, ARGV[arg + 5], until_ms)
        if not one then return false end
        gone[#gone + 1], gone[#gone + 2] = one[1], one[2]
        return true
    end
    if not full then
        make_room(tonumber(ARGV[arg + 2]), now - tonumber(ARGV[arg + 3]))
        while make_room(most, now) do end
    end
    if redis.call('ZCARD', all) > most then full = first + 1 end
    if full then
        for at = first + 1, #KEYS do redis.call('ZREM', KEYS[at], member) end
        return full - first + 1, gone
    end
    if ARGV[arg + 4] ~= '' then
        redis.call('ZREMRANGEBYSCORE', list, '-inf', now - left)
        put(list, now, left, ARGV[arg + 4])
    end
    return nil, gone
end
";

const INSERT: &str = "local value = redis.call('GET', KEYS[1])
if value then return {0, value, {}, 0} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local idle, lifetime = tonumber(ARGV[1]), tonumber(ARGV[2])
local left = math.min(idle, lifetime)
local gone = {}
if #KEYS > 1 then
    local full
    full, gone = take(2, 4, now, left)
    if full then return {full, '', gone, expired} end
end
local touched = now
if ARGV[8] ~= '' then touched = 0 end
value = struct.pack('>c1I8I8I4I4I4', 'R', now, touched, 1, idle, lifetime) .. ARGV[3]
redis.call('SET', KEYS[1], value, 'PX', left)
return {1, value, gone, expired}";

const TAKE: &str = "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local full, gone = take(1, 2, now, tonumber(ARGV[1]))
return {full or 1, '', gone, expired}";

const EVICT: &str = "local value = redis.call('GET', KEYS[1])
if not value or string.sub(value, 1, 1) ~= 'R' or #value < 29 then return '' end
if string.sub(value, 10, 17) ~= string.rep('\\0', 8) then return '' end
redis.call('PEXPIRE', KEYS[1], 0)
return value";

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

// `PEXPIRE` also works when the server is out of memory; recording the time may then fail.
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

// An expired time to live removes the key, whatever its type, and needs no further permission.
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
