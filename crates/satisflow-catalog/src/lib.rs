//! The KPI catalog: YAML to checked definitions, and their SQL expressions,
//! planned once, to the engine's measured inputs.
//!
//! - A KPI is data: no name of one occurs in code.
//! - Expressions are SQL over the columns of accepted events. The same text,
//!   with macros expanded, is what the audit runs.
//! - Every problem is reported with its line, all of them at once.

mod answers;
mod check;
mod evaluate;
mod fingerprint;
mod functions;
mod graphs;
mod index;
mod joins;
mod literals;
mod load;
mod macros;
mod raw;
mod resolved;
mod scales;

pub use answers::ID_SEPARATOR;
pub use evaluate::{EvaluateError, Evaluator, Measured};
pub use functions::fold_label_function;
pub use index::Index;
pub use joins::{FieldKind, Join, JoinField};
pub use macros::ScaleBounds;
pub use raw::RawCatalog;
pub use resolved::{Catalog, Dimension, KeyedBy, Margin, Measure, MetricDefinition, Represented};

/// The catalog that serves when the configuration names none.
pub const CORE: &str = include_str!("../../../catalogs/core/catalog.yaml");

/// JSON Schema (2020-12) of a catalog.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(RawCatalog).to_value()
}

/// Every field of a catalog, its type, default and meaning, as Markdown: docs/catalog-reference.md.
pub fn reference() -> String {
    let head = "# Catalog reference\n\nGenerated from the code. [The KPI catalog](kpi-catalog.md) says what the \
        parts mean together, [the core catalog](../catalogs/core/catalog.yaml) is an example; \
        `satisflow check --catalog FILE` names every mistake with its line.\n";
    satisflow_document::reference(head, &json_schema())
}
