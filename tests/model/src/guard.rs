//! The session guard: the path of a request in and out.

use crate::{
    Policy,
    rules::Effect,
    run::{Evidence, Run},
    state::{Answer, Excuse, Flow, Kind, Said, Step, Why},
    store::Record,
};

impl Run<'_> {
    /// A client sends a request with the id of the session to a replica.
    pub(crate) fn begin(&mut self, client: usize, kind: Kind, replica: u8) {
        let flow = self.flow(client);
        let (calls, answer) = (flow.calls.saturating_sub(1), flow.answer);
        *flow = Flow { kind, replica, calls, answer, ..Flow::default() };
        match self.current(client) {
            Err(_) => self.answer(client, Answer::Unavailable),
            Ok(None) => self.answer(client, Answer::Gone),
            Ok(Some(record)) => {
                let flow = self.flow(client);
                (flow.first, flow.seen) = (record, record);
                if self.is_resumable(client) && kind == Kind::Delete {
                    self.lead_to_end(client);
                } else {
                    self.route(client);
                }
            }
        }
    }

    /// Whether the record that the request saw says how the session was opened.
    fn is_resumable(&self, client: usize) -> bool {
        self.config.policy == Policy::Resume && !self.state.flows[client].first.is_ending
    }

    /// A response comes from the layers inside the guard.
    pub(crate) fn hear(&mut self, client: usize, said: Said) {
        if self.is_resumable(client) {
            self.hear_of_resumable(client, said);
        } else {
            self.hear_at_guard(client, said);
        }
    }

    /// A response reaches the guard.
    pub(crate) fn hear_at_guard(&mut self, client: usize, said: Said) {
        let flow = self.state.flows[client];
        let (backend, replica) = match flow.step {
            Step::Replied(backend, _) | Step::Sent(backend) => (backend, flow.replica),
            _ => (flow.seen.backend, flow.replica),
        };
        let is_said_by_backend =
            matches!(said, Said::Done | Said::Denies | Said::NoMethod | Said::NoPath);
        let moves = self.config.policy == Policy::Repin
            && is_said_by_backend
            && backend != flow.first.backend;
        let has_store = self.has_store(client);
        let evidence = match said {
            Said::Denies => Evidence::Denied(flow.seen.upstream, flow.seen.backend, backend),
            Said::Refusal(Why::Lost) => Evidence::Refused(flow.seen.backend, replica),
            _ => Evidence::None,
        };
        match self.rules.effect(flow.kind, said, moves) {
            Effect::Keep => self.pass(client, said),
            Effect::Ended => {
                self.state.noted.has_ended = true;
                if has_store {
                    self.remove(Evidence::Client);
                }
                self.pass(client, said);
            }
            Effect::EndedUnreachable => {
                self.state.excuse(flow.seen.upstream, Excuse::Unreachable);
                if has_store {
                    // It may have moved since; then its new session must be ended, too.
                    if let Some(record) = self.state.store.get() {
                        self.state.excuse(record.upstream, Excuse::Unreachable);
                    }
                    self.remove(Evidence::Client);
                }
                self.answer(client, Answer::Ok);
            }
            Effect::Lost => {
                let is_it = self.config.undone.remove_without_version
                    || self
                        .state
                        .store
                        .get()
                        .is_some_and(|record| record.version == flow.first.version);
                if has_store && is_it {
                    self.remove(evidence);
                }
                let answer = if said == Said::Done { Answer::Ok } else { Answer::Gone };
                self.answer(client, answer);
            }
            Effect::Moved => {
                if has_store {
                    let record = Record { backend, ..flow.first };
                    let _ = self.replace(flow.first, record);
                }
                self.pass(client, said);
            }
        }
    }

    /// The answer to the opening of the session comes back.
    pub(crate) fn opened(&mut self, client: usize, upstream: u8, is_heard: bool) {
        let replica = self.state.flows[client].replica;
        let insert = if self.has_store(client) {
            let record = Record { backend: 0, upstream, ..Record::default() };
            let insert = self.state.store.insert(record);
            is_heard.then_some(insert)
        } else {
            None
        };
        if self.rules.is_inserted(insert) {
            self.state.noted.is_open = true;
            self.answer(client, Answer::Ok);
        } else {
            self.close(0, upstream, replica);
            self.answer(client, Answer::Unavailable);
        }
    }
}
