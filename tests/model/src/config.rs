//! The configuration of a run of the model.

use std::str::FromStr;

/// The policy when the backend of a session is lost.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Policy {
    /// The client gets 404: `--on-lost fail`.
    Fail,
    /// The session is opened again on another backend: `--on-lost resume`.
    Resume,
    /// The session goes to another backend, which shares its state: `--on-lost repin`.
    Repin,
}

/// How often each kind of event may happen in a run.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Budget {
    /// Steps of the clock, each as long as the longest gap of a span of refusals. A span of refusals counts after two.
    pub ticks: u8,
    /// Requests of each client, not counting the one that opens the session.
    pub calls: u8,
    /// How many of those are requests to end the session.
    pub deletes: u8,
    /// How many of those a backend answers with a 404 for another reason.
    pub strays: u8,
    /// A backend crashes and loses its memory, or a replica crashes and is started again.
    pub crashes: u8,
    /// A backend refuses connections, and keeps its memory.
    pub refusals: u8,
    /// A backend answers 500 to openings.
    pub sicknesses: u8,
    /// The link of a replica to a backend is cut, or that to the store.
    pub cuts: u8,
    /// An answer of a backend is lost, or a DELETE is late; or an operation of the store takes effect and its answer is
    /// lost.
    pub losses: u8,
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
    /// A backend that was never on a replica's list counts as removed.
    pub unknown_is_gone: bool,
    /// A connect timeout is evidence, as a refusal is.
    pub timeouts_are_evidence: bool,
    /// A loss removes the record even if it has changed since.
    pub remove_without_version: bool,
    /// Two refusals count as a span, whatever happens between them.
    pub blips_are_a_span: bool,
    /// A session ends if two backends in a row forget it.
    pub forgetful_backends_end_it: bool,
    /// A backend that answers 500 to an opening gives a verdict on the session.
    pub sick_openers_end_it: bool,
    /// A connection that breaks after the request was sent is a loss.
    pub resets_are_losses: bool,
    /// A session that a replica opened but does not use is not ended.
    pub losers_stay: bool,
    /// The store replaces a record regardless of its version.
    pub replace_without_version: bool,
    /// The store brings back a record that was removed.
    pub replace_revives: bool,
    /// A session is ended although the store did not accept the mark that it is about to end.
    pub unnoted_end_goes_on: bool,
    /// A replica that does not know a backend answers 503 forever.
    pub unknown_for_ever: bool,
}

/// The configuration of a run of the model.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The policy when a backend is lost.
    pub policy: Policy,
    /// Whether the list of the second replica lacks the first backend at the start.
    pub lacks: bool,
    /// Whether the second backend answers openings differently from the first.
    pub is_unlike: bool,
    /// The budget of events.
    pub budget: Budget,
    /// The fixes that are undone.
    pub undone: Undone,
}

impl Config {
    /// Two clients, two replicas and two backends, without faults.
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

    /// With a second backend that cannot continue sessions of the first.
    #[must_use]
    pub fn unlike(mut self) -> Self {
        self.is_unlike = true;
        self
    }
}

/// The error for an unknown word in a configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownWord(pub String);

/// Words such as `resume lacks ticks=1 crashes=1`: a policy, then what differs from [`Config::new`].
impl FromStr for Config {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let mut config = Self::new(Policy::Fail);
        for word in text.split_whitespace() {
            let unknown = || UnknownWord(word.to_owned());
            let (name, number) = word.split_once('=').unwrap_or((word, "0"));
            let number = number.parse().map_err(|_| unknown())?;
            let budget = &mut config.budget;
            match name {
                "fail" => config.policy = Policy::Fail,
                "resume" => config.policy = Policy::Resume,
                "repin" => config.policy = Policy::Repin,
                "lacks" => config.lacks = true,
                "unlike" => config.is_unlike = true,
                "ticks" => budget.ticks = number,
                "calls" => budget.calls = number,
                "deletes" => budget.deletes = number,
                "strays" => budget.strays = number,
                "crashes" => budget.crashes = number,
                "refusals" => budget.refusals = number,
                "sicknesses" => budget.sicknesses = number,
                "cuts" => budget.cuts = number,
                "losses" => budget.losses = number,
                "list_changes" => budget.list_changes = number,
                "idles" => budget.idles = number,
                _ => return Err(unknown()),
            }
        }
        Ok(config)
    }
}
