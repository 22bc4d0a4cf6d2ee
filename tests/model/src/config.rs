//! What a run of the model explores.

/// What is done when the backend of a session is lost.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Policy {
    /// The client is told: `--on-lost fail`.
    Fail,
    /// The session is opened again on another backend: `--on-lost resume`.
    Resume,
    /// The session goes to another backend, which shares its state: `--on-lost repin`.
    Repin,
}

/// How often each of these may happen in a run.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Budget {
    /// Steps of the clock, each as long as the longest gap of a span of refusals. A span of refusals counts after two.
    pub ticks: u8,
    /// Requests of each client, without the first that opens the session.
    pub calls: u8,
    /// Requests to end the session, among those.
    pub deletes: u8,
    /// Requests that a backend answers 404 for another reason, among those.
    pub strays: u8,
    /// A backend crashes and loses its memory.
    pub backend_crashes: u8,
    /// A backend refuses connections, and keeps its memory.
    pub refusals: u8,
    /// A backend answers 500 to whatever opens a session.
    pub sicknesses: u8,
    /// A replica crashes.
    pub replica_crashes: u8,
    /// The link of a replica to a backend is cut.
    pub link_cuts: u8,
    /// The link of a replica to the store is cut.
    pub store_cuts: u8,
    /// An answer of a backend is lost, or its request is late.
    pub lost_answers: u8,
    /// The store does what it is asked, and its answer is lost.
    pub lost_writes: u8,
    /// The list of a replica loses a backend, or gains one.
    pub list_changes: u8,
    /// The session idles out.
    pub idles: u8,
}

/// Fixes that are undone, so that the defect comes back.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Undone {
    /// Any 404 ends a session.
    pub any_404_ends: bool,
    /// A backend that a replica has never had counts as one that has left.
    pub unknown_is_gone: bool,
    /// A connect timeout is evidence, as a refusal is.
    pub timeouts_are_evidence: bool,
    /// A loss removes the record, whatever has become of it since.
    pub remove_without_version: bool,
    /// Two refusals are a span, whatever lies between them.
    pub blips_are_a_span: bool,
    /// A session is over that two backends in a row forget.
    pub forgetful_backends_end_it: bool,
    /// A backend that answers 500 to an opening gives a verdict on the session.
    pub sick_openers_end_it: bool,
    /// A connection that breaks after the request was sent is a loss.
    pub resets_are_losses: bool,
    /// The session that a replica opened in vain is left as it is.
    pub losers_stay: bool,
    /// The store writes a record whatever version it has.
    pub replace_without_version: bool,
    /// The store brings back a record that was removed.
    pub replace_revives: bool,
    /// A session is ended though the store could not be told that it is about to be.
    pub unnoted_end_goes_on: bool,
    /// A replica that does not know a backend answers 503 for ever.
    pub unknown_for_ever: bool,
}

/// What a run of the model explores.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// What is done when a backend is lost.
    pub policy: Policy,
    /// Whether the list of the second replica lacks the first backend at the start.
    pub lacks: bool,
    /// Whether the second backend answers otherwise than the first when a session is opened.
    pub is_unlike: bool,
    /// What may happen.
    pub budget: Budget,
    /// What is undone.
    pub undone: Undone,
}

impl Config {
    /// Two clients, two replicas and two backends; nothing goes wrong yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let budget = Budget { calls: 1, deletes: 1, ..Budget::default() };
        Self { policy, lacks: false, is_unlike: false, budget, undone: Undone::default() }
    }

    /// With another budget.
    #[must_use]
    pub fn allow(mut self, change: impl FnOnce(&mut Budget)) -> Self {
        change(&mut self.budget);
        self
    }

    /// Without some fixes.
    #[must_use]
    pub fn undo(mut self, change: impl FnOnce(&mut Undone)) -> Self {
        change(&mut self.undone);
        self
    }

    /// With a second replica whose list lacks the first backend at the start.
    #[must_use]
    pub fn lacking(mut self) -> Self {
        self.lacks = true;
        self
    }

    /// With a second backend that cannot go on with sessions of the first.
    #[must_use]
    pub fn unlike(mut self) -> Self {
        self.is_unlike = true;
        self
    }
}
