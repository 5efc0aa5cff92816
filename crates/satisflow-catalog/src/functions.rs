//! `fold_label(text)`: the one function that catalogs have beside those of SQL.
//!
//! It is the definition of what labels are the same, so the engine, the audit
//! and clients run this one.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use satisflow_model::fold_label;

/// Its name.
pub(crate) const FOLD_LABEL: &str = "fold_label";

/// `fold_label(text)`, for a session in which expressions of a catalog run.
pub fn fold_label_function() -> ScalarUDF {
    let run = |arguments: &[ColumnarValue]| match arguments {
        [ColumnarValue::Scalar(ScalarValue::Utf8(text))] => {
            Ok(ColumnarValue::Scalar(ScalarValue::Utf8(text.as_deref().map(fold_label))))
        }
        arguments => folded(arguments).map(ColumnarValue::Array),
    };
    create_udf(FOLD_LABEL, vec![DataType::Utf8], DataType::Utf8, Volatility::Immutable, Arc::new(run))
}

fn folded(arguments: &[ColumnarValue]) -> Result<ArrayRef> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let texts = arrays[0].as_string::<i32>();
    Ok(Arc::new(texts.iter().map(|text| text.map(fold_label)).collect::<StringArray>()))
}
