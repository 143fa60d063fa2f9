//! Whether something grows no faster than it may.

use crate::measure::Point;
use crate::operations::Law;

/// The exponent of growth: the slope of the line through the points on paper whose axes are both logarithmic, by least
/// squares. 0 is constant, 1 is in proportion.
pub fn exponent(points: &[Point]) -> f64 {
    let logs = points.iter().map(|point| (log(point.n), point.nanos.ln()));
    #[expect(clippy::cast_precision_loss, reason = "a handful of points")]
    let count = points.len() as f64;
    let sums = logs.fold([0.0; 4], |[x, y, xx, xy], (a, b)| {
        [x + a, y + b, xx + a * a, xy + a * b]
    });
    let [x, y, xx, xy] = sums;
    (count * xy - x * y) / (count * xx - x * x)
}

#[expect(clippy::cast_precision_loss, reason = "sizes are small")]
fn log(n: usize) -> f64 {
    (n as f64).ln()
}

impl Law {
    /// In the usual notation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Constant => "O(1)",
            Self::Logarithm => "O(log n)",
            Self::Linear => "O(n)",
        }
    }

    /// By which factor the cost may grow between these two sizes.
    ///
    /// A processor is no machine of constant cost: what fits no cache any more costs one access to memory for each thing
    /// that is touched, which is up to a hundred times one to the nearest cache. So what takes just as many instructions
    /// may take `CACHES` times as long; what scans takes 100,000 times as long over the sizes measured here.
    pub fn allows(self, least: usize, greatest: usize) -> f64 {
        CACHES
            * match self {
                Self::Constant => 1.0,
                Self::Logarithm => log(greatest.max(2)) / log(least.max(2)),
                #[expect(clippy::cast_precision_loss, reason = "sizes are small")]
                Self::Linear => greatest as f64 / least as f64,
            }
    }

    /// Whether these points keep it.
    pub fn holds(self, points: &[Point]) -> bool {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return true;
        };
        last.nanos <= first.nanos * self.allows(first.n, last.n)
    }
}

/// How much dearer the same instructions may be when what they touch lies in no cache.
const CACHES: f64 = 12.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn points(cost: impl Fn(f64) -> f64) -> Vec<Point> {
        let sizes = [10, 1_000, 100_000, 1_000_000];
        let point = |n: usize| Point {
            n,
            nanos: cost(f64::from(u32::try_from(n).unwrap())),
        };
        sizes.map(point).to_vec()
    }

    #[test]
    fn the_exponent_is_that_of_the_power() {
        for power in [0.0, 0.5, 1.0, 2.0] {
            let found = exponent(&points(|n| 7.0 * n.powf(power)));
            assert!((found - power).abs() < 1e-9, "{found} instead of {power}");
        }
    }

    #[test]
    fn what_scans_keeps_no_law_but_that_of_proportion() {
        let scan = points(|n| 10.0 + n);
        assert!(!Law::Constant.holds(&scan) && !Law::Logarithm.holds(&scan));
        assert!(Law::Linear.holds(&scan) && Law::Constant.holds(&points(|_| 5.0)));
    }
}
