//! Kaplan-Meier (F23).

/// A step of the survival curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Time of the step, in the unit of the observations.
    pub time: f64,
    /// Share that lasts longer.
    pub survival: f64,
}

/// The survival curve (F23) of (time, resolved) pairs; those not resolved are
/// still open at their time, and at a tie count as at risk. Times are numbers.
pub fn kaplan_meier(observations: &[(f64, bool)]) -> Vec<Step> {
    let mut sorted = observations.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut at_risk, mut survival, mut steps) = (sorted.len(), 1.0, Vec::new());
    for same in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let resolved = same.iter().filter(|(_, resolved)| *resolved).count();
        if resolved > 0 {
            survival *= (at_risk - resolved) as f64 / at_risk as f64;
            steps.push(Step { time: same[0].0, survival });
        }
        at_risk -= same.len();
    }
    steps
}

/// The median: the first time at which half or fewer last longer; `None` if more are open.
pub fn median(steps: &[Step]) -> Option<f64> {
    // A product of fractions that is one half may miss it by rounding.
    steps.iter().find(|step| step.survival <= 0.5 + 1e-12).map(|step| step.time)
}

/// The share that lasts longer than a time.
pub fn survival_at(steps: &[Step], time: f64) -> f64 {
    steps.iter().take_while(|step| step.time <= time).last().map_or(1.0, |step| step.survival)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close;

    #[test]
    fn f23_kaplan_meier() {
        let cases = [(20.0, true), (5.0, false), (2.0, true), (12.0, false), (9.0, true), (5.0, true)];
        let steps = kaplan_meier(&cases);
        let expected = [(2.0, 0.8333), (5.0, 0.6667), (9.0, 0.4444), (20.0, 0.0)];
        assert_eq!(steps.len(), expected.len());
        for (step, (time, survival)) in steps.iter().zip(expected) {
            close(step.time, time, 0.0);
            close(step.survival, survival, 5e-5);
        }
        assert_eq!(median(&steps), Some(9.0));
        assert_eq!(median(&kaplan_meier(&[(1.0, false), (2.0, true), (3.0, false), (4.0, false)])), None);
        close(survival_at(&steps, 1.9), 1.0, 0.0);
        close(survival_at(&steps, 8.0), 0.6667, 5e-5);
        close(survival_at(&steps, 9.0), 0.4444, 5e-5);
        close(survival_at(&[], 1.0), 1.0, 0.0);
    }
}
