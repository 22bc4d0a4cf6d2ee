//! The model, as the checker requires it.

use stateright::{Model, Property};

use crate::{
    action::{self, Action},
    config::Config,
    rules::Rules,
    settle,
    state::State,
};

/// A record is removed without evidence about its session.
pub const EVIDENCE: &str = "a record is removed only on evidence about its session";
/// Two upstream sessions answer one session.
pub const ONE: &str = "a session is answered by one upstream session at a time";
/// A request is executed twice.
pub const ONCE: &str = "nothing that a client sent is executed twice";
/// An ended session answers.
pub const ENDED: &str = "an ended session never answers again";
/// An upstream session is left behind.
pub const LEFT: &str = "no upstream session is left that nobody can end";
/// A client waits forever.
pub const SETTLES: &str = "a client is served, or gets 404, in the end";
/// The model has room for all sessions that are opened.
pub const ROOM: &str = "the model has room";

/// The system.
#[derive(Clone, Debug)]
pub struct System {
    pub(crate) config: Config,
    pub(crate) rules: Rules,
    /// Whether states that differ only by swapping the clients count as one.
    is_reduced: bool,
}

impl System {
    /// The system that `config` describes.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, rules: Rules::new(config.undone), is_reduced: false }
    }

    /// Counts states that differ only by swapping the clients as one. Paths to a state then swap their names, too.
    #[must_use]
    pub fn reduced(self) -> Self {
        Self { is_reduced: true, ..self }
    }
}

impl Model for System {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.config)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        action::list(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let next = action::apply(&self.config, &self.rules, state, action)?;
        Some(if self.is_reduced { next.in_order() } else { next })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(EVIDENCE, |_, state: &State| !state.noted.without_evidence),
            Property::always(ONE, |_, state: &State| !state.noted.two_answer),
            Property::always(ONCE, |_, state: &State| !state.noted.twice),
            Property::always(ENDED, |_, state: &State| !state.noted.after_end),
            Property::always(LEFT, |_, state: &State| !state.is_quiet() || !action::is_left(state)),
            Property::always(SETTLES, |model: &Self, state: &State| settle::settles(model, state)),
            Property::always(ROOM, |_, state: &State| !state.noted.is_full),
        ]
    }
}
