//! How many file descriptors the process may have, and how many of them are for clients.

/// What the process needs itself: the runtime, listeners, the store, files.
const OWN: usize = 32;

/// How many connections of clients there may be. A call in flight takes another to its backend.
pub(super) fn for_clients() -> usize {
    limit().map_or(usize::MAX, split)
}

fn split(descriptors: usize) -> usize {
    (descriptors.saturating_sub(OWN) / 2).max(1)
}

/// The limit, raised as far as the process may: the lower one is for programs that use `select`.
#[cfg(unix)]
fn limit() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { maximum } else { current };
    limit.and_then(|limit| usize::try_from(limit).ok())
}

#[cfg(not(unix))]
const fn limit() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_two_descriptors_and_the_process_some_of_its_own() {
        for (descriptors, clients) in [(1024, 496), (256, 112), (33, 1), (0, 1)] {
            assert_eq!(split(descriptors), clients, "{descriptors}");
        }
        #[cfg(unix)]
        assert!(for_clients() > 0 && for_clients() < usize::MAX);
    }
}
