//! What may happen.

use crate::{
    config::{Budget, Config},
    rules::Rules,
    run::Run,
    state::{Answer, Excuse, Got, Kind, Listed, Said, Seen, State, Step},
};

/// An event. Clients, replicas and backends are named by their indices.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// The first client opens the session, by the first replica at the first backend.
    Open,
    /// A client sends a request to a replica.
    Send(u8, Kind, u8),
    /// The request of a client reaches a backend, or turns out not to.
    Arrive(u8),
    /// The request of a client reaches a backend, and the answer is lost.
    ArriveUnanswered(u8),
    /// The replica gives up waiting for an answer to a DELETE, which reaches the backend later.
    GiveUp(u8),
    /// That DELETE reaches the backend.
    ArriveLate,
    /// The replica continues the request of a client.
    GoOn(u8),
    /// The same, but its store operation takes effect and the answer is lost.
    GoOnUnheard(u8),
    /// The replica that resumes a session asks a backend to continue it.
    Ask(u8, u8),
    /// An unused session is ended, or cannot be ended.
    Close(u8),
    /// A step of the clock.
    Tick,
    /// A replica tries in the background to connect to a backend that it could not reach.
    Probe(u8, u8),
    /// A backend crashes.
    Crash(u8),
    /// A backend refuses connections, and keeps its memory.
    Refuse(u8),
    /// A backend accepts connections again.
    Accept(u8),
    /// A backend answers 500 to openings.
    Sicken(u8),
    /// It no longer answers 500 to openings.
    Recover(u8),
    /// A replica crashes, and is started again.
    CrashReplica(u8),
    /// The link of a replica to a backend is cut.
    Cut(u8, u8),
    /// The link is restored.
    Mend(u8, u8),
    /// The link of a replica to the store is cut.
    CutStore(u8),
    /// The link is restored.
    MendStore(u8),
    /// A backend leaves the list of a replica.
    Leave(u8, u8),
    /// A backend joins the list of a replica.
    Join(u8, u8),
    /// The session idles out.
    Idle,
}

/// Takes one from one kind of fault in the budget.
fn spend(left: &mut u8) {
    *left = left.saturating_sub(1);
}

/// Lists the events that are possible in `state`.
pub(crate) fn list(state: &State, actions: &mut Vec<Action>) {
    let left = state.left;
    let is_begun = state.upstreams[0].is_made || state.flows[0].step != Step::Idle;
    if !is_begun {
        actions.push(Action::Open);
        return;
    }
    for client in 0..2_u8 {
        of_client(state, client, actions);
    }
    if state.late.is_some() {
        actions.push(Action::ArriveLate);
    }
    for (index, upstream) in (0..).zip(&state.upstreams) {
        if upstream.closing.is_some() {
            actions.push(Action::Close(index));
        }
    }
    if left.ticks > 0 {
        actions.push(Action::Tick);
    }
    for backend in 0..2_u8 {
        of_backend(state, backend, actions);
    }
    for replica in 0..2_u8 {
        of_replica(state, replica, actions);
    }
    let is_unused = state.flows.iter().all(|flow| flow.step == Step::Idle);
    if left.idles > 0 && is_unused && state.store.get().is_some() {
        actions.push(Action::Idle);
    }
}

fn of_client(state: &State, client: u8, actions: &mut Vec<Action>) {
    let (flow, left) = (state.flows[usize::from(client)], state.left);
    match flow.step {
        Step::Idle if state.noted.is_open && flow.calls > 0 => {
            for replica in 0..2 {
                actions.push(Action::Send(client, Kind::Call, replica));
                if left.deletes > 0 {
                    actions.push(Action::Send(client, Kind::Delete, replica));
                }
                if left.strays > 0 {
                    actions.push(Action::Send(client, Kind::Path, replica));
                    actions.push(Action::Send(client, Kind::Method, replica));
                }
            }
        }
        Step::Idle => {}
        Step::Sent(_) | Step::Asks(_) => {
            actions.push(Action::Arrive(client));
            if left.losses > 0 {
                actions.push(Action::ArriveUnanswered(client));
                if flow.kind == Kind::Delete && state.late.is_none() {
                    actions.push(Action::GiveUp(client));
                }
            }
        }
        Step::Opened(_) | Step::Asked(..) => {
            actions.push(Action::GoOn(client));
            if left.losses > 0 && state.replicas[usize::from(flow.replica)].has_store {
                actions.push(Action::GoOnUnheard(client));
            }
        }
        Step::Replied(..) | Step::Removing(_) => actions.push(Action::GoOn(client)),
        Step::Follows(_) | Step::Waits => {
            if state.replicas[usize::from(flow.replica)].leads.is_none() {
                actions.push(Action::GoOn(client));
            }
        }
        Step::Asking => {
            let list = state.replicas[usize::from(flow.replica)].list;
            let is_candidate = |backend: &u8| {
                list[usize::from(*backend)] == Listed::Here && flow.tried & 1 << backend == 0
            };
            let asks = (0..2).filter(is_candidate).map(|backend| Action::Ask(client, backend));
            actions.extend(asks);
        }
    }
}

