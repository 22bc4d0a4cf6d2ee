//! Undoing a fix brings its defect back: the checker finds a shortest path to a broken guarantee.
#![allow(clippy::expect_used, clippy::print_stdout, clippy::unwrap_used, reason = "test")]

use bartizan_model::{Config, ENDED, EVIDENCE, LEFT, ONCE, ONE, SETTLES, Undone, explore, search};

/// With the fix, no guarantee is broken in the configuration `words`; without it, the checker finds a violation of
/// `property`.
fn comes_back(words: &str, property: &'static str, undo: impl FnOnce(&mut Undone)) {
    let fixed = words.parse::<Config>().unwrap();
    let undone = fixed.undo(undo);
    let found = search(undone, property);
    let way = found.way_to(property);
    println!("{words}: after {} states, \"{property}\" is broken:", found.states);
    let way = way.expect("a way to the defect");
    way.iter().for_each(|action| println!("  {action:?}"));
    let violated = explore(fixed).violated;
    assert!(violated.is_empty(), "with the fix, too");
}

#[test]
fn any_404_ends() {
    comes_back("fail strays=1", EVIDENCE, |undone| undone.any_404_ends = true);
}

#[test]
fn any_404_is_a_loss_and_the_call_is_sent_again() {
    comes_back("resume strays=1", ONCE, |undone| undone.any_404_ends = true);
}

#[test]
fn unknown_is_gone() {
    comes_back("fail lacks", EVIDENCE, |undone| undone.unknown_is_gone = true);
}

#[test]
fn unknown_for_ever() {
    comes_back("fail lacks", SETTLES, |undone| undone.unknown_for_ever = true);
}

#[test]
fn timeouts_are_evidence() {
    comes_back("fail ticks=2 cuts=1", EVIDENCE, |undone| undone.timeouts_are_evidence = true);
}

#[test]
fn blips_are_a_span() {
    comes_back("fail ticks=2 refusals=2", EVIDENCE, |undone| undone.blips_are_a_span = true);
}

#[test]
fn remove_without_version() {
    comes_back("repin crashes=1 list_changes=1", EVIDENCE, |undone| {
        undone.remove_without_version = true;
    });
}

/// The version check alone would keep the record of a session that has moved, so both fixes are
/// undone.
#[test]
fn forgetful_backends_end_it() {
    comes_back("resume deletes=0 crashes=3", EVIDENCE, |undone| {
        undone.forgetful_backends_end_it = true;
        undone.remove_without_version = true;
    });
}

#[test]
fn sick_openers_end_it() {
    comes_back("resume crashes=1 sicknesses=1", EVIDENCE, |undone| {
        undone.sick_openers_end_it = true;
    });
}

#[test]
fn resets_are_losses() {
    comes_back("resume losses=1", ONCE, |undone| undone.resets_are_losses = true);
}

#[test]
fn losers_stay() {
    comes_back("resume crashes=1", LEFT, |undone| undone.losers_stay = true);
}

#[test]
fn replace_without_version() {
    comes_back("resume crashes=1", ONE, |undone| undone.replace_without_version = true);
}

#[test]
fn replace_revives() {
    comes_back("resume crashes=1", ENDED, |undone| undone.replace_revives = true);
}

/// The checker found this one.
#[test]
fn unnoted_end_goes_on() {
    comes_back("resume cuts=1", LEFT, |undone| undone.unnoted_end_goes_on = true);
}
