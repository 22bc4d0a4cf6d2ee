//! The state of the model.

use crate::{
    config::{Budget, Config, Policy},
    store::{Record, Stored},
};

/// How many sessions backends may open in a run.
pub const UPSTREAMS: usize = 6;

/// The whole state.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct State {
    /// The backends.
    pub backends: [Backend; 2],
    /// The replicas.
    pub replicas: [Replica; 2],
    /// The store.
    pub store: Stored,
    /// The sessions at backends, in the order in which they were opened.
    pub upstreams: [Upstream; UPSTREAMS],
    /// The request of each client.
    pub flows: [Flow; 2],
    /// A DELETE for this session, in flight to this backend, whose replica no longer waits for it.
    pub late: Option<(u8, u8)>,
    /// The remaining budget of events.
    pub left: Budget,
    /// Facts that the model records for its invariants.
    pub noted: Noted,
}

/// A backend.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Backend {
    /// Whether it accepts connections.
    pub is_up: bool,
    /// Whether it answers 500 to openings.
    pub is_sick: bool,
    /// In which of the last four steps of the clock it refused connections; the lowest bit is the present one.
    pub refused: u8,
}

/// A replica.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Replica {
    /// Whether it reaches the store.
    pub has_store: bool,
    /// Whether it reaches each backend.
    pub has_link: [bool; 2],
    /// Its observations of each backend that it cannot reach.
    pub seen: [Seen; 2],
    /// The state of each backend on its list.
    pub list: [Listed; 2],
    /// The client whose request leads the attempt to resume or to end the session.
    pub leads: Option<u8>,
}

/// In which of the last four steps of the clock connections were refused, or failed otherwise: two bits for each step,
/// the lowest for the present one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Seen(pub u8);

impl Seen {
    /// A refusal, in the lowest bits.
    pub const REFUSED: u8 = 1;
    /// Another failure to connect, in the lowest bits.
    pub const FAILED: u8 = 2;

    /// A step of the clock.
    #[must_use]
    pub const fn tick(self) -> Self {
        Self(self.0 << 2)
    }

    /// The observation `ago` steps ago.
    #[must_use]
    pub const fn at(self, ago: u8) -> u8 {
        self.0 >> (2 * ago) & 3
    }
}

/// The state of a backend on the list of a replica.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Listed {
    /// It is on the list.
    Here,
    /// It was never on the list.
    Never,
    /// It was never on the list, and a session named it in this step of the clock.
    Met,
    /// The same, in an earlier one.
    MetBefore,
    /// It has left.
    Left,
}

/// A session at a backend.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Upstream {
    /// Whether it was opened.
    pub is_made: bool,
    /// The backends that know it: a bit each. With [`Policy::Repin`] they share their state.
    pub known_at: u8,
    /// The backend at which, and the replica by which, it is about to be ended, since it is not used.
    pub closing: Option<(u8, u8)>,
    /// The allowed exception why it cannot be ended, if there is one.
    pub excuse: Option<Excuse>,
}

/// Why a session may be left at its backend, until it expires there.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Excuse {
    /// The answer that opened it was lost, or the replica that waited for it crashed.
    NoAnswer,
    /// Its backend could not be reached when it was to be ended.
    Unreachable,
    /// Its backend refused connections or left the list, and is still running.
    Lost,
    /// It was idle for long, so the backend's own expiry is near.
    Idle,
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// To open a session.
    Open,
    /// To be served.
    #[default]
    Call,
    /// To end the session.
    Delete,
    /// For a path that the backend does not serve.
    Path,
    /// For a method that the backend does not know: a JSON-RPC error in a 404.
    Method,
}

/// The result of a request, as the layers see it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Said {
    /// The backend has done it.
    Done,
    /// The backend's 404: it does not know the session.
    Denies,
    /// The backend's 404: it does not know the method.
    NoMethod,
    /// The backend's 404: there is no such path.
    NoPath,
    /// The backend refused the connection.
    Refused,
    /// No connection could be made in time.
    Silent,
    /// The connection broke, or the backend took too long, after the request was sent.
    Broken,
    /// A layer refused it.
    Refusal(Why),
}

/// Why a layer refuses a request.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Why {
    /// The backend is lost.
    Lost,
    /// This replica does not know the backend yet.
    Unknown,
    /// This replica cannot reach the backend.
    OutOfReach,
    /// The backend cannot be reached just now.
    Unreachable,
    /// No backend takes new work.
    NoBackend,
    /// The store does not answer.
    Store,
}

/// The answer to a client.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Answer {
    /// Nothing yet.
    #[default]
    None,
    /// Success.
    Ok,
    /// 404: there is no such session.
    Gone,
    /// 404 about something else.
    Else,
    /// 503.
    Unavailable,
    /// 502 or 504, or the connection broke.
    Broken,
}

