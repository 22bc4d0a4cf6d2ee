//! A state that is being changed into the next one, with its context.

use crate::{
    config::{Config, Policy},
    rules::Rules,
    state::{Answer, Excuse, Flow, Kind, Listed, Replica, Said, Seen, State, Step, Why},
    store::{Record, Stored},
};

/// A state that changes.
pub(crate) struct Run<'a> {
    pub(crate) config: &'a Config,
    pub(crate) rules: &'a Rules,
    pub(crate) state: State,
}

/// Why a record is removed.
#[derive(Clone, Copy)]
pub(crate) enum Evidence {
    /// The client has ended the session.
    Client,
    /// This backend refused connections, or left the list of this replica.
    Refused(u8, u8),
    /// This session, by a record that named this backend, is not known to the last one, which says so.
    Denied(u8, u8, u8),
    /// All backends that were asked gave another answer than the first one.
    Unlike,
    /// There is none.
    None,
}

impl Run<'_> {
    pub(crate) fn flow(&mut self, client: usize) -> &mut Flow {
        &mut self.state.flows[client]
    }

    pub(crate) fn replica_of(&mut self, client: usize) -> &mut Replica {
        let replica = self.state.flows[client].replica;
        &mut self.state.replicas[usize::from(replica)]
    }

    /// The client gets its answer.
    pub(crate) fn answer(&mut self, client: usize, answer: Answer) {
        let calls = self.flow(client).calls;
        *self.flow(client) = Flow { calls, answer, ..Flow::default() };
    }

    /// The answer that a client gets for what was said.
    pub(crate) fn pass(&mut self, client: usize, said: Said) {
        self.answer(
            client,
            match said {
                Said::Done => Answer::Ok,
                Said::Denies | Said::Refusal(Why::Lost | Why::OutOfReach) => Answer::Gone,
                Said::NoMethod | Said::NoPath => Answer::Else,
                Said::Refused | Said::Silent | Said::Refusal(_) => Answer::Unavailable,
                Said::Broken => Answer::Broken,
            },
        );
    }

    /// Removes the record, and records whether there was evidence.
    pub(crate) fn remove(&mut self, evidence: Evidence) {
        let Some(record) = self.state.store.get() else {
            self.state.store.remove();
            return;
        };
        if !self.is_evidence(record, evidence) {
            self.state.noted.without_evidence = true;
        }
        self.state.store.remove();
        self.state.noted.has_ended = true;
        // What a backend still has is excused by nothing if it has answered the DELETE, or denied the session for itself
        // alone; one that shares its state speaks for all.
        let is_for_itself = self.config.policy != Policy::Repin;
        let is_excused = match evidence {
            Evidence::Client => false,
            Evidence::Denied(..) => !is_for_itself,
            _ => true,
        };
        if is_excused {
            self.state.excuse(record.upstream, Excuse::Lost);
        }
    }

    fn is_evidence(&self, record: Record, evidence: Evidence) -> bool {
        match evidence {
            Evidence::Client => true,
            Evidence::None => false,
            Evidence::Unlike => self.config.is_unlike,
            Evidence::Refused(backend, replica) => {
                let has_left = self.state.replicas[usize::from(replica)].list[usize::from(backend)]
                    == Listed::Left;
                // A span counts until the next sighting is due.
                let refused = self.state.backends[usize::from(backend)].refused;
                let has_refused = refused & 0b111 == 0b111 || refused & 0b1110 == 0b1110;
                record.backend == backend && (has_left || has_refused)
            }
            Evidence::Denied(upstream, backend, by) => {
                // No other backend may continue the session.
                let is_final = self.config.policy != Policy::Resume || record.is_ending;
                let is_of_place = (record.backend, record.upstream) == (backend, upstream);
                is_final && is_of_place && !self.knows(by, upstream)
            }
        }
    }

    /// Whether `backend` knows the session `upstream`.
    pub(crate) fn knows(&self, backend: u8, upstream: u8) -> bool {
        self.state.upstreams[usize::from(upstream)].known_at & 1 << backend != 0
    }

    /// A replica records that it could not reach a backend.
    pub(crate) fn see(&mut self, replica: usize, backend: u8, what: u8) {
        let seen = &mut self.state.replicas[replica].seen[usize::from(backend)];
        *seen = Seen(seen.0 | what);
    }

    /// What comes of a connection from a replica to a backend, if none can be made.
    pub(crate) fn failure(&self, replica: usize, backend: u8) -> Option<Said> {
        let backend = usize::from(backend);
        if !self.state.replicas[replica].has_link[backend] {
            return Some(Said::Silent);
        }
        (!self.state.backends[backend].is_up).then_some(Said::Refused)
    }

    /// A request reaches a backend, which may execute it. Returns the answer.
    pub(crate) fn execute(&mut self, client: usize, backend: u8) -> Said {
        let flow = self.state.flows[client];
        let upstream = flow.seen.upstream;
        let is_known = self.knows(backend, upstream);
        let said = match flow.kind {
            Kind::Path => Said::NoPath,
            _ if !is_known => return Said::Denies,
            Kind::Method => Said::NoMethod,
            Kind::Call | Kind::Open => Said::Done,
            Kind::Delete => {
                self.end(backend, upstream);
                Said::Done
            }
        };
        // A DELETE follows its session to where it has moved, and ends that one, too.
        if flow.kind != Kind::Delete {
            self.flow(client).runs += 1;
        }
        let noted = &mut self.state.noted;
        noted.twice |= flow.runs > 0;
        if flow.kind == Kind::Call {
            noted.two_answer |= upstream < flow.floor;
            noted.after_end |= flow.is_late;
            noted.floor = noted.floor.max(upstream);
        }
        said
    }

    /// A backend ends a session.
    pub(crate) fn end(&mut self, backend: u8, upstream: u8) {
        if self.knows(backend, upstream) {
            self.state.upstreams[usize::from(upstream)].known_at = 0;
            self.state.upstreams[usize::from(upstream)].excuse = None;
        }
    }

    /// An unused session must be ended where it was opened.
    pub(crate) fn close(&mut self, backend: u8, upstream: u8, replica: u8) {
        if !self.config.undone.losers_stay {
            self.state.upstreams[usize::from(upstream)].closing = Some((backend, replica));
        }
    }

    /// Sends the request of a client to the backend of its session, or to one that may replace it.
    pub(crate) fn route(&mut self, client: usize) {
        let flow = self.state.flows[client];
        let replica = self.state.replicas[usize::from(flow.replica)];
        let (backend, other) = (flow.seen.backend, 1 - flow.seen.backend);
        let at = |backend: u8| replica.list[usize::from(backend)] == Listed::Here;
        let moves = self.config.policy == Policy::Repin;
        let is_lost = moves && self.rules.is_out_of_reach(replica.seen[usize::from(backend)]);
        match () {
            () if at(backend) && !is_lost => self.send(client, backend),
            () if moves && at(other) => self.send(client, other),
            () if moves && at(backend) => self.send(client, backend),
            () if moves => self.hear(client, Said::Refusal(Why::NoBackend)),
            () => {
                let listed = &mut self.state.replicas[usize::from(flow.replica)].list;
                let (why, listed_now) = self.rules.absent(listed[usize::from(backend)]);
                listed[usize::from(backend)] = listed_now;
                self.hear(client, Said::Refusal(why));
            }
        }
    }

    fn send(&mut self, client: usize, backend: u8) {
        let noted = self.state.noted;
        let flow = self.flow(client);
        flow.is_late = noted.has_ended;
        flow.floor = noted.floor;
        flow.step = Step::Sent(backend);
    }

    /// The layer that pins handles the answer of a backend, or the failure to reach it.
    pub(crate) fn pinned(&mut self, client: usize, backend: u8, said: Said) -> Said {
        let replica = usize::from(self.state.flows[client].replica);
        match said {
            Said::Refused => self.see(replica, backend, Seen::REFUSED),
            Said::Silent => self.see(replica, backend, Seen::FAILED),
            Said::Broken | Said::Refusal(_) => return said,
            _ => {
                self.state.replicas[replica].seen[usize::from(backend)] = Seen::default();
                return said;
            }
        }
        if self.config.policy == Policy::Repin {
            return said;
        }
        let seen = self.state.replicas[replica].seen[usize::from(backend)];
        self.rules.loss(seen).map_or(said, Said::Refusal)
    }

    /// Whether the record can be written from here.
    pub(crate) fn has_store(&mut self, client: usize) -> bool {
        self.replica_of(client).has_store
    }

    /// The record, if the replica of the client can reach the store.
    pub(crate) fn current(&mut self, client: usize) -> Result<Option<Record>, Why> {
        if self.has_store(client) { Ok(self.state.store.get()) } else { Err(Why::Store) }
    }

    /// Replaces the record, as the store does, or as it would without its fixes.
    pub(crate) fn replace(&mut self, seen: Record, record: Record) -> crate::store::Replace {
        let undone = self.config.undone;
        let version = match self.state.store {
            Stored::Live(current) if undone.replace_without_version => current.version,
            Stored::Ended | Stored::Absent if undone.replace_revives => {
                self.state.store = Stored::Live(seen);
                seen.version
            }
            _ => seen.version,
        };
        self.state.store.replace(version, record)
    }
}
