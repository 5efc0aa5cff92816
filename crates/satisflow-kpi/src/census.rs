//! Who counts among all accepted events, when they are read anew: a function of the
//! set, found by looking at every arrival before any is counted.

use ahash::{AHashMap, AHashSet};

use crate::batch::Sign;
use crate::filter::IdFilter;
use crate::identity::{Arrival, Identities, Position};

/// What has to be known of all arrivals: which identities come more than once, and
/// which are void. Both are few; of all others a filter says that they came.
#[derive(Debug, Default)]
pub struct Census {
    known: IdFilter,
    /// Identities that came again, or look as if: where they stand first.
    repeated: AHashMap<u128, Option<Position>>,
    void: AHashSet<u128>,
}

impl Census {
    /// First every arrival is noted, in any order.
    pub fn note(&mut self, arrivals: &[Arrival]) {
        for arrival in arrivals {
            if !self.known.note(arrival.identity) {
                self.repeated.insert(arrival.identity, None);
            }
            self.void.extend(arrival.voids.iter().flatten());
        }
    }

    /// Whether every arrival has to be placed too.
    pub fn has_repeated(&self) -> bool {
        !self.repeated.is_empty()
    }

    /// Then, if some are repeated, every arrival is placed, in any order.
    pub fn place(&mut self, arrivals: &[Arrival]) {
        for arrival in arrivals {
            let Some(first) = self.repeated.get_mut(&arrival.identity) else { continue };
            if first.as_ref().is_none_or(|first| arrival.position < *first) {
                *first = Some(arrival.position.clone());
            }
        }
    }

    /// Then each says what it does.
    pub fn signs(&self, arrivals: &[Arrival]) -> Vec<Sign> {
        let counts = |arrival: &Arrival| {
            let first =
                self.repeated.get(&arrival.identity).is_none_or(|first| first.as_ref() == Some(&arrival.position));
            first && !self.void.contains(&arrival.identity)
        };
        arrivals.iter().map(|arrival| if counts(arrival) { Sign::Count } else { Sign::Touch }).collect()
    }

    /// What further arrivals are resolved by, see [`Identities::new`].
    pub fn into_identities(mut self, held_max: usize) -> Identities {
        for identity in self.void {
            self.known.note(identity);
        }
        Identities::knowing(self.known, held_max)
    }
}
