//! The demonstration, as a process.

use tokio::time::timeout;

use crate::fixtures::{PATIENCE, command};

#[tokio::test]
async fn the_demonstration_ends_well_and_says_so() {
    let run = command().args(["demo", "--once"]).output();
    let output = timeout(PATIENCE, run).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{log}");
    assert!(text.contains("ok: all 20 sessions counted 1 to 5, each on one backend"), "{text}");
    // All three servers are there, each has sessions, and the calls add up.
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("counter-")).collect();
    let column =
        |row: &str, at: usize| -> u64 { row.split_whitespace().nth(at).unwrap().parse().unwrap() };
    let sum = |at: usize| rows.iter().map(|row| column(row, at)).sum::<u64>();
    assert!(rows.iter().all(|row| column(row, 2) > 0), "{text}");
    assert_eq!((rows.len(), sum(2), sum(3), sum(4)), (3, 20, 100, 0), "{text}");
}
