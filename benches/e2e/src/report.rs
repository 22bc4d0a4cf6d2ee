//! The results, as tables and as JSON.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::{
    goals::{self, Verdict},
    machine::Machine,
    measure::{Lane, Sandwich},
    stats::Quartiles,
    table::Table,
};

/// All results of one run; written again after each part, so that an interruption loses nothing.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// How long a turn was.
    seconds: f64,
    rows: Vec<Row>,
    goals: Vec<Verdict>,
    skipped: BTreeMap<&'static str, String>,
    #[serde(skip)]
    shown: usize,
    #[serde(skip)]
    json: Option<PathBuf>,
}

/// One case under one load.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) measure: &'static str,
    pub(crate) load: String,
    pub(crate) case: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: Option<Quartiles>,
    /// Over the base of the same round.
    pub(crate) over_base: Option<Quartiles>,
    /// The median of that, over the control's.
    pub(crate) corrected: Option<f64>,
    /// Medians.
    pub(crate) notes: BTreeMap<&'static str, f64>,
    pub(crate) fault: Option<String>,
    /// One for each round; what contenders are compared with each other by.
    #[serde(skip)]
    pub(crate) ratios: Vec<f64>,
}

impl Report {
    pub(crate) fn new(machine: Machine, seconds: f64, json: Option<PathBuf>) -> Self {
        let (rows, goals, skipped) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { machine, seconds, rows, goals, skipped, shown: 0, json }
    }

    /// Notes who does not take part, and why.
    pub(crate) fn skip(&mut self, name: &'static str, why: &str) {
        eprintln!("{name} is skipped: {why}");
        self.skipped.insert(name, why.to_owned());
    }

    /// Adds what a sandwich gave.
    pub(crate) fn add(&mut self, measure: &'static str, load: &str, sandwich: &Sandwich) {
        let control = sandwich.lanes.iter().find(|lane| lane.name == "control");
        let control = control.and_then(|lane| Quartiles::of(&lane.ratios));
        let lanes = [&sandwich.base].into_iter().chain(&sandwich.lanes);
        self.rows.extend(lanes.map(|lane| Row::of(measure, load, lane, control)));
    }

    pub(crate) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Prints the rows that are new, and writes all.
    pub(crate) fn show(&mut self) -> io::Result<()> {
        println!("{}", Table(self.rows.get(self.shown..).unwrap_or_default()));
        self.shown = self.rows.len();
        self.goals = goals::judge(&self.rows);
        self.save()
    }

    /// Prints what became of the goals; whether no case answered wrong.
    pub(crate) fn conclude(&self) -> bool {
        println!();
        for verdict in &self.goals {
            println!("{}", verdict.line());
        }
        for (name, why) in &self.skipped {
            println!("skipped: {name}: {why}");
        }
        self.rows.iter().all(|row| row.fault.is_none())
    }

    fn save(&self) -> io::Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut json = serde_json::to_value(self)?;
        round(&mut json);
        fs::write(path, serde_json::to_string_pretty(&json)? + "\n")
    }
}

impl Row {
    /// Values that are not costs of turns.
    pub(crate) fn values(
        (measure, load): (&'static str, String),
        case: &'static str,
        unit: &'static str,
        values: &[f64],
    ) -> Self {
        Self {
            measure,
            load,
            case,
            unit,
            value: Quartiles::of(values),
            over_base: None,
            corrected: None,
            notes: BTreeMap::new(),
            fault: None,
            ratios: Vec::new(),
        }
    }

    fn of(measure: &'static str, load: &str, lane: &Lane, control: Option<Quartiles>) -> Self {
        let costs: Vec<_> = lane.samples.iter().map(|sample| sample.cost).collect();
        let names = lane.samples.first().map(|sample| sample.notes.keys().copied());
        let median = |name| {
            let values = lane.samples.iter().filter_map(|sample| sample.notes.get(name));
            Quartiles::of(&values.copied().collect::<Vec<_>>()).map(|all| (name, all.median))
        };
        let over_base = Quartiles::of(&lane.ratios);
        Self {
            measure,
            load: load.to_owned(),
            case: lane.name,
            unit: "us",
            value: Quartiles::of(&costs),
            over_base,
            corrected: over_base.zip(control).map(|(over, control)| over.median / control.median),
            notes: names.into_iter().flatten().filter_map(median).collect(),
            fault: lane.fault.clone(),
            ratios: lane.ratios.clone(),
        }
    }
}

/// Leaves no more digits than there is something in.
fn round(json: &mut Value) {
    match json {
        Value::Number(number) if number.is_f64() => {
            let rounded = number.as_f64().map(|number| (number * 1e4).round() / 1e4);
            *json = rounded.into();
        }
        Value::Array(all) => all.iter_mut().for_each(round),
        Value::Object(all) => all.values_mut().for_each(round),
        _ => {}
    }
}