fn of_backend(state: &State, index: u8, actions: &mut Vec<Action>) {
    let (backend, left) = (state.backends[usize::from(index)], state.left);
    if !backend.is_up {
        actions.push(Action::Accept(index));
    } else {
        if left.crashes > 0 {
            actions.push(Action::Crash(index));
        }
        if left.refusals > 0 {
            actions.push(Action::Refuse(index));
        }
    }
    if backend.is_sick {
        actions.push(Action::Recover(index));
    } else if left.sicknesses > 0 {
        actions.push(Action::Sicken(index));
    }
}

fn of_replica(state: &State, index: u8, actions: &mut Vec<Action>) {
    let (replica, left) = (state.replicas[usize::from(index)], state.left);
    if left.crashes > 0 {
        actions.push(Action::CrashReplica(index));
    }
    if !replica.has_store {
        actions.push(Action::MendStore(index));
    } else if left.cuts > 0 {
        actions.push(Action::CutStore(index));
    }
    for backend in 0..2_u8 {
        let at = usize::from(backend);
        if !replica.has_link[at] {
            actions.push(Action::Mend(index, backend));
        } else if left.cuts > 0 {
            actions.push(Action::Cut(index, backend));
        }
        if replica.seen[at] != Seen::default() && replica.list[at] == Listed::Here {
            actions.push(Action::Probe(index, backend));
        }
        if left.list_changes > 0 {
            actions.push(match replica.list[at] {
                Listed::Here => Action::Leave(index, backend),
                _ => Action::Join(index, backend),
            });
        }
    }
}

/// Performs `action`. `None` if it changes nothing.
pub(crate) fn apply(
    config: &Config,
    rules: &Rules,
    state: &State,
    action: Action,
) -> Option<State> {
    let mut next = apply_and_answer(config, rules, state, action);
    for flow in &mut next.flows {
        if flow.step == Step::Idle {
            // Its previous value does not matter any more.
            flow.answer = Answer::None;
        }
    }
    (next != *state).then_some(next)
}

/// The same, with the answers that clients get.
pub(crate) fn apply_and_answer(
    config: &Config,
    rules: &Rules,
    state: &State,
    action: Action,
) -> State {
    let mut run = Run { config, rules, state: *state };
    run.apply(action);
    run.state
}

