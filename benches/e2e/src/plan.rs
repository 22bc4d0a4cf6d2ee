//! The measurements, and their order.

use std::{error::Error, io, time::Duration};

use crate::{
    cli::{Command, Options},
    client::Pace,
    contender::{Backends, Contender, Programs, Proxy},
    machine::Machine,
    measure::{Figure, Lane, Load, Sandwich, Strays, check},
    process::{LOAD_CPU, open_files, pin_self},
    report::{Report, Row},
    stats::Quartiles,
};

type Failure = Box<dyn Error + Send + Sync>;

/// A run: the available contenders, and the measurements.
#[derive(Debug)]
pub(crate) struct Plan {
    options: Options,
    contenders: Vec<Contender>,
    programs: Programs,
    report: Report,
}

impl Plan {
    /// Builds the programs, and takes a CPU.
    pub(crate) fn new(options: Options) -> io::Result<Self> {
        if !Machine::has_two_cpus() {
            return Err(io::Error::other("needs a CPU for the proxy and one for the rest"));
        }
        let mut contenders = Contender::chosen(&options.only);
        let programs = Programs::build(&contenders, options.envoy.clone(), options.before.clone())?;
        pin_self(LOAD_CPU)?;
        let mut report =
            Report::new(Machine::here(&programs), options.seconds, options.json.clone());
        contenders.retain(|&contender| match programs.path(contender) {
            Ok(_) => true,
            Err(missing) => {
                report.skip(contender.name(), &missing.to_string());
                false
            }
        });
        Ok(Self { options, contenders, programs, report })
    }

    /// Does what the command says, or all; whether every answer was right.
    pub(crate) async fn run(&mut self, command: Option<Command>) -> Result<bool, Failure> {
        match command {
            Some(Command::Stickiness) => self.stickiness().await?,
            Some(Command::Cpu) => self.cpu().await?,
            Some(Command::Events) => self.events().await?,
            Some(Command::Sessions) => self.sessions().await?,
            Some(Command::Memory) => self.memory().await?,
            Some(Command::Backends { .. }) => {}
            None => {
                self.stickiness().await?;
                self.memory().await?;
                self.events().await?;
                self.sessions().await?;
                self.cpu().await?;
            }
        }
        Ok(self.report.conclude())
    }

    /// Every contender keeps every session, and a plain balancer is found out.
    async fn stickiness(&mut self) -> Result<(), Failure> {
        let backends = Backends::start()?;
        let mut contenders = self.contenders.clone();
        if !contenders.contains(&Contender::RoundRobin) {
            match self.programs.path(Contender::RoundRobin) {
                Ok(_) => contenders.push(Contender::RoundRobin),
                Err(missing) => {
                    self.report.skip(Contender::RoundRobin.name(), &missing.to_string());
                }
            }
        }
        for contender in contenders {
            let proxy = Proxy::start(contender, &self.programs, &backends).await?;
            let strays = check(&proxy).await.map_err(|fault| format!("{contender}: {fault}"))?;
            let Strays { strays, calls } = strays;
            let what = ("stickiness", format!("{calls} calls"));
            let unit = "answered by another backend";
            let is_right = (contender == Contender::RoundRobin) == (strays > 0);
            self.report.push(Row {
                fault: (!is_right).then(|| "not as it must be".to_owned()),
                ..Row::values(what, contender.name(), unit, &[strays as f64])
            });
        }
        Ok(self.report.show()?)
    }

    async fn cpu(&mut self) -> Result<(), Failure> {
        let backends = Backends::start()?;
        let mut sandwich = self.sandwich(&backends, self.options.open).await?;
        let closed = |&connections: &usize| Load::Calls { connections, pace: Pace::Closed };
        let mut loads: Vec<_> = self.options.conns.iter().map(closed).collect();
        if self.options.rate > 0 {
            let pace = Pace::Open { rate: self.options.rate };
            loads.push(Load::Calls { connections: 32, pace });
        }
        for load in loads {
            self.turns("cpu", load, &mut sandwich).await?;
        }
        Ok(())
    }

