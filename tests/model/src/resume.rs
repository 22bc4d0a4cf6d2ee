//! The layer that resumes sessions.

use bartizan_resume::deciders::{TIMES, Verdict};

use crate::{
    rules::{Next, Put, is_same},
    run::{Evidence, Run},
    state::{Excuse, Got, Kind, Listed, Said, Step, Why},
    store::Record,
};

/// The outcome of an attempt to resume the session.
#[derive(Clone, Copy)]
enum Outcome {
    Moved(Record),
    Ended,
    Failed(Why),
}

impl Run<'_> {
    /// A response to a request of a session that can be resumed.
    pub(crate) fn hear_of_resumable(&mut self, client: usize, said: Said) {
        let kind = self.state.flows[client].kind;
        let (verdict, has_ended) = self.rules.verdict(kind, said);
        if kind == Kind::Delete {
            return self.hear_of_end(client, said, has_ended);
        }
        match verdict {
            Verdict::Arrived | Verdict::Look => self.hear_at_guard(client, said),
            Verdict::Unreachable | Verdict::Unknown => {
                if usize::from(self.state.flows[client].times) >= TIMES {
                    let why = self.rules.forgotten();
                    self.hear_at_guard(client, Said::Refusal(why));
                } else {
                    self.join(client, verdict == Verdict::Unreachable);
                }
            }
        }
    }

    /// A request that has met the loss of its session leads an attempt to resume it, or follows
    /// one.
    pub(crate) fn join(&mut self, client: usize, is_unreachable: bool) {
        if self.replica_of(client).leads.is_some() {
            self.flow(client).step = Step::Follows(is_unreachable);
            return;
        }
        self.replica_of(client).leads = Some(index(client));
        let seen = self.state.flows[client].seen;
        match self.current(client) {
            Err(why) => self.publish(client, Outcome::Failed(why)),
            Ok(None) => self.publish(client, Outcome::Ended),
            Ok(Some(record)) if record.is_ending => self.publish(client, Outcome::Ended),
            Ok(Some(record)) if !is_same(record, seen) => {
                self.publish(client, Outcome::Moved(record));
            }
            Ok(Some(record)) => {
                let flow = self.flow(client);
                flow.seen = record;
                flow.tried = if is_unreachable { 1 << record.backend } else { 0 };
                flow.got = [Got::Nothing; 2];
                self.ask(client);
            }
        }
    }

    /// The backends that can be asked to continue the session.
    pub(crate) fn candidates(&self, client: usize) -> impl Iterator<Item = u8> {
        let flow = self.state.flows[client];
        let list = self.state.replicas[usize::from(flow.replica)].list;
        (0..2).filter(move |backend| {
            list[usize::from(*backend)] == Listed::Here && flow.tried & 1 << backend == 0
        })
    }

    fn ask(&mut self, client: usize) {
        if self.candidates(client).next().is_some() {
            self.flow(client).step = Step::Asking;
        } else {
            self.asked(client, true, true);
        }
    }

    /// The backend that was asked has answered; `got` has all answers so far.
    fn asked(&mut self, client: usize, is_last: bool, is_heard: bool) {
        let (got, seen) = (self.state.flows[client].got, self.state.flows[client].seen);
        match self.rules.next(got, is_last) {
            Next::Ask => self.ask(client),
            Next::GiveUp => self.note_end(client, Said::Refusal(Why::Lost), is_heard),
            Next::Fail(why) => match self.current(client) {
                Ok(Some(record)) if !is_same(record, seen) => {
                    self.publish(client, Outcome::Moved(record));
                }
                _ => self.publish(client, Outcome::Failed(why)),
            },
        }
    }

    /// The answer of a backend that was asked comes back.
    pub(crate) fn hear_of_opening(&mut self, client: usize, backend: u8, got: Got, is_heard: bool) {
        let Got::Opened(upstream) = got else {
            let flow = self.flow(client);
            if let Some(free) = flow.got.iter_mut().find(|got| **got == Got::Nothing) {
                *free = got;
            }
            return self.asked(client, false, is_heard);
        };
        let (replica, mut current) = {
            let flow = self.state.flows[client];
            (flow.replica, flow.seen)
        };
        let outcome = loop {
            if !self.has_store(client) {
                break Outcome::Failed(Why::Store);
            }
            let record = Record { backend, upstream, ..current };
            let replace = self.replace(current, record);
            let put = self.rules.put(replace, current);
            if put == Put::Done {
                // If its backend refused connections or left, it may still hold the session; a backend that forgot the
                // session does not.
                self.state.excuse(current.upstream, Excuse::Lost);
            }
            if !is_heard {
                break Outcome::Failed(Why::Store);
            }
            match (put, replace) {
                (Put::Done, crate::store::Replace::Replaced(record)) => {
                    return self.publish(client, Outcome::Moved(record));
                }
                (Put::Elsewhere, crate::store::Replace::Changed(other)) => {
                    break Outcome::Moved(other);
                }
                (Put::Again, crate::store::Replace::Changed(other)) => current = other,
                _ => break Outcome::Ended,
            }
        };
        self.close(backend, upstream, replica);
        self.publish(client, outcome);
    }

    /// An attempt has ended: its request continues, and so do those that follow it.
    fn publish(&mut self, client: usize, outcome: Outcome) {
        let replica = self.state.flows[client].replica;
        self.replica_of(client).leads = None;
        let other = 1 - client;
        let follows = match self.state.flows[other] {
            flow if flow.replica == replica => match flow.step {
                Step::Follows(is_unreachable) => Some((is_unreachable, flow.seen)),
                _ => None,
            },
            _ => None,
        };
        self.resumed(client, outcome);
        match (follows, outcome) {
            // The other attempt was for an earlier upstream session, so this request begins its
            // own.
            (Some((is_unreachable, seen)), Outcome::Moved(record))
                if record.version == seen.version =>
            {
                self.join(other, is_unreachable);
            }
            (Some(_), outcome) => self.resumed(other, outcome),
            (None, _) => {}
        }
    }

    fn resumed(&mut self, client: usize, outcome: Outcome) {
        match outcome {
            Outcome::Moved(record) => {
                let flow = self.flow(client);
                flow.seen = record;
                flow.times += 1;
                (flow.tried, flow.got) = (0, [Got::Nothing; 2]);
                self.route(client);
            }
            Outcome::Ended => self.hear_at_guard(client, Said::Refusal(Why::Lost)),
            Outcome::Failed(why) => self.hear_at_guard(client, Said::Refusal(why)),
        }
    }

    /// A client ends the session: meanwhile this replica does not try to resume it.
    pub(crate) fn lead_to_end(&mut self, client: usize) {
        if self.replica_of(client).leads.is_some() {
            self.flow(client).step = Step::Waits;
            return;
        }
        self.replica_of(client).leads = Some(index(client));
        match self.current(client) {
            Err(why) => self.let_go(client, Said::Refusal(why)),
            Ok(None) => self.let_go(client, Said::Refusal(Why::Lost)),
            Ok(Some(record)) => {
                self.flow(client).seen = record;
                self.route(client);
            }
        }
    }

    fn hear_of_end(&mut self, client: usize, said: Said, has_ended: bool) {
        if has_ended {
            self.note_end(client, said, true);
        } else {
            self.let_go(client, said);
        }
    }

    /// Marks in the record that the session ends.
    fn note_end(&mut self, client: usize, said: Said, is_heard: bool) {
        let mut current = self.state.flows[client].seen;
        let gives_up = self.state.flows[client].kind != Kind::Delete;
        loop {
            if !self.has_store(client) || !is_heard {
                if gives_up {
                    return self.publish(client, Outcome::Failed(Why::Store));
                }
                if self.config.undone.unnoted_end_goes_on {
                    break;
                }
                return self.let_go(client, Said::Refusal(Why::Store));
            }
            let replace = self.replace(current, Record { is_ending: true, ..current });
            match (self.rules.put(replace, current), replace) {
                (Put::Elsewhere, crate::store::Replace::Changed(other)) if gives_up => {
                    return self.publish(client, Outcome::Moved(other));
                }
                (Put::Elsewhere, crate::store::Replace::Changed(other)) => {
                    self.flow(client).seen = other;
                    return self.route(client);
                }
                (Put::Again, crate::store::Replace::Changed(other)) => current = other,
                _ => break,
            }
        }
        self.flow(client).step = Step::Removing(said);
    }

    /// Removes the record that says that the session is being ended.
    pub(crate) fn removed(&mut self, client: usize, said: Said) {
        let flow = self.state.flows[client];
        let has_store = self.has_store(client);
        if flow.kind != Kind::Delete {
            if has_store {
                self.remove(Evidence::Unlike);
            }
            return self.publish(client, Outcome::Failed(Why::Lost));
        }
        if !has_store {
            return self.let_go(client, Said::Refusal(Why::Store));
        }
        if said != Said::Done && said != Said::Denies {
            self.state.excuse(flow.seen.upstream, Excuse::Unreachable);
        }
        self.remove(Evidence::Client);
        self.let_go(client, said);
    }

    /// A request that led an attempt to end the session is answered.
    fn let_go(&mut self, client: usize, said: Said) {
        self.replica_of(client).leads = None;
        self.hear_at_guard(client, said);
    }
}

fn index(client: usize) -> u8 {
    u8::from(client != 0)
}
