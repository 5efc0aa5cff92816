//! Anchors and partners as bytes, and back. Places are worked out anew, so that no
//! damaged state can name one that is not there.

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use super::{Anchor, Join, Joins, Key, Partner};
use crate::snapshot::{SnapshotError, decode, encode};

#[derive(Serialize)]
struct Written<'a> {
    anchors: Vec<&'a Anchor>,
    partners: Vec<Vec<(u128, &'a [Partner])>>,
}

#[derive(Deserialize)]
struct Read {
    anchors: Vec<Anchor>,
    partners: Vec<Vec<(u128, Vec<Partner>)>>,
}

fn of_keys(keys: &AHashMap<u128, Key>) -> Vec<(u128, &[Partner])> {
    let filled = keys.iter().filter(|(_, held)| !held.partners.is_empty());
    filled.map(|(key, held)| (*key, held.partners.as_slice())).collect()
}

impl Joins {
    /// The state of one measure.
    pub(crate) fn to_frame(&self) -> Result<Vec<u8>, SnapshotError> {
        encode(&Written {
            anchors: self.anchors.iter().flatten().collect(),
            partners: self.keys.iter().map(of_keys).collect(),
        })
    }

    /// The state of [`Joins::to_frame`], of the joins that it was made for.
    pub(crate) fn from_frame(plan: &[Join], frame: &[u8]) -> Result<Joins, SnapshotError> {
        let Read { anchors, partners } = decode(frame)?;
        let fits = |(join, of_keys): (&Join, &Vec<(u128, Vec<Partner>)>)| {
            of_keys.iter().flat_map(|(_, partners)| partners).all(|p| p.values.len() == join.fields.len())
        };
        let fitting = partners.len() == plan.len() && plan.iter().zip(&partners).all(fits);
        if !fitting || anchors.iter().any(|anchor| anchor.keys.len() != plan.len()) {
            return Err(SnapshotError::Foreign);
        }
        let mut joins = Joins::new(plan);
        anchors.into_iter().for_each(|anchor| joins.hold(plan, anchor));
        for (join, (of_join, of_keys)) in plan.iter().zip(partners).enumerate() {
            for (key, partners) in of_keys {
                joins.keys[join].entry(key).or_default().partners = partners;
                joins.settle(of_join, join, key);
            }
        }
        Ok(joins)
    }
}
