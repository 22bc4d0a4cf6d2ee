//! Medians and quartiles.

use serde::Serialize;

/// Where the middle of some values is, and the half around it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quartiles {
    pub(crate) median: f64,
    pub(crate) q1: f64,
    pub(crate) q3: f64,
    pub(crate) n: usize,
}

impl Quartiles {
    /// Of one value at least.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share| quantile(&sorted, share);
        Some(Self { median: at(0.5)?, q1: at(0.25)?, q3: at(0.75)?, n: sorted.len() })
    }

    /// How far the median may be off that of more values of this spread.
    pub(crate) fn noise(self) -> f64 {
        1.9 * (self.q3 - self.q1) / 2.0 / (self.n as f64).sqrt()
    }
}

/// Between the two values that are next to it, where it is none of them.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let at = share * (sorted.len().checked_sub(1)? as f64);
    let below = sorted.get(at.floor() as usize)?;
    let above = sorted.get(at.ceil() as usize)?;
    Some(below + (above - below) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_middle_half() {
        let all = Quartiles::of(&[5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!((all.q1, all.median, all.q3, all.n), (2.0, 3.0, 4.0, 5));
        let two = Quartiles::of(&[1.0, 2.0]).unwrap();
        assert_eq!((two.q1, two.median, two.q3), (1.25, 1.5, 1.75));
        assert!(Quartiles::of(&[]).is_none());
    }
}
