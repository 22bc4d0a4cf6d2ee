//! Rows for people to read.

use std::fmt;

use crate::{report::Row, stats::Quartiles};

/// Rows, those of one load under one heading.
#[derive(Debug)]
pub(crate) struct Table<'a>(pub(crate) &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rows in self.0.chunk_by(|one, next| one.load == next.load) {
            if let Some(first) = rows.first() {
                heading(first, f)?;
            }
            for row in rows {
                line(row, f)?;
            }
        }
        Ok(())
    }
}

fn heading(row: &Row, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Row { measure, load, unit, .. } = row;
    writeln!(f, "\n{measure}, {load}")?;
    write!(f, "{:18} {unit:>34} {:>26} {:>9}", "", "over base", "corrected")?;
    for name in row.notes.keys() {
        write!(f, " {name:>15}")?;
    }
    writeln!(f)
}

fn line(row: &Row, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // A fraction of a byte is nothing.
    let digits = if row.unit == "bytes" { 0 } else { 2 };
    let value = row.value.map(|value| quartiles(value, digits)).unwrap_or_default();
    let over = row.over_base.map(|over| quartiles(over, 3)).unwrap_or_default();
    let corrected = row.corrected.map(|corrected| format!("{corrected:.3}")).unwrap_or_default();
    write!(f, "{:18} {value:>34} {over:>26} {corrected:>9}", row.case)?;
    for value in row.notes.values() {
        write!(f, " {value:>15.2}")?;
    }
    if let Some(fault) = &row.fault {
        write!(f, "  FAILED: {fault}")?;
    }
    writeln!(f)
}

fn quartiles(Quartiles { median, q1, q3, .. }: Quartiles, digits: usize) -> String {
    format!("{median:.digits$} [{q1:.digits$} to {q3:.digits$}]")
}
