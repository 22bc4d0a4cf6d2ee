//! How many of the requests are recorded.

use std::{fmt, str::FromStr};

use bartizan_core::ConfigError;

/// A share of all requests, from none to all.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Ratio {
    // Of 2^32: `draw` compares it with 32 random bits.
    threshold: u64,
}

const ONE: u64 = 1 << 32;

impl Ratio {
    /// All requests.
    pub const ALL: Self = Self { threshold: ONE };

    /// None: what is recorded is only what a trusted peer asks for.
    pub const NONE: Self = Self { threshold: 0 };

    /// The share `ratio`, from 0.0 to 1.0. A ratio above zero is never rounded to none.
    ///
    /// # Errors
    ///
    /// If it is another number, or not a number.
    pub fn new(ratio: f64) -> Result<Self, ConfigError> {
        if !(0.0..=1.0).contains(&ratio) {
            return Err(ConfigError::new("a ratio must be a number from 0 to 1"));
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "it is from 0 to 2^32"
        )]
        let threshold = (ratio * ONE as f64).ceil() as u64;
        Ok(Self { threshold })
    }

    /// Whether chance chooses a request.
    #[inline]
    pub(crate) fn draw(self) -> bool {
        match self.threshold {
            0 => false,
            ONE => true,
            threshold => u64::from(fastrand::u32(..)) < threshold,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "2^32 is exact")]
    fn get(self) -> f64 {
        self.threshold as f64 / ONE as f64
    }
}

impl FromStr for Ratio {
    type Err = ConfigError;

    /// Reads a decimal number from 0 to 1.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let number =
            text.parse().map_err(|_| ConfigError::new("a ratio must be a number from 0 to 1"))?;
        Self::new(number)
    }
}

impl TryFrom<f64> for Ratio {
    type Error = ConfigError;

    fn try_from(ratio: f64) -> Result<Self, ConfigError> {
        Self::new(ratio)
    }
}

impl fmt::Debug for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ratio({})", self.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shares_are_ratios() {
        for text in ["0", "1", "0.01", "1e-12", "-0"] {
            assert!(text.parse::<Ratio>().is_ok(), "{text}");
        }
        for text in ["", "1.1", "-0.1", "NaN", "inf", "1%", "1/2"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
        assert_eq!(Ratio::new(1.0), Ok(Ratio::ALL));
        assert_eq!(Ratio::new(0.0), Ok(Ratio::NONE));
        assert_ne!(Ratio::new(1e-300), Ok(Ratio::NONE));
    }

    #[test]
    fn chance_keeps_to_the_ratio() {
        fastrand::seed(7);
        let drawn = |ratio: Ratio| (0..100_000).filter(|_| ratio.draw()).count();
        assert_eq!((drawn(Ratio::NONE), drawn(Ratio::ALL)), (0, 100_000));
        let tenth = drawn(Ratio::new(0.1).unwrap());
        assert!((9_500..10_500).contains(&tenth), "{tenth}");
    }
}
