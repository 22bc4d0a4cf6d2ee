//! Running the checker.

use std::time::{Duration, SystemTime};

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::{Action, Config, State, System};

/// The results of a run.
#[derive(Debug)]
pub struct Found {
    /// How many different states there are.
    pub states: usize,
    /// How many transitions were followed.
    pub reached: usize,
    /// The longest path.
    pub depth: usize,
    /// How long it took.
    pub time: Duration,
    /// Each property that does not hold, with a path to a state that violates it.
    pub violated: Vec<(&'static str, Path<State, Action>)>,
}

/// How many threads there are to run on.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Explores all states.
#[must_use]
pub fn explore(config: Config) -> Found {
    let begun = SystemTime::now();
    let checker = System::new(config).reduced().checker().threads(threads()).spawn_bfs().join();
    found(&checker, begun)
}

/// Explores until `property` is violated, on one thread, so that the path is a shortest one.
#[must_use]
pub fn search(config: Config, property: &'static str) -> Found {
    let begun = SystemTime::now();
    let is_found = HasDiscoveries::AnyOf([property].into());
    let checker = System::new(config).checker().finish_when(is_found);
    found(&checker.spawn_bfs().join(), begun)
}

fn found(checker: &impl Checker<System>, begun: SystemTime) -> Found {
    let mut violated: Vec<_> = checker.discoveries().into_iter().collect();
    violated.sort_by_key(|(name, _)| *name);
    Found {
        states: checker.unique_state_count(),
        reached: checker.state_count(),
        depth: checker.max_depth(),
        time: begun.elapsed().unwrap_or_default(),
        violated,
    }
}

impl Found {
    /// The path to a violation of `property`, if there is one.
    #[must_use]
    pub fn way_to(&self, property: &str) -> Option<Vec<Action>> {
        let (_, path) = self.violated.iter().find(|(name, _)| *name == property)?;
        Some(path.clone().into_actions())
    }
}