/// The answer of a backend that was asked to continue the session.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Got {
    /// It was not asked.
    #[default]
    Nothing,
    /// It has opened this session.
    Opened(u8),
    /// Nothing came.
    NoAnswer,
    /// It answers that it cannot at the moment.
    Sick,
    /// It gives another answer than the first backend.
    Other,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Step {
    /// The client sends nothing.
    #[default]
    Idle,
    /// In flight to a backend.
    Sent(u8),
    /// Its answer is on the way back from a backend.
    Replied(u8, Said),
    /// A backend has opened the client's session, and the answer is on its way back.
    Opened(u8),
    /// It waits for the attempt of another request; the flag says whether no backend was reached when it met the loss.
    Follows(bool),
    /// It wants to end the session, and waits for an attempt of another request.
    Waits,
    /// It leads: a backend will be asked to continue the session.
    Asking,
    /// It leads: the opening is in flight to a backend.
    Asks(u8),
    /// It leads: the answer is on its way back.
    Asked(u8, Got),
    /// It leads: the record is marked as ending, and will be removed.
    Removing(Said),
}

/// The request of a client.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Flow {
    /// Where it is.
    pub step: Step,
    /// What it asks for.
    pub kind: Kind,
    /// The replica that it was sent to.
    pub replica: u8,
    /// The record that the guard of sessions saw.
    pub first: Record,
    /// The record by which it was sent to a backend.
    pub seen: Record,
    /// How often it was sent again.
    pub times: u8,
    /// How often a backend has executed it.
    pub runs: u8,
    /// Whether the session had ended when it was sent to a backend.
    pub is_late: bool,
    /// The newest upstream session that had answered when it was sent to a backend.
    pub floor: u8,
    /// The backends that were asked to continue the session, a bit each, and the answer of the first.
    pub tried: u8,
    /// What they answered, in turn.
    pub got: [Got; 2],
    /// How many requests its client has still to send.
    pub calls: u8,
    /// The last answer to its client.
    pub answer: Answer,
}

/// Facts that the model records for its invariants.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Noted {
    /// Whether a client has got the id of the session.
    pub is_open: bool,
    /// Whether the session has ended: its record is gone, or its end was answered.
    pub has_ended: bool,
    /// The newest upstream session that has answered.
    pub floor: u8,
    /// A record was removed without evidence.
    pub without_evidence: bool,
    /// A request was answered by an older upstream session than one before it.
    pub two_answer: bool,
    /// A request was executed twice.
    pub twice: bool,
    /// An ended session has answered.
    pub after_end: bool,
    /// More sessions were opened than there is room for in the model.
    pub is_full: bool,
}

impl State {
    /// The state at the start.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let backend = Backend { is_up: true, is_sick: false, refused: 0 };
        let replica = Replica {
            has_store: true,
            has_link: [true; 2],
            seen: [Seen::default(); 2],
            list: [Listed::Here; 2],
            leads: None,
        };
        let mut replicas = [replica; 2];
        if config.lacks {
            replicas[1].list[0] = Listed::Never;
        }
        let flow = Flow { calls: config.budget.calls, ..Flow::default() };
        Self {
            backends: [backend; 2],
            replicas,
            store: Stored::Absent,
            upstreams: [Upstream::default(); UPSTREAMS],
            flows: [flow; 2],
            late: None,
            left: config.budget,
            noted: Noted::default(),
        }
    }

    /// Sorts the clients, which are interchangeable once the session is open.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        if self.noted.is_open && self.flows[0] > self.flows[1] {
            self.flows.swap(0, 1);
            for replica in &mut self.replicas {
                replica.leads = replica.leads.map(|client| 1 - client);
            }
        }
        self
    }

    /// Whether no request is in flight and no session is about to be ended.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.flows.iter().all(|flow| flow.step == Step::Idle)
            && self.upstreams.iter().all(|upstream| upstream.closing.is_none())
    }

    /// Opens a session at `backend`, if the model has room.
    pub fn open(&mut self, backend: u8, policy: Policy) -> Option<u8> {
        let Some(free) = self.upstreams.iter().position(|upstream| !upstream.is_made) else {
            self.noted.is_full = true;
            return None;
        };
        let known_at = if policy == Policy::Repin { 0b11 } else { 1 << backend };
        self.upstreams[free] = Upstream { is_made: true, known_at, ..Upstream::default() };
        u8::try_from(free).ok()
    }

    /// Records an allowed exception for leaving `upstream` behind.
    pub fn excuse(&mut self, upstream: u8, excuse: Excuse) {
        let upstream = &mut self.upstreams[usize::from(upstream)];
        if upstream.known_at != 0 {
            upstream.excuse.get_or_insert(excuse);
        }
    }
}
