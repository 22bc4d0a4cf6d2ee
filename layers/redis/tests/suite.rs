//! What any session store must do, on a real server, with the near-cache and without.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

mod with_near_cache {
    use super::common::fresh;

    bartizan_testkit::store_suite!(fresh(|builder| builder).await);
}

mod without_near_cache {
    use super::common::fresh;

    bartizan_testkit::store_suite!(fresh(|builder| builder.near_cache(0)).await);
}
