//! A key that outlives its request.

use crate::key::PinKey;

/// A key that outlives its request.
#[derive(Clone)]
pub(crate) struct KeptKey {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) is_clients: bool,
}

impl From<PinKey<'_>> for KeptKey {
    fn from(key: PinKey<'_>) -> Self {
        Self { bytes: key.as_bytes().into(), is_clients: key.is_clients() }
    }
}
