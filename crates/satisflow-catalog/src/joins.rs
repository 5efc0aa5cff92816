//! Joins that hold: other events of the same key, whose fields are columns beside an event's own.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use satisflow_kpi::{Aggregate, Joined, JoinedValue};

use crate::answers;

mod row;

pub(crate) use row::{decoded, encoded};

/// Decimals of a joined number at most, as of a weight.
const SCALE_MAX: i8 = 6;
/// Digits of the sum of numbers of 18.
const SUM_DIGITS: u8 = 28;
/// Digits of any other number.
const DIGITS: u8 = 18;

/// A join of a measure; every text is plain SQL.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// Its name, which the columns of its fields begin with.
    pub name: Arc<str>,
    /// Condition on an event that is joined, kinds included.
    pub filter: String,
    /// The key, over the joined event.
    pub on: String,
    /// The key, over the measure's event.
    pub to: String,
    /// How far before and after the measure's event joined ones lie, µs, both included; one below 0 is on the other
    /// side of it.
    pub within: Option<(i64, i64)>,
    /// What is read of them.
    pub fields: Vec<JoinField>,
    /// Topics that it reads; none: all.
    pub topics: Vec<Arc<str>>,
}

/// A field of joined events.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinField {
    /// Its column beside an event's own.
    pub column: Arc<str>,
    /// How it is made of the values.
    pub aggregate: Aggregate,
    /// The value of one joined event, of the type of `kind`.
    pub sql: String,
    /// What the values are.
    pub kind: FieldKind,
}

/// What the values of a joined field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Text.
    Text,
    /// True or false.
    Flag,
    /// A whole number of 64 bits.
    Integer,
    /// A number of 18 digits with so many decimals.
    Decimal(i8),
    /// A time, µs.
    Time,
}

impl Join {
    /// The join as the engine knows it.
    pub(crate) fn plan(&self) -> satisflow_kpi::Join {
        let fields = self.fields.iter().map(|field| field.aggregate).collect();
        satisflow_kpi::Join { within: self.within, fields }
    }
}

impl FieldKind {
    /// The kind that values of a type are taken as, and if none, why.
    pub(crate) fn of(kind: &DataType) -> Result<FieldKind, String> {
        match kind {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Ok(FieldKind::Text),
            DataType::Boolean => Ok(FieldKind::Flag),
            kind if kind.is_integer() => Ok(FieldKind::Integer),
            DataType::Decimal128(_, scale) if (0..=SCALE_MAX).contains(scale) => Ok(FieldKind::Decimal(*scale)),
            DataType::Timestamp(..) => Ok(FieldKind::Time),
            kind => Err(format!(
                "the expression yields {kind}, which can't be joined: text, a condition, a time, or a number of at \
                 most {SCALE_MAX} decimals can (write CAST(... AS DECIMAL({DIGITS},{SCALE_MAX})))"
            )),
        }
    }

    /// The type of one event's value.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            FieldKind::Text => DataType::Utf8,
            FieldKind::Flag => DataType::Boolean,
            FieldKind::Integer => DataType::Int64,
            FieldKind::Decimal(scale) => DataType::Decimal128(DIGITS, scale),
            FieldKind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// An expression as one of just this type, so that any SQL means the same.
    pub(crate) fn cast(self, sql: &str) -> String {
        match self {
            FieldKind::Text => format!("CAST(({sql}) AS VARCHAR)"),
            FieldKind::Flag => format!("({sql})"),
            FieldKind::Integer => format!("CAST(({sql}) AS BIGINT)"),
            FieldKind::Decimal(scale) => format!("CAST(({sql}) AS DECIMAL({DIGITS},{scale}))"),
            FieldKind::Time => format!("arrow_cast(({sql}), 'Timestamp(Microsecond, Some(\"UTC\"))')"),
        }
    }

    /// The values of an array of its type.
    pub(crate) fn values(self, array: &ArrayRef) -> Vec<Option<JoinedValue>> {
        let integer = |number: i128| JoinedValue::Integer(number);
        match self {
            FieldKind::Text => {
                array.as_string::<i32>().iter().map(|text| text.map(|text| JoinedValue::Text(text.into()))).collect()
            }
            FieldKind::Flag => array.as_boolean().iter().map(|flag| flag.map(|flag| integer(flag.into()))).collect(),
            FieldKind::Integer => {
                array.as_primitive::<Int64Type>().iter().map(|number| number.map(|n| integer(n.into()))).collect()
            }
            FieldKind::Decimal(_) => array.as_primitive::<Decimal128Type>().iter().map(|n| n.map(integer)).collect(),
            FieldKind::Time => {
                array.as_primitive::<TimestampMicrosecondType>().iter().map(|t| t.map(|t| integer(t.into()))).collect()
            }
        }
    }
}

impl JoinField {
    /// The type of its column.
    pub(crate) fn data_type(&self) -> DataType {
        match (self.aggregate, self.kind) {
            (Aggregate::Count | Aggregate::Distinct, _) => DataType::Int64,
            (Aggregate::Sum, FieldKind::Decimal(scale)) => DataType::Decimal128(SUM_DIGITS, scale),
            (_, kind) => kind.data_type(),
        }
    }

    /// What is joined to each of some anchors: the value at a place of each.
    fn column(&self, rows: &[Joined], place: usize) -> ArrayRef {
        let integers = || rows.iter().map(|row| integer(row.values.get(place)?.as_ref()?));
        let longs = || integers().map(|number| number.and_then(|number| i64::try_from(number).ok()));
        match self.data_type() {
            DataType::Utf8 => {
                let texts = rows.iter().map(|row| text(row.values.get(place)?.as_ref()?));
                Arc::new(texts.collect::<StringArray>())
            }
            DataType::Boolean => Arc::new(integers().map(|flag| flag.map(|flag| flag != 0)).collect::<BooleanArray>()),
            DataType::Timestamp(..) => Arc::new(longs().collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
            kind @ DataType::Decimal128(..) => Arc::new(integers().collect::<Decimal128Array>().with_data_type(kind)),
            _ => Arc::new(longs().collect::<Int64Array>()),
        }
    }
}

fn integer(value: &JoinedValue) -> Option<i128> {
    match value {
        JoinedValue::Integer(number) => Some(*number),
        JoinedValue::Text(_) => None,
    }
}

fn text(value: &JoinedValue) -> Option<&str> {
    match value {
        JoinedValue::Text(text) => Some(text),
        JoinedValue::Integer(_) => None,
    }
}

/// The columns of an event of a measure with joins: its own, `answer` (which holds nothing), and the joined ones.
pub(crate) fn schema_of(records: &Schema, joins: &[Join]) -> Schema {
    let own = answers::schema_of(records);
    let joined = joins.iter().flat_map(|join| &join.fields);
    let joined = joined.map(|field| Arc::new(Field::new(&*field.column, field.data_type(), true)));
    Schema::new(own.fields().iter().cloned().chain(joined).collect::<Vec<_>>())
}

/// Anchors with what is joined to them.
pub(crate) fn joined_rows(
    records: &Schema,
    joins: &[Join],
    rows: &[Joined],
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let bytes: Vec<&[u8]> = rows.iter().map(|row| &*row.row).collect();
    let mut columns = decoded(&answers::schema_of(records), &bytes)?;
    let fields = joins.iter().flat_map(|join| &join.fields).enumerate();
    columns.extend(fields.map(|(place, field)| field.column(rows, place)));
    RecordBatch::try_new(Arc::new(schema_of(records, joins)), columns)
}
