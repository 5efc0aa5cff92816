//! Maps for clients that know none.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use serde_json::{Map, Value};

/// The function.
pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(MapToJson { signature: Signature::any(1, Volatility::Immutable) })
}

/// `map_to_json(map)`: a map of texts as a JSON object, since PostgreSQL's
/// clients know no maps.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MapToJson {
    signature: Signature,
}

impl ScalarUDFImpl for MapToJson {
    fn name(&self) -> &str {
        "map_to_json"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [argument] = arguments.args.as_slice() else { return exec_err!("map_to_json takes one map") };
        let array = argument.to_array(arguments.number_rows)?;
        Ok(ColumnarValue::Array(to_json(&array)?))
    }
}

fn to_json(array: &ArrayRef) -> Result<ArrayRef> {
    let Some(maps) = array.as_map_opt() else { return exec_err!("map_to_json takes a map") };
    let mut out = StringBuilder::new();
    for row in 0..maps.len() {
        if maps.is_null(row) {
            out.append_null();
            continue;
        }
        let entries = maps.value(row);
        let (Some(keys), Some(values)) =
            (entries.column(0).as_string_opt::<i32>(), entries.column(1).as_string_opt::<i32>())
        else {
            return exec_err!("map_to_json takes a map of texts");
        };
        let object: Map<String, Value> = (0..entries.len())
            .map(|i| (keys.value(i).to_owned(), values.is_valid(i).then(|| values.value(i)).into()))
            .collect();
        let text = serde_json::to_string(&object).map_err(|e| DataFusionError::External(Box::new(e)))?;
        out.append_value(text);
    }
    Ok(Arc::new(out.finish()))
}
