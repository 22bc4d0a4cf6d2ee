//! Stands for the affinity cookie where the feature for it is off: there are no values of it.
#![allow(dead_code, reason = "none is made")]

use bartizan_core::BackendId;
use http::{Request, Response};

use crate::backends::Backends;

pub(crate) enum Affinity {}

pub(crate) struct Shown {
    pub(crate) backend: Option<BackendId>,
    pub(crate) set: SetCookie,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum SetCookie {}

impl Affinity {
    pub(crate) fn take<B>(&self, _: &Backends, _: &mut Request<B>) -> Option<Shown> {
        match *self {}
    }

    pub(crate) fn set<R>(&self, _: &Backends, _: &BackendId, set: SetCookie, _: &mut Response<R>) {
        match set {}
    }
}

impl SetCookie {
    pub(crate) fn is_due(self) -> bool {
        match self {}
    }
}
