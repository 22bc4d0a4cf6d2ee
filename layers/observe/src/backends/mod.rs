//! Requests as backends see them.

mod future;
mod layer;
mod service;
mod slot;
mod table;

pub use future::BackendsFuture;
pub use layer::ObserveBackendsLayer;
pub use service::ObserveBackends;
pub(crate) use table::BackendTable;
