//! Functions that PostgreSQL's clients ask the catalog with.
//!
//! What they ask about and is not here (comments, sizes, triggers, bodies of functions) is NULL.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::SessionContext;
use pgwire::api::Type;
use serde_json::{Map, Value};

use crate::pg::settings::SERVER_VERSION;

/// What a function gives for every row, whatever its arguments are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Gives {
    Text(&'static str),
    Owned(String),
    NoText,
    NoNumber,
    True,
    False,
    Zero,
    /// The number of UTF8 among PostgreSQL's encodings.
    Utf8,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    gives: Gives,
    signature: Signature,
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.value().data_type())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value()))
    }
}

impl Constant {
    fn value(&self) -> ScalarValue {
        match &self.gives {
            Gives::Text(text) => ScalarValue::from(*text),
            Gives::Owned(text) => ScalarValue::from(text.as_str()),
            Gives::NoText => ScalarValue::Utf8(None),
            Gives::NoNumber => ScalarValue::Int64(None),
            Gives::True => ScalarValue::from(true),
            Gives::False => ScalarValue::from(false),
            Gives::Zero => ScalarValue::from(0i32),
            Gives::Utf8 => ScalarValue::from(6i32),
        }
    }
}

const CONSTANTS: &[(&str, Gives)] = &[
    ("col_description", Gives::NoText),
    ("obj_description", Gives::NoText),
    ("shobj_description", Gives::NoText),
    ("pg_function_is_visible", Gives::True),
    ("pg_type_is_visible", Gives::True),
    ("pg_operator_is_visible", Gives::True),
    ("pg_opclass_is_visible", Gives::True),
    ("pg_opfamily_is_visible", Gives::True),
    ("pg_collation_is_visible", Gives::True),
    ("pg_conversion_is_visible", Gives::True),
    ("pg_statistics_obj_is_visible", Gives::True),
    ("pg_ts_config_is_visible", Gives::True),
    ("pg_ts_dict_is_visible", Gives::True),
    ("pg_ts_parser_is_visible", Gives::True),
    ("pg_ts_template_is_visible", Gives::True),
    ("has_column_privilege", Gives::True),
    ("has_function_privilege", Gives::True),
    ("has_sequence_privilege", Gives::False),
    ("has_language_privilege", Gives::False),
    ("has_tablespace_privilege", Gives::False),
    ("pg_has_role", Gives::False),
    ("pg_get_functiondef", Gives::NoText),
    ("pg_get_function_result", Gives::NoText),
    ("pg_get_function_arguments", Gives::NoText),
    ("pg_get_function_identity_arguments", Gives::NoText),
    ("pg_get_function_sqlbody", Gives::NoText),
    ("pg_get_indexdef", Gives::NoText),
    ("pg_get_triggerdef", Gives::NoText),
    ("pg_get_ruledef", Gives::NoText),
    ("pg_get_statisticsobjdef", Gives::NoText),
    ("pg_get_serial_sequence", Gives::NoText),
    ("pg_describe_object", Gives::NoText),
    ("pg_char_to_encoding", Gives::Utf8),
    ("getdatabaseencoding", Gives::Text("UTF8")),
    ("pg_tablespace_location", Gives::Text("")),
    ("pg_size_pretty", Gives::NoText),
    ("pg_table_size", Gives::NoNumber),
    ("pg_indexes_size", Gives::NoNumber),
    ("pg_database_size", Gives::NoNumber),
    ("pg_tablespace_size", Gives::NoNumber),
    ("pg_is_in_recovery", Gives::False),
    ("pg_is_other_temp_schema", Gives::False),
    ("pg_my_temp_schema", Gives::Zero),
    ("pg_advisory_unlock_all", Gives::NoText),
    ("inet_server_addr", Gives::NoText),
    ("inet_client_addr", Gives::NoText),
];

