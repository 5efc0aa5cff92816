//! The survival curve of Kaplan and Meier (F23) as aggregates.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use satisflow_stats::survival::{kaplan_meier, median, survival_at};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// The share that lasts longer than a time.
    Share,
    Median,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Survival {
    kind: Kind,
    signature: Signature,
}

/// The functions.
pub(super) fn functions() -> impl Iterator<Item = AggregateUDF> {
    [Kind::Share, Kind::Median].into_iter().map(|kind| {
        let signature = Signature::exact(kind.arguments(), Volatility::Immutable);
        AggregateUDF::from(Survival { kind, signature })
    })
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Share => "kaplan_meier",
            Kind::Median => "kaplan_meier_median",
        }
    }

    /// Duration, whether it has ended, and for a share the time that is asked for.
    fn arguments(self) -> Vec<DataType> {
        let mut arguments = vec![DataType::Float64, DataType::Boolean];
        arguments.extend((self == Kind::Share).then_some(DataType::Float64));
        arguments
    }
}

impl AggregateUDFImpl for Survival {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, _arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Observations { kind: self.kind, ended: Vec::new(), open: Vec::new(), at: None }))
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let durations = DataType::new_list(DataType::Float64, true);
        let field = |part: &str, of: DataType| Field::new(format!("{}[{part}]", arguments.name), of, true).into();
        Ok(vec![field("ended", durations.clone()), field("open", durations), field("at", DataType::Float64)])
    }
}

#[derive(Debug)]
struct Observations {
    kind: Kind,
    ended: Vec<f64>,
    open: Vec<f64>,
    /// The time that is asked for.
    at: Option<f64>,
}

impl Observations {
    fn add(&mut self, duration: f64, has_ended: bool) -> Result<()> {
        if !(duration >= 0.0 && duration.is_finite()) {
            return exec_err!("{}: duration {duration} must be a number and not below 0", self.kind.name());
        }
        if has_ended {
            self.ended.push(duration)
        } else {
            self.open.push(duration)
        }
        Ok(())
    }

    fn ask(&mut self, at: f64) -> Result<()> {
        match self.at.replace(at) {
            Some(before) if before.total_cmp(&at).is_ne() => {
                exec_err!("{}: the time is the same for all rows, here are {before} and {at}", self.kind.name())
            }
            _ => Ok(()),
        }
    }
}

impl Accumulator for Observations {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (durations, ended) = (values[0].as_primitive::<Float64Type>(), values[1].as_boolean());
        for row in (0..durations.len()).filter(|row| values.iter().all(|column| column.is_valid(*row))) {
            self.add(durations.value(row), ended.value(row))?;
            if let Some(times) = values.get(2) {
                self.ask(times.as_primitive::<Float64Type>().value(row))?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let observed = self.ended.iter().map(|time| (*time, true)).chain(self.open.iter().map(|time| (*time, false)));
        let observed: Vec<(f64, bool)> = observed.collect();
        let steps = kaplan_meier(&observed);
        let found = match self.kind {
            Kind::Median => median(&steps),
            Kind::Share => self.at.map(|at| survival_at(&steps, at)),
        };
        Ok(ScalarValue::Float64(found))
    }

    fn size(&self) -> usize {
        size_of_val(self) + (self.ended.capacity() + self.open.capacity()) * size_of::<f64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |durations: &[f64]| {
            let durations: ArrayRef = Arc::new(Float64Array::from(durations.to_vec()));
            SingleRowListArrayBuilder::new(durations).build_list_scalar()
        };
        Ok(vec![list(&self.ended), list(&self.open), ScalarValue::Float64(self.at)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (state, durations) in states.iter().zip([&mut self.ended, &mut self.open]) {
            for list in state.as_list::<i32>().iter().flatten() {
                durations.extend_from_slice(list.as_primitive::<Float64Type>().values());
            }
        }
        states[2].as_primitive::<Float64Type>().iter().flatten().try_for_each(|at| self.ask(at))
    }
}