    async fn events(&mut self) -> Result<(), Failure> {
        let backends = Backends::start()?;
        let mut sandwich = self.sandwich(&backends, 100).await?;
        self.turns("events", Load::Events { streams: 100, every: 10 }, &mut sandwich).await
    }

    /// The gateway with few sessions, and the same with many.
    async fn sessions(&mut self) -> Result<(), Failure> {
        let backends = Backends::start()?;
        let gateway = async || Proxy::start(Contender::Gateway, &self.programs, &backends).await;
        let base = Lane::open("1000", gateway().await?, 1_000).await?;
        let control = Lane::open("control", gateway().await?, 1_000).await?;
        let many = Lane::open("1000000", gateway().await?, 1_000_000).await?;
        let mut sandwich = Sandwich { base, lanes: vec![control, many] };
        let load = Load::Calls { connections: 32, pace: Pace::Closed };
        self.turns("sessions", load, &mut sandwich).await
    }

    async fn memory(&mut self) -> Result<(), Failure> {
        // In a proxy, each client connection may need another one to a backend.
        let connections = 9_000.min((open_files().saturating_sub(1_000)) / 2);
        let figures = [
            Figure::Fresh,
            Figure::Connections(connections),
            Figure::Streams(1_000),
            Figure::Ended(1_000),
            Figure::Sessions(100_000),
            Figure::Sessions(1_000_000),
        ];
        let contenders: Vec<_> = [Contender::Floor]
            .into_iter()
            .chain(self.contenders.iter().copied().filter(|&one| one != Contender::Control))
            .collect();
        for figure in figures {
            let mut floor = None;
            for &contender in &contenders {
                let (values, fault) = self.resident(figure, contender).await?;
                let what = ("memory", figure.to_string());
                let row = Row::values(what, contender.name(), "bytes", &values);
                floor = floor.or(row.value);
                // The floor has no sessions to remember, and what has ended should be nothing: no ratio.
                let floor =
                    floor.filter(|_| !matches!(figure, Figure::Sessions(_) | Figure::Ended(_)));
                let over =
                    |floor: Quartiles| values.iter().map(|value| value / floor.median).collect();
                let ratios: Vec<_> = floor.map_or_else(Vec::new, over);
                self.report.push(Row { over_base: Quartiles::of(&ratios), fault, ratios, ..row });
            }
            self.report.show()?;
        }
        Ok(())
    }

    /// A figure of fresh processes, and why one of them answered wrong.
    async fn resident(
        &self,
        figure: Figure,
        contender: Contender,
    ) -> Result<(Vec<f64>, Option<String>), Failure> {
        let (mut values, mut fault) = (Vec::new(), None);
        for repeat in 1..=self.options.repeats {
            eprintln!("{figure}: {contender}, {repeat} of {}", self.options.repeats);
            let backends = Backends::start()?;
            let proxy = Proxy::start(contender, &self.programs, &backends).await?;
            match figure.measure(&proxy).await {
                Ok(value) => values.push(value),
                Err(error) => fault = Some(error.to_string()),
            }
        }
        Ok((values, fault))
    }

    async fn turns(
        &mut self,
        measure: &'static str,
        load: Load,
        sandwich: &mut Sandwich,
    ) -> Result<(), Failure> {
        let seconds = Duration::from_secs_f64(self.options.seconds);
        sandwich.run(load, self.options.rounds, seconds).await?;
        self.report.add(measure, &load.to_string(), sandwich);
        Ok(self.report.show()?)
    }

    /// The floor, and all that take part.
    async fn sandwich(&self, backends: &Backends, sessions: usize) -> Result<Sandwich, Failure> {
        let open = async |contender: Contender| {
            let proxy = Proxy::start(contender, &self.programs, backends).await?;
            Ok::<_, Failure>(Lane::open(contender.name(), proxy, sessions).await?)
        };
        let base = open(Contender::Floor).await?;
        let mut lanes = Vec::new();
        for &contender in &self.contenders {
            lanes.push(open(contender).await?);
        }
        Ok(Sandwich { base, lanes })
    }
}
