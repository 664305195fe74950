//! Heavy-tailed counts.

/// A Lomax (Pareto II) distribution, capped at a maximum: `P(X > x) = (1 + x/scale)^-shape`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    scale: f64,
    shape: f64,
    cap: u64,
}

impl Tail {
    /// The distribution of this shape (over 1) whose mean, after capping at `cap`, is `mean`.
    pub fn with_mean(mean: f64, shape: f64, cap: u64) -> Self {
        // The mean grows with the scale and stays below the cap, so bisection finds the scale.
        let (mut low, mut high) = (0.0, cap as f64 * 1e6 + 1.0);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if (Self { scale: middle, shape, cap }).mean() < mean { low = middle } else { high = middle }
        }
        Self { scale: high, shape, cap }
    }

    /// E[min(X, cap)].
    fn mean(&self) -> f64 {
        let beyond = (1.0 + self.cap as f64 / self.scale).powf(1.0 - self.shape);
        self.scale / (self.shape - 1.0) * (1.0 - beyond)
    }

    /// The value for a uniform number in `0..1`.
    pub fn at(&self, unit: f64) -> u64 {
        let value = self.scale * ((1.0 - unit).powf(-1.0 / self.shape) - 1.0);
        (value.round() as u64).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_what_was_asked_for() {
        for (mean, shape, cap) in [(240.0, 1.5, 3200), (5.0, 1.3, 50), (120.0, 1.3, 1_000_000)] {
            let tail = Tail::with_mean(mean, shape, cap);
            let n = 2_000_000;
            let sum: u64 = (0..n).map(|i| tail.at((f64::from(i) + 0.5) / f64::from(n))).sum();
            let measured = sum as f64 / f64::from(n);
            assert!((measured / mean - 1.0).abs() < 0.1, "{measured} instead of {mean}");
        }
    }

    #[test]
    fn impossible_means_end_at_the_cap_or_at_zero() {
        assert_eq!(Tail::with_mean(500.0, 1.5, 10).at(0.5), 10);
        assert_eq!(Tail::with_mean(0.0, 1.5, 10).at(0.999), 0);
        assert_eq!(Tail::with_mean(5.0, 1.5, 0).at(0.5), 0);
    }
}
