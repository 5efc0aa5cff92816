//! The engine's state as bytes, and back: a cache that may be thrown away.
//!
//! The state comes in frames, so that no more than one lane is held twice. It
//! belongs to one version of the engine; of another plan, what both have is taken up.

use serde::{Deserialize, Serialize};

use crate::adopt::{Names, State};
use crate::definition::Plan;
use crate::engine::Engine;
use crate::filter::IdFilter;
use crate::groups::SeenGroups;
use crate::identity::Identities;
use crate::keyed::Keyed;
use crate::lane::Lane;

/// To be raised whenever the same events would lead to another state.
const ENGINE_VERSION: u32 = 5;

/// Why a state can't be taken up again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It was made by another version, or holds nothing of this catalog.
    #[error("it holds nothing of this catalog, or belongs to another version of the engine")]
    Foreign,
    /// It is not what was written.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl From<postcard::Error> for SnapshotError {
    fn from(error: postcard::Error) -> SnapshotError {
        SnapshotError::Damaged(error.to_string())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    names: Names,
    last_event: Option<i64>,
    newest: Vec<Option<i64>>,
    lanes: usize,
}

impl Engine {
    /// The state in frames. To be taken when every change is published.
    pub fn frames(&self) -> impl Iterator<Item = Result<Vec<u8>, SnapshotError>> {
        let head = Head {
            version: ENGINE_VERSION,
            names: Names::of(&self.plan),
            last_event: self.last_event(),
            newest: self.newest.clone(),
            lanes: self.lanes.len(),
        };
        let joins = self.joins.iter().map(|(measure, joins)| Ok((*measure, joins.to_frame()?)));
        let joins = joins.collect::<Result<Vec<_>, SnapshotError>>().and_then(|joins| encode(&joins));
        let first = [encode(&head), encode(&self.groups().seen()), encode(&self.keyed), joins];
        first.into_iter().chain(self.lanes.iter().map(encode))
    }

    /// An engine with the state of [`Engine::frames`], as far as the plan has
    /// the same definitions; the others are new to it ([`Engine::new_definitions`]).
    ///
    /// # Errors
    /// [`SnapshotError`]; there is no engine then, and it has to be built from the events.
    pub fn from_frames<F>(plan: Plan, mut next: F) -> Result<Engine, SnapshotError>
    where
        F: FnMut() -> Result<Vec<u8>, SnapshotError>,
    {
        let head: Head = decode(&next()?)?;
        if head.version != ENGINE_VERSION {
            return Err(SnapshotError::Foreign);
        }
        let seen = next()?;
        let seen: SeenGroups<'_> = decode(&seen)?;
        let keyed: Vec<Keyed> = decode(&next()?)?;
        let joins: Vec<(usize, Vec<u8>)> = decode(&next()?)?;
        let lanes = (0..head.lanes).map(|_| decode(&next()?)).collect::<Result<Vec<Lane>, _>>()?;
        let Head { names, last_event, newest, .. } = head;
        Engine::adopt(plan, State { names, seen, keyed, joins, lanes, last_event, newest })
            .ok_or(SnapshotError::Foreign)
    }
}

impl Identities {
    /// The state as a frame: of which identities something is known, no more.
    ///
    /// # Errors
    /// When it can't be encoded.
    pub fn frame(&self) -> Result<Vec<u8>, SnapshotError> {
        encode(self.known())
    }

    /// The state of [`Identities::frame`].
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`].
    pub fn from_frame(frame: &[u8], held_max: usize) -> Result<Identities, SnapshotError> {
        let known: IdFilter = decode(frame)?;
        Ok(Identities::knowing(known, held_max))
    }
}

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, SnapshotError> {
    Ok(postcard::to_stdvec(value)?)
}

pub(crate) fn decode<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Result<T, SnapshotError> {
    match postcard::take_from_bytes(frame)? {
        (value, []) => Ok(value),
        (_, rest) => Err(SnapshotError::Damaged(format!("{} bytes too many", rest.len()))),
    }
}

/// A map as its pairs.
pub(crate) mod pairs {
    use std::hash::Hash;

    use ahash::AHashMap;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<K, V, S>(map: &AHashMap<K, V>, serializer: S) -> Result<S::Ok, S::Error>
    where
        K: Serialize,
        V: Serialize,
        S: Serializer,
    {
        serializer.collect_seq(map)
    }

    pub(crate) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<AHashMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Eq + Hash,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Vec::<(K, V)>::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}

/// Blocks of bits as plain bytes: they can't be made smaller, and are many.
pub(crate) mod blocks {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<const N: usize, S: Serializer>(all: &[[u64; N]], serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = all.as_flattened().iter().flat_map(|word| word.to_le_bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }

    pub(crate) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<[u64; N]>, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        let (words, rest) = bytes.as_chunks::<8>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let (blocks, more) = words.as_chunks::<N>();
        if rest.is_empty() && more.is_empty() && !blocks.is_empty() {
            return Ok(blocks.to_vec());
        }
        Err(D::Error::custom("not a whole number of blocks"))
    }
}
