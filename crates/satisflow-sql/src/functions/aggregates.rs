//! Aggregates with exact sums, so that the order of rows changes no digit.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Field, FieldRef, i256};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use satisflow_kpi::divide_half_even;

/// Digits behind the point of arguments and means.
const SCALE: i8 = 12;
const NUMBER: DataType = DataType::Decimal128(38, SCALE);
const SUM: DataType = DataType::Decimal256(76, 0);
const SUMS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    WeightedMean,
    KishNEff,
    Nps,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Statistic {
    kind: Kind,
    signature: Signature,
}

/// The functions.
pub(super) fn functions() -> impl Iterator<Item = AggregateUDF> {
    [Kind::WeightedMean, Kind::KishNEff, Kind::Nps]
        .into_iter()
        .map(|kind| AggregateUDF::from(Statistic { kind, signature: Signature::user_defined(Volatility::Immutable) }))
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::WeightedMean => "weighted_mean",
            Kind::KishNEff => "kish_n_eff",
            Kind::Nps => "nps",
        }
    }

    fn arguments(self) -> usize {
        if self == Kind::WeightedMean { 2 } else { 1 }
    }

    fn gives(self) -> DataType {
        if self == Kind::KishNEff { DataType::Float64 } else { NUMBER }
    }

    /// What a row adds to each sum, in units of the last digit.
    fn addends(self, numbers: &[i128]) -> Result<[i256; SUMS]> {
        let number = |index: usize| i256::from_i128(numbers[index]);
        let squared = |a: i256, b: i256| a.checked_mul(b).ok_or_else(|| self.overflow());
        match self {
            Kind::WeightedMean => Ok([self.weight(number(1))?, squared(number(0), number(1))?, i256::ZERO]),
            Kind::KishNEff => Ok([self.weight(number(0))?, squared(number(0), number(0))?, i256::ZERO]),
            Kind::Nps => {
                let unit = 10i128.pow(SCALE as u32);
                let counted = |yes: bool| if yes { i256::ONE } else { i256::ZERO };
                if !(0..=10 * unit).contains(&numbers[0]) {
                    return exec_err!("nps: a score is not between 0 and 10");
                }
                Ok([i256::ONE, counted(numbers[0] >= 9 * unit), counted(numbers[0] <= 6 * unit)])
            }
        }
    }

    fn weight(self, weight: i256) -> Result<i256> {
        if weight < i256::ZERO { exec_err!("{}: a weight is below 0", self.name()) } else { Ok(weight) }
    }

    fn overflow(self) -> datafusion::common::DataFusionError {
        exec_datafusion_err!("{}: a sum has more than 76 digits", self.name())
    }

    fn value(self, [first, second, third]: [i256; SUMS]) -> Result<ScalarValue> {
        let decimal = |numerator: Option<i256>| {
            let quotient = numerator.and_then(|numerator| divide_half_even(numerator, first));
            Ok(ScalarValue::Decimal128(Some(quotient.ok_or_else(|| self.overflow())?), 38, SCALE))
        };
        match self {
            _ if first == i256::ZERO => ScalarValue::try_from(self.gives()),
            Kind::WeightedMean => decimal(Some(second)),
            Kind::Nps => decimal((second - third).checked_mul(i256::from_i128(100 * 10i128.pow(SCALE as u32)))),
            Kind::KishNEff => {
                let (sum, squares) = (first.to_string(), second.to_string());
                let number = |text: String| text.parse::<f64>().map_err(|_| self.overflow());
                let sum = number(sum)?;
                Ok(ScalarValue::Float64(satisflow_stats::weighted::kish_n_eff(sum * sum, number(squares)?)))
            }
        }
    }
}

impl AggregateUDFImpl for Statistic {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (name, wanted) = (self.name(), self.kind.arguments());
        if types.len() != wanted {
            return plan_err!("{name} takes {wanted} arguments, not {}", types.len());
        }
        match types.iter().find(|given| !given.is_numeric() && !given.is_null()) {
            Some(given) => plan_err!("{name} takes numbers, not {given}"),
            None => Ok(vec![NUMBER; wanted]),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.kind.gives())
    }

    fn accumulator(&self, _arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sums { kind: self.kind, sums: [i256::ZERO; SUMS] }))
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |index: usize| Field::new(format!("{}[{index}]", arguments.name), SUM, true).into();
        Ok((0..SUMS).map(field).collect())
    }
}

#[derive(Debug)]
struct Sums {
    kind: Kind,
    sums: [i256; SUMS],
}

impl Sums {
    fn each(&mut self, values: &[ArrayRef], sign: fn(i256, i256) -> Option<i256>) -> Result<()> {
        let columns: Vec<_> = values.iter().map(|array| array.as_primitive::<Decimal128Type>()).collect();
        for row in (0..columns[0].len()).filter(|row| columns.iter().all(|column| column.is_valid(*row))) {
            let numbers: Vec<i128> = columns.iter().map(|column| column.value(row)).collect();
            self.add(self.kind.addends(&numbers)?, sign)?;
        }
        Ok(())
    }

    fn add(&mut self, addends: [i256; SUMS], sign: fn(i256, i256) -> Option<i256>) -> Result<()> {
        for (sum, addend) in self.sums.iter_mut().zip(addends) {
            *sum = sign(*sum, addend).ok_or_else(|| self.kind.overflow())?;
        }
        Ok(())
    }
}

impl Accumulator for Sums {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.each(values, i256::checked_add)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.each(values, i256::checked_sub)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.kind.value(self.sums)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.sums.iter().map(|sum| ScalarValue::Decimal256(Some(*sum), 76, 0)).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let columns: Vec<_> = states.iter().map(|array| array.as_primitive::<Decimal256Type>()).collect();
        for row in (0..columns[0].len()).filter(|row| columns[0].is_valid(*row)) {
            self.add(std::array::from_fn(|index| columns[index].value(row)), i256::checked_add)?;
        }
        Ok(())
    }
}
