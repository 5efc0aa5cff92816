//! Definitions of views: `pg_views` and `pg_get_viewdef`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::{Result, plan_err};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use futures::executor::block_on;

/// A published view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct View {
    /// `pg_class.oid`.
    number: i64,
    name: String,
    definition: String,
}

/// The views that are published, with the numbers that the library's `pg_class` gives to them, and keeps.
pub(super) fn read(
    context: &SessionContext,
    catalog: &Arc<dyn CatalogProvider>,
    pg_catalog: &Arc<dyn SchemaProvider>,
) -> Result<Vec<View>> {
    let (Some(public), Some(classes)) = (catalog.schema("public"), block_on(pg_catalog.table("pg_class"))?) else {
        return Ok(Vec::new());
    };
    // One list in memory, so that waiting here is short.
    let plan = block_on(classes.scan(&context.state(), None, &[], None))?;
    let mut views = Vec::new();
    for batch in block_on(collect(plan, context.task_ctx()))? {
        let (numbers, names) = (batch["oid"].as_primitive::<Int32Type>(), batch["relname"].as_string::<i32>());
        for (number, name) in numbers.values().iter().zip(names.iter().flatten()) {
            if !public.table_exist(name) {
                continue;
            }
            let table = block_on(public.table(name))?;
            let definition = table.as_ref().and_then(|table| table.get_table_definition());
            if let Some(definition) = definition.map(str::to_owned) {
                views.push(View { number: i64::from(*number), name: name.to_owned(), definition });
            }
        }
    }
    Ok(views)
}

/// `pg_views`.
pub(super) fn table(views: &[View]) -> Result<Arc<dyn TableProvider>> {
    let names = ["schemaname", "viewname", "viewowner", "definition"];
    let schema = Arc::new(Schema::new(names.map(|name| Field::new(name, DataType::Utf8, true)).to_vec()));
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; views.len()])) };
    let of =
        |text: fn(&View) -> &String| -> ArrayRef { Arc::new(StringArray::from_iter_values(views.iter().map(text))) };
    let columns = vec![same("public"), of(|view| &view.name), same("postgres"), of(|view| &view.definition)];
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![rows]])?))
}

/// `pg_get_viewdef(view)`, and with PostgreSQL's second argument, which says how it is wrapped.
pub(super) fn definition_of(views: &[View]) -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Stable);
    ScalarUDF::from(Definition { views: views.to_vec(), signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Definition {
    views: Vec<View>,
    signature: Signature,
}

impl ScalarUDFImpl for Definition {
    fn name(&self) -> &str {
        "pg_get_viewdef"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let Some(view) = arguments.first().filter(|_| arguments.len() <= 2) else {
            return plan_err!("pg_get_viewdef takes a view, by its oid or name");
        };
        let by_name = matches!(view, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let view = if by_name { DataType::Utf8 } else { DataType::Int64 };
        Ok(std::iter::once(view).chain(arguments.iter().skip(1).cloned()).collect())
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let wanted = &arrays[0];
        let found: StringArray = match wanted.data_type() {
            DataType::Utf8 => wanted.as_string::<i32>().iter().map(|name| self.named(name?)).collect(),
            _ => {
                let numbers = cast(wanted, &DataType::Int64)?;
                let numbers: &Int64Array = numbers.as_primitive::<Int64Type>();
                numbers.iter().map(|number| self.numbered(number?)).collect()
            }
        };
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}

impl Definition {
    fn numbered(&self, number: i64) -> Option<&str> {
        self.views.iter().find(|view| view.number == number).map(|view| view.definition.as_str())
    }

    /// By a name, which may have its schema, or by a number that is written as text.
    fn named(&self, name: &str) -> Option<&str> {
        if let Ok(number) = name.parse() {
            return self.numbered(number);
        }
        let name = name.strip_prefix("public.").unwrap_or(name).trim_matches('"');
        self.views.iter().find(|view| view.name == name).map(|view| view.definition.as_str())
    }
}
