//! Requests as clients see them.

mod body;
mod future;
mod layer;
mod service;
mod table;

pub use body::ObservedBody;
pub use future::RequestsFuture;
pub use layer::ObserveRequestsLayer;
pub use service::ObserveRequests;
pub(crate) use table::RequestTable;
