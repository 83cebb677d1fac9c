//! How large may a share be, when `k` of `n` were seen?

/// How sure the bound is.
const SURENESS: f64 = 0.95;

/// One-sided Clopper-Pearson bound: the share below which the true one is with 95 % certainty, when `k` of `n` were
/// seen, independently. `None` when `n` is 0.
#[must_use]
pub fn upper_bound(k: usize, n: usize) -> Option<f64> {
    if n == 0 || k >= n {
        return (n > 0).then_some(1.0);
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if at_most(k, n, middle) > 1.0 - SURENESS { low = middle } else { high = middle }
    }
    Some(high)
}

/// The probability of at most `k` of `n` when each has probability `p`, which is inside 0 to 1.
fn at_most(k: usize, n: usize, p: f64) -> f64 {
    let odds = p.ln() - (-p).ln_1p();
    let mut log_term = to_f64(n) * (-p).ln_1p();
    let mut sum = log_term.exp();
    for i in 0..k {
        log_term += to_f64(n - i).ln() - to_f64(i + 1).ln() + odds;
        sum += log_term.exp();
    }
    sum
}

#[expect(clippy::cast_precision_loss, reason = "counts of pictures are far below 2^53")]
fn to_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Option<f64>, expected: f64) {
        let found = found.unwrap_or(f64::NAN);
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn the_upper_bound_is_that_of_clopper_and_pearson() {
        // 1 - 0.05^(1/n) for none; the others are the 95 % points of beta(k + 1, n - k), from SciPy 1.17.
        near(upper_bound(0, 100), 0.029_513_0);
        near(upper_bound(0, 2568), 0.001_165_9);
        near(upper_bound(1, 10), 0.394_163_3);
        near(upper_bound(12, 4000), 0.004_856_1);
        assert_eq!((upper_bound(5, 5), upper_bound(0, 0)), (Some(1.0), None));
    }
}
