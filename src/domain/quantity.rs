//! Kubernetes quantities: the numbers of `resources`, allocatable and volume sizes.
//!
//! This file owns how such a number is read, compared and written. The grammar and the rounding are those of
//! `k8s.io/apimachinery/pkg/api/resource`: what is finer than a nano rounds away from zero, and so do [`Quantity::millis`] and
//! [`Quantity::value`]. Unlike there, a number that does not fit (magnitude above 2^63-1) is an error and is not capped.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nanos in one unit.
const UNIT: i128 = 1_000_000_000;
/// Nanos in a thousandth of a unit.
const MILLI: i128 = 1_000_000;
/// The largest magnitude that Kubernetes can hold, in nanos.
const LARGEST: i128 = i64::MAX as i128 * UNIT;
/// Fraction digits that are kept. With 19 digits in front of the point (2^63-1 has 19) the sum still fits an `i128`; any
/// digit behind them only decides whether the last nano is rounded up.
const FRACTION_DIGITS: usize = 18;

/// Suffix, and what it multiplies by as (power of two, power of ten).
const SUFFIXES: [(&str, u32, i32); 16] = [
    ("Ki", 10, 0),
    ("Mi", 20, 0),
    ("Gi", 30, 0),
    ("Ti", 40, 0),
    ("Pi", 50, 0),
    ("Ei", 60, 0),
    ("n", 0, -9),
    ("u", 0, -6),
    ("m", 0, -3),
    ("", 0, 0),
    ("k", 0, 3),
    ("M", 0, 6),
    ("G", 0, 9),
    ("T", 0, 12),
    ("P", 0, 15),
    ("E", 0, 18),
];

/// An exact amount of a resource, in billionths of its unit (cores, bytes, pieces). Never above 2^63-1 units in magnitude.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i128);

/// Why a text is not a [`Quantity`]. The text itself is part of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuantityError {
    /// Not of the form number and suffix.
    Garbage(String),
    /// A number, but more than 2^63-1 units.
    TooLarge(String),
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Garbage(text) => write!(
                f,
                "{text:?} is not a quantity (a number, then nothing or one of n u m k M G T P E Ki Mi Gi Ti Pi Ei, or an exponent such as e3)"
            ),
            Self::TooLarge(text) => write!(f, "{text:?} is too large for a quantity (at most 2^63-1)"),
        }
    }
}

impl std::error::Error for QuantityError {}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// That many whole units: bytes, cores, pieces.
    #[must_use]
    pub const fn from_value(units: i64) -> Self {
        Self(units as i128 * UNIT)
    }

    /// Thousandths of a unit, rounded away from zero, as Kubernetes counts cpu.
    #[must_use]
    pub const fn millis(self) -> i128 {
        divide_away_from_zero(self.0, MILLI)
    }

    /// Whole units, rounded away from zero, as Kubernetes counts bytes and pieces. Always fits an `i64`.
    #[must_use]
    pub const fn value(self) -> i128 {
        divide_away_from_zero(self.0, UNIT)
    }

    /// This and that many thousandths of a unit more, at most the largest quantity there is.
    #[must_use]
    pub fn plus_millis(self, thousandths: i128) -> Self {
        let most = i128::from(i64::MAX) * UNIT;
        Self(self.0.saturating_add(thousandths.saturating_mul(MILLI)).min(most))
    }

    /// Whether this is exactly nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether this is more than nothing.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let garbage = || QuantityError::Garbage(text.to_owned());
        let too_large = || QuantityError::TooLarge(text.to_owned());
        let number = Number::split(text).ok_or_else(garbage)?;
        let (twos, tens) = scale(number.suffix).ok_or_else(garbage)?;
        let nanos = number.nanos(twos, tens).filter(|nanos| *nanos <= LARGEST).ok_or_else(too_large)?;
        Ok(Self(if number.negative { -nanos } else { nanos }))
    }
}

/// A text cut into its parts, nothing computed yet.
struct Number<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Number<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, rest) = digits(rest);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        Some(Self { negative, whole, fraction, suffix })
    }

    /// The magnitude in nanos, or `None` when it does not fit.
    fn nanos(&self, twos: u32, tens: i32) -> Option<i128> {
        let kept = self.fraction.bytes().take(FRACTION_DIGITS);
        let finer = self.fraction.bytes().skip(FRACTION_DIGITS).any(|digit| digit != b'0');
        let fraction_digits = i32::try_from(self.fraction.len().min(FRACTION_DIGITS)).ok()?;
        let mut all: i128 = 0;
        for digit in self.whole.bytes().chain(kept) {
            all = all.checked_mul(10)?.checked_add(i128::from(digit.checked_sub(b'0')?))?;
        }
        if all == 0 {
            return Some(i128::from(finer));
        }
        let scaled = all.checked_mul(1_i128.checked_shl(twos)?)?;
        let power = tens.checked_add(9)?.checked_sub(fraction_digits)?;
        let nanos = match 10_i128.checked_pow(power.unsigned_abs()) {
            Some(factor) if power >= 0 => scaled.checked_mul(factor)?,
            Some(factor) => divide_away_from_zero(scaled, factor),
            None if power >= 0 => return None,
            None => 1,
        };
        // Digits that were not kept only matter when what was kept came out exact, and then they are less than a nano.
        let exact = power >= 0 || 10_i128.checked_pow(power.unsigned_abs()).is_some_and(|factor| scaled % factor == 0);
        nanos.checked_add(i128::from(finer && exact))
    }
}

/// Leading ASCII digits, and what follows them.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// What a suffix multiplies by: (power of two, power of ten). `None` for a suffix that does not exist.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    if let Some((_, twos, tens)) = SUFFIXES.iter().find(|(name, ..)| *name == suffix) {
        return Some((*twos, *tens));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // An exponent too long for an i32 is as good as the largest: the number is too large, zero, or a single nano.
    let beyond = if exponent.starts_with('-') { -1_000_000 } else { 1_000_000 };
    Some((0, exponent.parse().unwrap_or(beyond)))
}

const fn divide_away_from_zero(number: i128, by: i128) -> i128 {
    let quotient = number / by;
    if number % by == 0 { quotient } else { quotient + number.signum() }
}

/// The shortest exact form, such as `8Gi`, `1500m`, `2`. Reading it back gives the same quantity.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0");
        }
        let mut best: Option<(i128, &str)> = None;
        for (suffix, twos, tens) in SUFFIXES {
            let step = 10_i128.checked_pow((tens + 9).unsigned_abs()).and_then(|step| step.checked_mul(1 << twos));
            let Some(step) = step.filter(|step| self.0 % step == 0) else { continue };
            let count = self.0 / step;
            // Fewest digits wins; of two with as many digits the one without a suffix, then the binary one.
            let rank = |count: i128, suffix: &str| count.unsigned_abs().to_string().len() + suffix.len();
            if best.is_none_or(|(other, name)| rank(count, suffix) < rank(other, name)) {
                best = Some((count, suffix));
            }
        }
        let (count, suffix) = best.unwrap_or((self.0, "n"));
        write!(f, "{count}{suffix}")
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuantityVisitor)
    }
}

/// Takes a text, or a bare number as YAML's `cpu: 1` gives it.
struct QuantityVisitor;

impl Visitor<'_> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity such as 4, 500m or 8Gi")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
        self.visit_str(&number.to_string())
    }
}

#[cfg(test)]
mod tests;
