//! Driver graphs that hold: which causes are behind which results, and by what share.

use std::collections::BTreeMap;

use crate::literals::text;

/// Shares of what is driven, 6 decimals, by driver.
pub(crate) type Shares = BTreeMap<String, i64>;

/// Graphs by name.
pub(crate) type Graphs = BTreeMap<String, Graph>;

/// A graph without cycles; one with problems has nothing in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Graph {
    /// How far each name is from the results at most: 0 for a result, which drives nothing.
    pub(crate) layers: BTreeMap<String, u32>,
    /// Of what is driven, what each of its drivers makes of it, straight or through others.
    pub(crate) shares: BTreeMap<String, Shares>,
}

impl Graph {
    /// SQL of the layer of a name that an expression gives.
    pub(crate) fn layer_sql(&self, of: &str) -> String {
        cases(of, "BIGINT", self.layers.iter().map(|(name, layer)| (name, layer.to_string())))
    }

    /// SQL of the share of `driven` that the name that an expression gives has in it.
    pub(crate) fn share_sql(&self, driven: &str, of: &str) -> String {
        let shares = self.shares.get(driven).into_iter().flatten();
        cases(of, "DECIMAL(18,6)", shares.map(|(name, share)| (name, decimal(*share))))
    }
}

fn decimal(millionths: i64) -> String {
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}

fn cases<'a>(of: &str, kind: &str, each: impl Iterator<Item = (&'a String, String)>) -> String {
    let whens: String =
        each.map(|(name, value)| format!(" WHEN {} THEN CAST('{value}' AS {kind})", text(name))).collect();
    match whens.is_empty() {
        true => format!("CAST(NULL AS {kind})"),
        false => format!("(CASE ({of}){whens} END)"),
    }
}
