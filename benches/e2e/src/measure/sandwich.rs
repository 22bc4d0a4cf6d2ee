//! Runs in turns: the base, a contender, the base, the next contender, so that other load on the machine affects both.
//! Each run of a contender is compared with the mean of its neighbours.

use std::time::Duration;

use super::{Load, Sample};
use crate::{
    client::{Fault, Sessions},
    contender::Proxy,
};

/// A proxy, its sessions, and what was measured of it.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    proxy: Proxy,
    sessions: Sessions,
    pub(crate) samples: Vec<Sample>,
    /// Costs over those of the base, one for each round; none for the base itself.
    pub(crate) ratios: Vec<f64>,
    /// Why it left.
    pub(crate) fault: Option<String>,
}

/// A base, and what is compared with it.
#[derive(Debug)]
pub(crate) struct Sandwich {
    pub(crate) base: Lane,
    pub(crate) lanes: Vec<Lane>,
}

impl Lane {
    /// A proxy under a name, with so many sessions opened.
    pub(crate) async fn open(
        name: &'static str,
        proxy: Proxy,
        sessions: usize,
    ) -> Result<Self, Fault> {
        let sessions = Sessions::open(proxy.addr, proxy.contender.naming(), sessions).await?;
        Ok(Self { name, proxy, sessions, samples: Vec::new(), ratios: Vec::new(), fault: None })
    }

    async fn run(&mut self, load: Load, duration: Duration) -> Result<f64, Fault> {
        let sample = load.run(&self.proxy, &self.sessions, duration).await?;
        let cost = sample.cost;
        self.samples.push(sample);
        Ok(cost)
    }

    fn clear(&mut self) {
        self.samples.clear();
        self.ratios.clear();
    }
}

impl Sandwich {
    /// Measures again. A contender with a wrong answer is dropped and its fault recorded; the
    /// others stay.
    ///
    /// # Errors
    ///
    /// If the base answers wrong.
    pub(crate) async fn run(
        &mut self,
        load: Load,
        rounds: usize,
        duration: Duration,
    ) -> Result<(), Fault> {
        self.base.clear();
        self.lanes.iter_mut().for_each(Lane::clear);
        let mut before = self.base.run(load, duration).await?;
        for round in 1..=rounds {
            eprintln!("{load}: round {round} of {rounds}");
            for lane in self.lanes.iter_mut().filter(|lane| lane.fault.is_none()) {
                let cost = match lane.run(load, duration).await {
                    Ok(cost) => cost,
                    Err(fault) => {
                        eprintln!("{} leaves: {fault}", lane.name);
                        lane.fault = Some(fault.to_string());
                        continue;
                    }
                };
                let after = self.base.run(load, duration).await?;
                lane.ratios.push(cost / ((before + after) / 2.0));
                before = after;
            }
        }
        Ok(())
    }
}
