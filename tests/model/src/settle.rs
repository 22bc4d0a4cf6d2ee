//! What happens to a client that keeps asking after all faults are over.

use stateright::Model;

use crate::{
    action::{Action, apply_and_answer},
    config::Policy,
    model::System,
    state::{Answer, Kind, Listed, State, Step},
};

/// How often a client asks at most.
const ROUNDS: usize = 5;
/// How many steps a request takes at most.
const STEPS: usize = 64;

/// Whether a client that keeps asking is finally served or gets 404, at either replica.
///
/// Links are restored and failing backends recover. A backend that is down stays down, so its sessions are lost.
pub(crate) fn settles(model: &System, state: &State) -> bool {
    if !state.noted.is_open || !state.is_quiet() {
        return true;
    }
    (0..2).all(|replica| settles_at(model, *state, replica))
}

fn settles_at(model: &System, mut state: State, replica: u8) -> bool {
    for one in &mut state.replicas {
        one.has_store = true;
        one.has_link = [true; 2];
    }
    for backend in &mut state.backends {
        backend.is_sick = false;
    }
    state.late = None;
    let list = state.replicas[usize::from(replica)].list;
    let can_serve = (0..2).any(|at| list[at] == Listed::Here && state.backends[at].is_up);
    // Sessions that could be resumed or moved wait for a backend.
    if model.config.policy != Policy::Fail && !can_serve {
        return true;
    }
    for _ in 0..ROUNDS {
        let Some(answered) = ask(model, state, replica) else { return false };
        state = answered;
        if matches!(state.flows[0].answer, Answer::Ok | Answer::Gone) {
            return true;
        }
        state.left.ticks = 1;
        state = step(model, state, Action::Tick);
    }
    false
}

/// One request of the first client at `replica`, step by step.
fn ask(model: &System, mut state: State, replica: u8) -> Option<State> {
    state.flows[0].calls = 1;
    state.left.losses = 0;
    state = step(model, state, Action::Send(0, Kind::Call, replica));
    for _ in 0..STEPS {
        if state.flows[0].step == Step::Idle {
            return Some(state);
        }
        let action = match state.flows[0].step {
            Step::Sent(_) | Step::Asks(_) => Action::Arrive(0),
            Step::Asking => {
                let mut actions = Vec::new();
                model.actions(&state, &mut actions);
                let is_ask = |action: &Action| matches!(action, Action::Ask(0, _));
                actions.into_iter().find(is_ask)?
            }
            _ => Action::GoOn(0),
        };
        state = step(model, state, action);
    }
    None
}

fn step(model: &System, state: State, action: Action) -> State {
    apply_and_answer(&model.config, &model.rules, &state, action)
}
