//! placeholder
mod builder;
mod clock;
mod codec;
mod counts;
mod digest;
mod error;
mod event;
mod link;
mod near;
mod script;
mod shared;
mod status;
mod store;

pub use builder::RedisStoreBuilder;
pub use error::ConfigError;
pub use store::RedisStore;