/// Functions that are the same for every connection.
pub(crate) fn register_catalog(context: &SessionContext) {
    let constants = CONSTANTS.iter().map(|(name, gives)| constant(name, gives.clone()));
    constants.for_each(|function| context.register_udf(function));
    let engine = datafusion::DATAFUSION_VERSION;
    let version = format!("PostgreSQL {SERVER_VERSION}, on DataFusion {engine}");
    context.register_udf(constant("version", Gives::Owned(version)));
    register_settings(context, BTreeMap::new());
    context.register_udf(ScalarUDF::from(JsonObject { signature: Signature::user_defined(Volatility::Stable) }));
    let signature = Signature::user_defined(Volatility::Immutable);
    context.register_udf(ScalarUDF::from(Format { signature }));
    context.register_udf(ScalarUDF::from(ToRegtype {
        signature: Signature::exact(vec![DataType::Utf8], Volatility::Stable),
    }));
}

/// `format(pattern, value, ...)` with `%s`, `%I`, `%L` and `%%`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Format {
    signature: Signature,
}

impl ScalarUDFImpl for Format {
    fn name(&self) -> &str {
        "format"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        if arguments.is_empty() {
            return exec_err!("format takes a pattern, such as format('%I', name)");
        }
        Ok(std::iter::once(DataType::Utf8).chain(arguments.iter().skip(1).cloned()).collect())
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let text = |row: usize| {
            let patterns = arrays[0].as_string::<i32>();
            patterns.is_valid(row).then(|| formatted(patterns.value(row), &arrays[1..], row)).transpose()
        };
        let texts: StringArray = (0..arrays[0].len()).map(text).collect::<Result<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(texts)))
    }
}

fn formatted(pattern: &str, values: &[ArrayRef], row: usize) -> Result<String> {
    let (mut text, mut signs, mut values) = (String::new(), pattern.chars(), values.iter());
    while let Some(sign) = signs.next() {
        let kind = if sign == '%' { signs.next() } else { None };
        match kind {
            None => text.push(sign),
            Some('%') => text.push('%'),
            Some(kind @ ('s' | 'I' | 'L')) => {
                let Some(value) = values.next() else { return exec_err!("format: too few arguments") };
                let value = value.is_valid(row).then(|| array_value_to_string(value, row)).transpose()?;
                text.push_str(&match (kind, value) {
                    ('s', value) => value.unwrap_or_default(),
                    ('L', Some(value)) => format!("'{}'", value.replace('\'', "''")),
                    ('L', None) => "NULL".to_owned(),
                    (_, Some(value)) => identifier(&value),
                    (_, None) => return exec_err!("format: NULL is no name"),
                });
            }
            Some(other) => return exec_err!("format: %{other} is not known: there are %s, %I, %L and %%"),
        }
    }
    Ok(text)
}

/// In quotes if it has to be.
fn identifier(name: &str) -> String {
    let plain = |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_';
    if name.starts_with(|sign: char| !sign.is_ascii_digit()) && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// `to_regtype(name)`: the number of a type of PostgreSQL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ToRegtype {
    signature: Signature,
}

impl ScalarUDFImpl for ToRegtype {
    fn name(&self) -> &str {
        "to_regtype"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let names = arrays[0].as_string::<i32>();
        let numbers: Int32Array = names.iter().map(|name| name.and_then(type_number)).collect();
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    }
}

fn type_number(name: &str) -> Option<i32> {
    /// Numbers of PostgreSQL's own types are below.
    const NUMBERS_END: u32 = 10_000;
    let (element, array) = match name.trim().strip_suffix("[]") {
        Some(element) => (element, "_"),
        None => (name.trim(), ""),
    };
    let element = element.strip_prefix("pg_catalog.").unwrap_or(element).to_ascii_lowercase();
    let short = match element.as_str() {
        "bigint" => "int8",
        "integer" | "int" => "int4",
        "smallint" => "int2",
        "boolean" => "bool",
        "double precision" => "float8",
        "real" => "float4",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        other => other,
    };
    let wanted = format!("{array}{short}");
    let found = (1..NUMBERS_END).find(|oid| Type::from_oid(*oid).is_some_and(|kind| kind.name() == wanted));
    found.and_then(|oid| i32::try_from(oid).ok())
}