impl Run<'_> {
    fn apply(&mut self, action: Action) {
        let left = &mut self.state.left;
        match action {
            Action::Open => {
                let flow = self.flow(0);
                flow.kind = Kind::Open;
                flow.step = Step::Sent(0);
            }
            Action::Send(client, kind, replica) => {
                match kind {
                    Kind::Delete => spend(&mut left.deletes),
                    Kind::Path | Kind::Method => spend(&mut left.strays),
                    Kind::Call | Kind::Open => {}
                }
                self.begin(usize::from(client), kind, replica);
            }
            Action::Arrive(client) => self.arrive(usize::from(client), true),
            Action::ArriveUnanswered(client) => {
                spend(&mut left.losses);
                self.arrive(usize::from(client), false);
            }
            Action::GiveUp(client) => {
                spend(&mut left.losses);
                let client = usize::from(client);
                let flow = self.state.flows[client];
                if let Step::Sent(backend) = flow.step {
                    self.state.late = Some((backend, flow.seen.upstream));
                    self.flow(client).step = Step::Replied(backend, Said::Broken);
                }
            }
            Action::ArriveLate => {
                if let Some((backend, upstream)) = self.state.late.take()
                    && self.state.backends[usize::from(backend)].is_up
                {
                    self.end(backend, upstream);
                }
            }
            Action::GoOn(client) => self.go_on(usize::from(client), true),
            Action::GoOnUnheard(client) => {
                spend(&mut left.losses);
                self.go_on(usize::from(client), false);
            }
            Action::Ask(client, backend) => {
                let flow = self.flow(usize::from(client));
                flow.tried |= 1 << backend;
                flow.step = Step::Asks(backend);
            }
            Action::Close(upstream) => self.end_unused(upstream),
            Action::Idle => {
                spend(&mut left.idles);
                if let Some(record) = self.state.store.get() {
                    self.state.excuse(record.upstream, Excuse::Idle);
                }
                self.state.store.idle();
                self.state.noted.has_ended = true;
            }
            Action::Tick => self.tick(),
            Action::Probe(replica, backend) => {
                let at = usize::from(replica);
                match self.failure(at, backend) {
                    Some(Said::Refused) => self.see(at, backend, Seen::REFUSED),
                    Some(_) => self.see(at, backend, Seen::FAILED),
                    None => self.state.replicas[at].seen[usize::from(backend)] = Seen::default(),
                }
            }
            _ => self.fail_or_mend(action),
        }
    }

    fn fail_or_mend(&mut self, action: Action) {
        let state = &mut self.state;
        let budget: &mut Budget = &mut state.left;
        match action {
            Action::Crash(backend) | Action::Refuse(backend) => {
                let is_crash = matches!(action, Action::Crash(_));
                spend(if is_crash { &mut budget.crashes } else { &mut budget.refusals });
                for upstream in state.upstreams.iter_mut().filter(|_| is_crash) {
                    upstream.known_at &= !(1 << backend);
                    if upstream.known_at == 0 {
                        upstream.excuse = None;
                    }
                }
                let backend = &mut state.backends[usize::from(backend)];
                backend.is_up = false;
                backend.refused |= 1;
            }
            Action::Accept(backend) => state.backends[usize::from(backend)].is_up = true,
            Action::Sicken(backend) => {
                spend(&mut budget.sicknesses);
                state.backends[usize::from(backend)].is_sick = true;
            }
            Action::Recover(backend) => state.backends[usize::from(backend)].is_sick = false,
            Action::Cut(replica, backend) => {
                spend(&mut budget.cuts);
                state.replicas[usize::from(replica)].has_link[usize::from(backend)] = false;
            }
            Action::Mend(replica, backend) => {
                state.replicas[usize::from(replica)].has_link[usize::from(backend)] = true;
            }
            Action::CutStore(replica) => {
                spend(&mut budget.cuts);
                state.replicas[usize::from(replica)].has_store = false;
            }
            Action::MendStore(replica) => state.replicas[usize::from(replica)].has_store = true,
            Action::Leave(replica, backend) | Action::Join(replica, backend) => {
                spend(&mut budget.list_changes);
                let leaves = matches!(action, Action::Leave(..));
                let replica = &mut state.replicas[usize::from(replica)];
                replica.list[usize::from(backend)] =
                    if leaves { Listed::Left } else { Listed::Here };
                // Observations of it are dropped when it leaves the list.
                replica.seen[usize::from(backend)] = Seen::default();
            }
            Action::CrashReplica(replica) => {
                spend(&mut budget.crashes);
                self.crash_replica(replica);
            }
            _ => {}
        }
    }

    /// A request reaches a backend.
    fn arrive(&mut self, client: usize, is_answered: bool) {
        let flow = self.state.flows[client];
        let replica = usize::from(flow.replica);
        match flow.step {
            Step::Sent(backend) => {
                if let Some(said) = self.failure(replica, backend) {
                    let said = self.pinned(client, backend, said);
                    if flow.kind == Kind::Open {
                        return self.pass(client, said);
                    }
                    return self.hear(client, said);
                }
                if flow.kind == Kind::Open {
                    return self.open(client, backend, is_answered);
                }
                let said = self.execute(client, backend);
                let said = if is_answered { said } else { Said::Broken };
                self.flow(client).step = Step::Replied(backend, said);
            }
            Step::Asks(backend) => {
                if let Some(said) = self.failure(replica, backend) {
                    let _ = self.pinned(client, backend, said);
                    return self.hear_of_opening(client, backend, Got::NoAnswer, true);
                }
                let is_sick = self.state.backends[usize::from(backend)].is_sick;
                let got = match () {
                    () if is_sick => self.rules.sick(),
                    () if self.config.is_unlike && backend == 1 => Got::Other,
                    () => match self.state.open(backend, self.config.policy) {
                        Some(upstream) if is_answered => Got::Opened(upstream),
                        Some(upstream) => {
                            self.state.excuse(upstream, Excuse::NoAnswer);
                            Got::NoAnswer
                        }
                        None => Got::NoAnswer,
                    },
                };
                let got = if is_answered { got } else { Got::NoAnswer };
                self.flow(client).step = Step::Asked(backend, got);
            }
            _ => {}
        }
    }

    fn open(&mut self, client: usize, backend: u8, is_answered: bool) {
        if self.state.backends[usize::from(backend)].is_sick {
            return self.answer(client, Answer::Unavailable);
        }
        match self.state.open(backend, self.config.policy) {
            Some(upstream) if is_answered => self.flow(client).step = Step::Opened(upstream),
            upstream => {
                if let Some(upstream) = upstream {
                    self.state.excuse(upstream, Excuse::NoAnswer);
                }
                self.answer(client, Answer::Broken);
            }
        }
    }

    /// The replica continues a request.
    fn go_on(&mut self, client: usize, is_heard: bool) {
        let flow = self.state.flows[client];
        match flow.step {
            Step::Opened(upstream) => {
                let _ = self.pinned(client, 0, Said::Done);
                self.opened(client, upstream, is_heard);
            }
            Step::Replied(backend, said) => {
                let said = self.pinned(client, backend, said);
                self.hear(client, said);
            }
            Step::Asked(backend, got) => {
                let said = if got == Got::NoAnswer { Said::Broken } else { Said::Done };
                let _ = self.pinned(client, backend, said);
                self.hear_of_opening(client, backend, got, is_heard);
            }
            Step::Removing(said) => self.removed(client, said),
            Step::Follows(is_unreachable) => self.join(client, is_unreachable),
            Step::Waits => self.lead_to_end(client),
            _ => {}
        }
    }

    fn tick(&mut self) {
        spend(&mut self.state.left.ticks);
        for backend in &mut self.state.backends {
            backend.refused = (backend.refused << 1 | u8::from(!backend.is_up)) & 0b1111;
        }
        for replica in &mut self.state.replicas {
            replica.seen = replica.seen.map(Seen::tick);
            for listed in &mut replica.list {
                if *listed == Listed::Met {
                    *listed = Listed::MetBefore;
                }
            }
        }
    }

    /// An unused session is ended where it was opened, if that backend can be reached.
    fn end_unused(&mut self, upstream: u8) {
        let Some((backend, replica)) = self.state.upstreams[usize::from(upstream)].closing.take()
        else {
            return;
        };
        let is_listed =
            self.state.replicas[usize::from(replica)].list[usize::from(backend)] == Listed::Here;
        if is_listed && self.failure(usize::from(replica), backend).is_none() {
            self.end(backend, upstream);
            // A backend that shares its state and has lost it speaks for the whole group.
            self.state.excuse(upstream, Excuse::Lost);
        } else {
            self.state.excuse(upstream, Excuse::Unreachable);
        }
    }

    fn crash_replica(&mut self, replica: u8) {
        for client in 0..2 {
            let flow = self.state.flows[client];
            if flow.replica != replica || flow.step == Step::Idle {
                continue;
            }
            if let Step::Opened(upstream) | Step::Asked(_, Got::Opened(upstream)) = flow.step {
                self.state.excuse(upstream, Excuse::NoAnswer);
            }
            if let (Kind::Delete, Step::Sent(backend), None) =
                (flow.kind, flow.step, self.state.late)
            {
                self.state.late = Some((backend, flow.seen.upstream));
            }
            self.answer(client, Answer::Broken);
        }
        for upstream in &mut self.state.upstreams {
            if upstream.closing.is_some_and(|(_, by)| by == replica) {
                upstream.closing = None;
                if upstream.known_at != 0 {
                    upstream.excuse.get_or_insert(Excuse::NoAnswer);
                }
            }
        }
        let replica = &mut self.state.replicas[usize::from(replica)];
        replica.seen = [Seen::default(); 2];
        replica.leads = None;
        for listed in &mut replica.list {
            // It starts with its latest list, and remembers nothing else.
            if *listed != Listed::Here {
                *listed = Listed::Never;
            }
        }
    }
}

/// Whether a backend has a session that cannot be ended any more, without an allowed exception.
pub(crate) fn is_left(state: &State) -> bool {
    let record = state.store.get().map(|record| record.upstream);
    (0..).zip(&state.upstreams).any(|(index, upstream)| {
        upstream.known_at != 0 && upstream.excuse.is_none() && record != Some(index)
    })
}
