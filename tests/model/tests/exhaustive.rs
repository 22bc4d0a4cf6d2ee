//! All orders of events in each configuration: no guarantee is broken.
//!
//! Each configuration has two clients with one request each (in addition to the one that opens the session), two
//! replicas, two backends, and one DELETE among the requests. The words name the faults, and how often each may happen.
//!
//! `BARTIZAN_MODEL="resume ticks=1 crashes=2" cargo test -p bartizan-model --test exhaustive -- --ignored --nocapture`
//! explores another one.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "test")]

use bartizan_model::{Config, Found, explore};

fn holds(words: &str) {
    let config = words.parse::<Config>().unwrap();
    let Found { states, reached, depth, time, violated } = explore(config);
    println!("{words}: {states} states, {reached} reached, depth {depth}, {time:.1?}");
    for (property, path) in &violated {
        println!("violated: {property}");
        for action in path.clone().into_actions() {
            println!("  {action:?}");
        }
    }
    assert!(violated.is_empty(), "{words}");
}

#[test]
fn the_client_is_told() {
    holds("fail ticks=3 crashes=1 cuts=1 list_changes=1");
    holds("fail lacks ticks=3 crashes=1 cuts=1 list_changes=1");
    holds("fail ticks=3 refusals=1 losses=1 strays=1 idles=1");
    holds("fail calls=2 ticks=3 crashes=1");
}

#[test]
fn the_session_goes_elsewhere() {
    holds("repin ticks=3 crashes=1 cuts=1 list_changes=1");
    holds("repin lacks ticks=3 crashes=1 cuts=1 list_changes=1");
    holds("repin ticks=3 refusals=1 losses=1 strays=1 idles=1");
}

#[test]
fn the_session_is_resumed() {
    holds("resume ticks=1 crashes=1 cuts=1 list_changes=1");
    holds("resume lacks ticks=1 crashes=1 cuts=1 list_changes=1");
    holds("resume refusals=1 losses=1 strays=1 idles=1");
    holds("resume crashes=1 sicknesses=1 losses=1");
    holds("resume unlike crashes=1 sicknesses=1 losses=1");
    holds("resume calls=2 crashes=1");
}

#[test]
#[ignore = "takes its configuration from the environment"]
fn as_told() {
    let words = std::env::var("BARTIZAN_MODEL").unwrap();
    words.split(',').for_each(holds);
}
