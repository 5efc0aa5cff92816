//! Publishing leaves time for scoring: what it costs depends on how late events
//! are, and must not hold up those in time.

use std::time::{Duration, Instant};

/// Of the time that a publication took, so much is left to scoring before the next one.
const REST: u32 = 2;
/// Most that is left.
const REST_MAX: Duration = Duration::from_secs(10);

/// When the next publication may begin.
#[derive(Debug, Default)]
pub(super) struct Pace {
    resting_until: Option<Instant>,
}

impl Pace {
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.resting_until.is_none_or(|until| until <= now)
    }

    pub(super) fn published(&mut self, began: Instant, ended: Instant) {
        let rest = ended.saturating_duration_since(began).saturating_mul(REST).min(REST_MAX);
        self.resting_until = Some(ended + rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_publication_is_followed_by_a_longer_rest_with_an_end() {
        let (began, mut pace) = (Instant::now(), Pace::default());
        let at = |millis: u64| began + Duration::from_millis(millis);
        assert!(pace.is_due(began));
        pace.published(began, at(100));
        assert!(!pace.is_due(at(299)));
        assert!(pace.is_due(at(300)));
        pace.published(began, at(60_000));
        assert!(!pace.is_due(at(69_999)));
        assert!(pace.is_due(at(70_000)));
    }
}
