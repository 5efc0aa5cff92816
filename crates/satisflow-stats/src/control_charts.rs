//! Control charts: p, u, Laney's p', EWMA, CUSUM.

/// Mean of the range of two normal values, in standard deviations (d2 for n = 2).
const D2: f64 = 1.128;

/// Upper limit of a p-chart (F13) for one subgroup: `p + 3 sqrt(p (1 - p) / n)`.
/// `sigma_z` is 1, or Laney's factor for p'.
pub fn p_chart_upper(mean: f64, n: f64, sigma_z: f64) -> f64 {
    mean + 3.0 * p_sigma(mean, n) * sigma_z
}

fn p_sigma(mean: f64, n: f64) -> f64 {
    (mean * (1.0 - mean) / n).sqrt()
}

/// Upper limit of a u-chart (F13): `u + 3 sqrt(u / exposure)`.
pub fn u_chart_upper(mean: f64, exposure: f64) -> f64 {
    mean + 3.0 * (mean / exposure).sqrt()
}

/// Laney's factor of overdispersion (F13) from the shares and sizes of
/// consecutive subgroups: `mean |dz| / 1.128`; `None` for fewer than two.
pub fn laney_sigma_z(groups: &[(f64, f64)], mean: f64) -> Option<f64> {
    let z: Vec<f64> = groups.iter().map(|(share, n)| (share - mean) / p_sigma(mean, *n)).collect();
    let steps = z.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    (z.len() >= 2).then(|| steps.sum::<f64>() / (z.len() - 1) as f64 / D2)
}

/// The next value of an EWMA (F14): `lambda x + (1 - lambda) z`.
pub fn ewma_next(before: f64, x: f64, lambda: f64) -> f64 {
    lambda * x + (1.0 - lambda) * before
}

/// Half the width between the steady limits of an EWMA (F14): `3 s sqrt(lambda / (2 - lambda))`.
pub fn ewma_half_width(s: f64, lambda: f64) -> f64 {
    3.0 * s * (lambda / (2.0 - lambda)).sqrt()
}

/// The next value of the lower CUSUM (F15), in standard deviations; alarm above `h`.
pub fn cusum_low_next(before: f64, x: f64, mu: f64, sigma: f64, k: f64) -> f64 {
    (before + (mu - x) / sigma - k).max(0.0)
}

/// The next value of the upper CUSUM (F15): the lower one of the mirrored values.
pub fn cusum_high_next(before: f64, x: f64, mu: f64, sigma: f64, k: f64) -> f64 {
    cusum_low_next(before, -x, -mu, sigma, k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close;

    #[test]
    fn f13_p_chart() {
        let mean = 31.0 / 800.0;
        close(mean, 0.03875, 1e-12);
        for (n, upper) in [(200.0, 0.079691), (180.0, 0.081906), (220.0, 0.077786)] {
            close(p_chart_upper(mean, n, 1.0), upper, 5e-7);
        }
    }

    #[test]
    fn f13_u_chart() {
        close(u_chart_upper((12.0 + 9.0 + 15.0) / 3.0, 1.0), 22.392, 5e-4);
    }

    #[test]
    fn f13_laney() {
        let groups = [50.0, 80.0, 40.0, 90.0, 45.0, 85.0].map(|count| (count / 1000.0, 1000.0));
        let sigma_z = laney_sigma_z(&groups, 0.065).unwrap();
        close(sigma_z, 4.6624, 5e-5);
        close(p_chart_upper(0.065, 1000.0, 1.0), 0.0884, 5e-5);
        close(p_chart_upper(0.065, 1000.0, sigma_z), 0.1740, 5e-5);
        assert_eq!(laney_sigma_z(&groups[..1], 0.065), None);
    }

    #[test]
    fn f14_ewma() {
        let half = ewma_half_width(2.0539, 0.3);
        close(50.0 + half, 52.5884, 5e-5);
        close(50.0 - half, 47.4116, 5e-5);
        close(ewma_next(50.0, 60.0, 0.3), 53.0, 1e-12);
    }

    #[test]
    fn f15_cusum() {
        let values = [80.5, 79.8, 78.0, 77.5, 78.2, 77.0];
        let (mut low, mut high) = (0.0, 0.0);
        for (x, expected) in values.into_iter().zip([0.0, 0.0, 0.8333, 2.0, 2.7, 4.2]) {
            low = cusum_low_next(low, x, 80.0, 1.5, 0.5);
            high = cusum_high_next(high, 160.0 - x, 80.0, 1.5, 0.5);
            close(low, expected, 5e-5);
            close(high, expected, 5e-5);
        }
        assert!(low > 4.0, "alarm at the sixth");
    }
}
