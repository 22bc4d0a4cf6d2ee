//! The two features of the crate share a third module, and do not depend on each other.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{fs, path::Path};

/// The lines of code in `room` that name one of `others`, by its path or through `super`.
fn names(room: &Path, others: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(room).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(names(&path, others));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        // Everything that lib.rs exports also has a path through its module.
        let is_named = |line: &&str| {
            let names = |other: &&str| {
                line.contains(&format!("crate::{other}::"))
                    || line.contains(&format!("super::{other}::"))
            };
            others.iter().any(names) || line.contains("crate::{") || line.contains("crate::Re")
        };
        found.extend(code.filter(is_named).map(|line| format!("{}: {line}", path.display())));
    }
    found
}

#[test]
fn resume_and_split_do_not_know_each_other_and_replay_knows_neither() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let empty: [String; 0] = [];
    for (room, others) in
        [("replay", &["resume", "split"][..]), ("resume", &["split"]), ("split", &["resume"])]
    {
        assert_eq!(names(&source.join(room), others), empty, "{room}");
    }
}
