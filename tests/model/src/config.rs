//! What a run of the model explores.

use std::str::FromStr;

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
    /// A backend crashes and loses its memory, or a replica crashes and is started again.
    pub crashes: u8,
    /// A backend refuses connections, and keeps its memory.
    pub refusals: u8,
    /// A backend answers 500 to whatever opens a session.
    pub sicknesses: u8,
    /// The link of a replica to a backend is cut, or that to the store.
    pub cuts: u8,
    /// An answer of a backend is lost, or a DELETE is late; or the store does what it is asked, and its answer is lost.
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

/// Says which word of a configuration is not known.
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
