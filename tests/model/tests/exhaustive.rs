//! All orders of events, in each configuration.
#![allow(clippy::print_stdout, reason = "the counts are the result")]

use bartizan_model::{Config, Found, Policy, explore};

fn holds(name: &str, config: Config) {
    let Found { states, reached, depth, time, violated } = explore(config);
    println!("{name}: {states} states, {reached} reached, depth {depth}, {time:.1?}");
    for (property, path) in &violated {
        println!("violated: {property}");
        for action in path.clone().into_actions() {
            println!("  {action:?}");
        }
        println!("{:?}", path.last_state());
    }
    assert!(violated.is_empty(), "{name}");
}

#[test]
fn sizes() {
    for policy in [Policy::Fail, Policy::Resume, Policy::Repin] {
        let base = Config::new(policy).allow(|b| b.calls = 1);
        holds(&format!("{policy:?} base"), base);
        let t = base.allow(|b| b.ticks = 3);
        holds(&format!("{policy:?} ticks"), t);
        holds(&format!("{policy:?} crash"), t.allow(|b| b.backend_crashes = 1));
        holds(&format!("{policy:?} refusal"), t.allow(|b| b.refusals = 1));
        holds(&format!("{policy:?} link cut"), t.allow(|b| b.link_cuts = 1));
        holds(&format!("{policy:?} store cut"), t.allow(|b| b.store_cuts = 1));
        holds(&format!("{policy:?} replica crash"), t.allow(|b| b.replica_crashes = 1));
        holds(&format!("{policy:?} list"), t.allow(|b| b.list_changes = 1));
        holds(&format!("{policy:?} lacks"), t.lacking().allow(|b| b.list_changes = 1));
        holds(
            &format!("{policy:?} lost"),
            t.allow(|b| {
                b.lost_answers = 1;
                b.lost_writes = 1;
            }),
        );
        holds(
            &format!("{policy:?} idle"),
            t.allow(|b| {
                b.idles = 1;
                b.sicknesses = 1;
                b.strays = 1;
            }),
        );
    }
}