/// `json_build_object(name, value, ...)`: SQLAlchemy asks about columns with it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonObject {
    signature: Signature,
}

impl ScalarUDFImpl for JsonObject {
    fn name(&self) -> &str {
        "json_build_object"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arguments.to_vec())
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let object = |row: usize| {
            let entry = |pair: &[ArrayRef]| Ok((array_value_to_string(&pair[0], row)?, json(&pair[1], row)?));
            let entries: Map<String, Value> = arrays.chunks_exact(2).map(entry).collect::<Result<_>>()?;
            Ok(Some(Value::Object(entries).to_string()))
        };
        let objects: StringArray = (0..arguments.number_rows).map(object).collect::<Result<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(objects)))
    }
}

fn constant(name: &'static str, gives: Gives) -> ScalarUDF {
    // A function of any arguments, and of none.
    let signature = Signature::one_of(
        vec![datafusion::logical_expr::TypeSignature::Nullary, datafusion::logical_expr::TypeSignature::VariadicAny],
        Volatility::Stable,
    );
    ScalarUDF::from(Constant { name, gives, signature })
}

/// `current_setting` and `set_config` over the settings of one connection, by name in lower case.
pub(crate) fn register_settings(context: &SessionContext, settings: BTreeMap<String, String>) {
    let settings = Arc::new(settings);
    for sets in [false, true] {
        let signature = Signature::user_defined(Volatility::Stable);
        context.register_udf(ScalarUDF::from(Setting { sets, settings: Arc::clone(&settings), signature }));
    }
}

/// Settings that have no effect here, so that `set_config` need not have one either.
const WITHOUT_EFFECT: &[&str] = &["jit", "search_path"];

#[derive(Debug, PartialEq, Eq, Hash)]
struct Setting {
    /// Whether it is `set_config(name, value, is_local)`.
    sets: bool,
    settings: Arc<BTreeMap<String, String>>,
    signature: Signature,
}

impl ScalarUDFImpl for Setting {
    fn name(&self) -> &str {
        if self.sets { "set_config" } else { "current_setting" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match (self.sets, arguments.len()) {
            (false, 1) => Ok(vec![DataType::Utf8]),
            (false, 2) => Ok(vec![DataType::Utf8, DataType::Boolean]),
            (true, 3) => Ok(vec![DataType::Utf8, DataType::Utf8, DataType::Boolean]),
            _ => exec_err!("{} takes a name; see docs/clients.md", self.name()),
        }
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let missing_ok =
            !self.sets && arrays.get(1).is_some_and(|flags| flags.as_boolean().iter().all(|flag| flag == Some(true)));
        let names = arrays[0].as_string::<i32>();
        let values = arrays.get(1).filter(|_| self.sets).map(|values| values.as_string::<i32>());
        let mut found = Vec::with_capacity(names.len());
        for (row, name) in names.iter().enumerate() {
            let Some(name) = name.map(str::to_ascii_lowercase) else {
                found.push(None);
                continue;
            };
            match (values, self.settings.get(&name)) {
                (Some(values), Some(_)) if WITHOUT_EFFECT.contains(&name.as_str()) => {
                    found.push(Some(values.value(row).to_owned()));
                }
                (Some(_), _) => return exec_err!("set_config can't set \"{name}\" here: write SET {name} = ..."),
                (None, Some(value)) => found.push(Some(value.clone())),
                (None, None) if missing_ok => found.push(None),
                (None, None) => return exec_err!("unrecognized configuration parameter \"{name}\""),
            }
        }
        Ok(ColumnarValue::Array(Arc::new(StringArray::from(found)) as ArrayRef))
    }
}

/// A value: numbers and flags as such, everything else as text.
fn json(values: &ArrayRef, row: usize) -> Result<Value> {
    if values.is_null(row) {
        return Ok(Value::Null);
    }
    let text = array_value_to_string(values, row)?;
    let plain = values.data_type().is_numeric() || values.data_type() == &DataType::Boolean;
    let read = plain.then(|| serde_json::from_str(&text).ok()).flatten();
    Ok(read.unwrap_or(Value::String(text)))
}
