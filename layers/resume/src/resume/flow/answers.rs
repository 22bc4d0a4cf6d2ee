//! The combined answers of the backends that were asked to continue a session. Pure.

use std::{num::NonZeroU8, ops::ControlFlow};

use bartizan_core::Reason;

use crate::replay::opened::Unfit;

/// The answers so far.
#[derive(Debug)]
pub struct Answers {
    attempts: u32,
    silent: u32,
    unfit: Option<Unfit>,
}

impl Answers {
    /// The state before the first backend is asked; up to `attempts` backends may fail to answer.
    #[must_use]
    pub fn new(attempts: NonZeroU8) -> Self {
        Self { attempts: attempts.get().into(), silent: 0, unfit: None }
    }

    /// How many may still fail to answer; at least one.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.attempts.saturating_sub(self.silent).max(1)
    }

    /// Adds an answer. Returns whether to ask the next backend, or the overall result.
    pub fn add(&mut self, failed: Unfit) -> ControlFlow<Unfit> {
        self.unfit = Some(match (failed, self.unfit.take()) {
            // Another backend would get the same credentials.
            (denied @ Unfit::Denied(_), _) => return ControlFlow::Break(denied),
            // There is no other backend, so the earlier answers decide.
            (Unfit::NoAnswer(Reason::NoBackend), Some(before)) => {
                return ControlFlow::Break(before);
            }
            (Unfit::NoAnswer(reason), _) => {
                self.silent += 1;
                if self.silent >= self.attempts {
                    return ControlFlow::Break(Unfit::NoAnswer(reason));
                }
                Unfit::NoAnswer(reason)
            }
            // A backend that could not answer may continue the session later.
            (Unfit::Other, Some(silent @ Unfit::NoAnswer(_))) => silent,
            (Unfit::Other, _) => Unfit::Other,
        });
        ControlFlow::Continue(())
    }

    /// No more backends are asked, although there may be others.
    #[must_use]
    pub fn end(self) -> Unfit {
        match self.unfit {
            // Only the layer below knows whether all have been asked.
            Some(Unfit::Other) | None => Unfit::NoAnswer(Reason::BackendUnreachable),
            Some(unfit) => unfit,
        }
    }
}

/// Why a request is refused whose session may be resumed later.
#[must_use]
pub const fn unavailable(reason: Reason) -> Reason {
    match reason {
        Reason::NoBackend | Reason::StoreUnavailable => reason,
        _ => Reason::BackendUnreachable,
    }
}

/// Why a request is refused if its session was lost again wherever it was resumed. A backend that forgets what it has
/// just opened says nothing about the session, and another backend may be healthy.
pub const FORGOTTEN: Reason = Reason::BackendUnreachable;

#[cfg(test)]
mod tests {
    use super::*;

    /// The overall result, or `None` while more backends are asked.
    fn told(answers: &[Unfit]) -> Option<Unfit> {
        let mut all = Answers::new(NonZeroU8::new(2).unwrap());
        answers.iter().find_map(|answer| all.add(answer.clone()).break_value())
    }

    const SILENT: Unfit = Unfit::NoAnswer(Reason::BackendUnreachable);
    const NO_OTHER: Unfit = Unfit::NoAnswer(Reason::NoBackend);

    #[test]
    fn a_session_ends_only_if_all_have_answered_and_answered_so() {
        assert!(matches!(told(&[Unfit::Other, NO_OTHER]), Some(Unfit::Other)));
        assert!(matches!(told(&[Unfit::Other, Unfit::Other, NO_OTHER]), Some(Unfit::Other)));
        for answers in [&[Unfit::Other, SILENT, NO_OTHER][..], &[SILENT, Unfit::Other, NO_OTHER]] {
            let told = told(answers);
            assert!(matches!(told, Some(Unfit::NoAnswer(Reason::BackendUnreachable))), "{told:?}");
        }
        assert!(matches!(told(&[NO_OTHER, NO_OTHER]), Some(Unfit::NoAnswer(_))));
        assert!(told(&[Unfit::Other]).is_none(), "the next is asked");
    }

    #[test]
    fn no_more_are_asked_after_as_many_without_an_answer() {
        assert!(told(&[SILENT]).is_none());
        assert!(matches!(told(&[SILENT, SILENT]), Some(Unfit::NoAnswer(_))));
        let mut all = Answers::new(NonZeroU8::MIN);
        assert_eq!(all.left(), 1);
        assert!(all.add(Unfit::Other).is_continue());
        assert!(matches!(all.end(), Unfit::NoAnswer(_)), "there may be others");
    }
}
