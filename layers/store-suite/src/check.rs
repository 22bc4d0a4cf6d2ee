//! One rule as a check, and the code that runs it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
};

use tokio::runtime::Builder;

use crate::Harness;

type Run<H> = for<'a> fn(&'a H) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// One rule that every store must keep. [`store_suite!`](crate::store_suite) makes a test of each; use this type in
/// your own test programs.
pub struct Check<H> {
    name: &'static str,
    threads: Threads,
    run: Run<H>,
}

/// Where the tasks of a check run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Threads {
    /// On one thread, so that time can be moved.
    One,
    /// On several threads, so that they race.
    Many,
}

impl<H: Harness> Check<H> {
    pub(crate) const fn new(name: &'static str, threads: Threads, run: Run<H>) -> Self {
        Self { name, threads, run }
    }

    /// All rules, in the order of the [crate docs](crate).
    #[must_use]
    pub fn all() -> Vec<Self> {
        crate::__with_checks! { __all }
    }

    /// The name of the rule: words joined by underscores.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the check, in its own tokio runtime.
    ///
    /// # Panics
    ///
    /// If the store breaks the rule.
    pub fn run(&self, harness: &H) {
        let runtime = match self.threads {
            Threads::One => Builder::new_current_thread()
                .start_paused(harness.is_tokio_paused())
                .enable_all()
                .build(),
            Threads::Many => Builder::new_multi_thread().worker_threads(4).enable_all().build(),
        };
        runtime.expect("a runtime").block_on((self.run)(harness));
    }

    #[doc(hidden)]
    pub fn run_named(name: &str, harness: &H) {
        let check = Self::all().into_iter().find(|check| check.name == name);
        check.expect("a check").run(harness);
    }
}

/// Runs all checks, each with its own harness, for a test program without [`store_suite!`](crate::store_suite).
///
/// # Panics
///
/// If the store breaks a rule. All checks run first, and the message names those that failed.
pub fn run_all<H: Harness>(harness: impl Fn() -> H) {
    let failed: Vec<_> = Check::<H>::all()
        .iter()
        .filter(|check| catch_unwind(AssertUnwindSafe(|| check.run(&harness()))).is_err())
        .map(Check::name)
        .collect();
    assert!(failed.is_empty(), "the store breaks these rules: {failed:?}");
}

impl<H> fmt::Debug for Check<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}
