//! Helper for the readiness of Tower services.

use std::mem;

/// Takes the instance that was polled ready, and leaves a clone that was not.
///
/// For layers that call the inner service after a wait: the ready instance may hold a permit that its clone does not
/// have ([`tower_service::Service`, "Be careful when
/// cloning"](https://docs.rs/tower-service/latest/tower_service/trait.Service.html#be-careful-when-cloning-inner-services)).
pub fn take_ready<S: Clone>(service: &mut S) -> S {
    let clone = service.clone();
    mem::replace(service, clone)
}
