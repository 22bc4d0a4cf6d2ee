//! One of two stores, chosen when the program starts.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{
    Answer, Applicant, CountSessions, Inserted, Key, Place, RecordVersion, Replaced, SessionStore,
    StoreError,
};
use crate::{
    BackendId, Principal, Record, Route, Session,
    gauges::{Gauges, Reading},
};

/// One of two stores, so that a program that chooses its store by configuration has one type for
/// both.
///
/// An answer that is available at once stays so, and nothing is boxed.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a value is one or the other")]
pub enum Either<A, B> {
    /// The first store.
    Left(A),
    /// The second store.
    Right(B),
}

pin_project! {
    /// Resolves to the answer of the store that was used.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct EitherAnswer<A, B> {
        #[pin]
        of: Of<A, B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = OfProj]
    enum Of<A, B> {
        Left { #[pin] answer: A },
        Right { #[pin] answer: B },
    }
}

impl<A, B> EitherAnswer<A, B> {
    fn left<V>(answer: Answer<V, A>) -> Answer<V, Self> {
        match answer {
            Answer::Now(value) => Answer::Now(value),
            Answer::Later(answer) => Answer::Later(Self { of: Of::Left { answer } }),
        }
    }

    fn right<V>(answer: Answer<V, B>) -> Answer<V, Self> {
        match answer {
            Answer::Now(value) => Answer::Now(value),
            Answer::Later(answer) => Answer::Later(Self { of: Of::Right { answer } }),
        }
    }
}

impl<A, B> Future for EitherAnswer<A, B>
where
    A: Future,
    B: Future<Output = A::Output>,
{
    type Output = A::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A::Output> {
        match self.project().of.project() {
            OfProj::Left { answer } => answer.poll(cx),
            OfProj::Right { answer } => answer.poll(cx),
        }
    }
}

impl<A: SessionStore, B: SessionStore> SessionStore for Either<A, B> {
    type Get = EitherAnswer<A::Get, B::Get>;
    type Insert = EitherAnswer<A::Insert, B::Insert>;
    type Replace = EitherAnswer<A::Replace, B::Replace>;
    type Remove = EitherAnswer<A::Remove, B::Remove>;
    type RemoveIfUnchanged = EitherAnswer<A::RemoveIfUnchanged, B::RemoveIfUnchanged>;

    #[inline]
    fn get(&self, key: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get> {
        match self {
            Self::Left(store) => EitherAnswer::left(store.get(key)),
            Self::Right(store) => EitherAnswer::right(store.get(key)),
        }
    }

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        match self {
            Self::Left(store) => EitherAnswer::left(store.insert_if_absent(key, record)),
            Self::Right(store) => EitherAnswer::right(store.insert_if_absent(key, record)),
        }
    }

    fn insert_unconfirmed(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        match self {
            Self::Left(store) => EitherAnswer::left(store.insert_unconfirmed(key, record)),
            Self::Right(store) => EitherAnswer::right(store.insert_unconfirmed(key, record)),
        }
    }

    fn take_evicted(&self, route: &Route) -> Option<Session> {
        match self {
            Self::Left(store) => store.take_evicted(route),
            Self::Right(store) => store.take_evicted(route),
        }
    }

    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> Answer<Result<Replaced, StoreError>, Self::Replace> {
        match self {
            Self::Left(store) => EitherAnswer::left(store.replace(key, seen, record)),
            Self::Right(store) => EitherAnswer::right(store.replace(key, seen, record)),
        }
    }

    fn remove(&self, key: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove> {
        match self {
            Self::Left(store) => EitherAnswer::left(store.remove(key)),
            Self::Right(store) => EitherAnswer::right(store.remove(key)),
        }
    }

    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> Answer<Result<bool, StoreError>, Self::RemoveIfUnchanged> {
        match self {
            Self::Left(store) => EitherAnswer::left(store.remove_if_unchanged(key, seen)),
            Self::Right(store) => EitherAnswer::right(store.remove_if_unchanged(key, seen)),
        }
    }

    #[inline]
    fn touch(&self, session: &Session) {
        match self {
            Self::Left(store) => store.touch(session),
            Self::Right(store) => store.touch(session),
        }
    }

    fn has_room(&self, route: &Route, principal: Option<&Principal>) -> bool {
        match self {
            Self::Left(store) => store.has_room(route, principal),
            Self::Right(store) => store.has_room(route, principal),
        }
    }

    fn reserve(&self, applicant: Applicant<'_>) -> Option<Place> {
        match self {
            Self::Left(store) => store.reserve(applicant),
            Self::Right(store) => store.reserve(applicant),
        }
    }

    fn counts_clients(&self) -> bool {
        match self {
            Self::Left(store) => store.counts_clients(),
            Self::Right(store) => store.counts_clients(),
        }
    }

    fn answers(&self) -> bool {
        match self {
            Self::Left(store) => store.answers(),
            Self::Right(store) => store.answers(),
        }
    }
}

impl<A: CountSessions, B: CountSessions> CountSessions for Either<A, B> {
    fn sessions_on(&self, backend: &BackendId) -> usize {
        match self {
            Self::Left(store) => store.sessions_on(backend),
            Self::Right(store) => store.sessions_on(backend),
        }
    }
}

impl<A: Gauges, B: Gauges> Gauges for Either<A, B> {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        match self {
            Self::Left(store) => store.read(out),
            Self::Right(store) => store.read(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Ready, pin::pin, task::Waker};

    use super::{
        super::{NoStore, StoreErrorKind},
        *,
    };

    /// A store that takes a while to find out that its server is unreachable.
    #[derive(Clone)]
    struct Away;

    fn later<V>() -> Answer<Result<V, StoreError>, Ready<Result<V, StoreError>>> {
        Answer::Later(std::future::ready(Err(StoreError::new(StoreErrorKind::Unavailable))))
    }

    impl SessionStore for Away {
        type Get = Ready<Result<Option<Session>, StoreError>>;
        type Insert = Ready<Result<Inserted, StoreError>>;
        type Replace = Ready<Result<Replaced, StoreError>>;
        type Remove = Ready<Result<(), StoreError>>;
        type RemoveIfUnchanged = Ready<Result<bool, StoreError>>;

        fn get(&self, _: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get> {
            later()
        }

        fn insert_if_absent(
            &self,
            _: Key<'_>,
            _: Record,
        ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
            later()
        }

        fn replace(
            &self,
            _: Key<'_>,
            _: RecordVersion,
            _: Record,
        ) -> Answer<Result<Replaced, StoreError>, Self::Replace> {
            later()
        }

        fn remove(&self, _: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove> {
            later()
        }

        fn remove_if_unchanged(
            &self,
            _: Key<'_>,
            _: RecordVersion,
        ) -> Answer<Result<bool, StoreError>, Self::RemoveIfUnchanged> {
            later()
        }

        fn touch(&self, _: &Session) {}

        fn has_room(&self, _: &Route, _: Option<&Principal>) -> bool {
            true
        }

        fn answers(&self) -> bool {
            false
        }
    }

    #[test]
    fn the_chosen_store_answers_at_once_or_later_as_it_does() {
        type Store = Either<NoStore, Away>;
        let (now, route) = (Store::Left(NoStore::default()), Route::default());
        let key = Key::new(&route, None, b"id");
        assert!(matches!(now.get(key), Answer::Now(Ok(None))));
        assert!(now.answers() && !now.has_room(&route, None));

        let away = Store::Right(Away);
        let Answer::Later(answer) = away.get(key) else { panic!("it answers later") };
        let answer = pin!(answer).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Err(error)) = answer else { panic!("it failed") };
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(!away.answers() && away.has_room(&route, None));
    }
}
