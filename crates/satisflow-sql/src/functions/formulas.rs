//! Statistics of the numbers of one row.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarUDF, Signature, SimpleScalarUDF, TypeSignature, Volatility, create_udf,
};
use satisflow_stats::{intervals, scoring, tests_of_difference};

/// Larger counts are not exact in a double.
const COUNT_MAX: f64 = 9_007_199_254_740_992.0;

/// A formula of numbers: its name, how many it takes, and what it gives.
struct Formula {
    name: &'static str,
    arguments: RangeInclusive<usize>,
    compute: fn(&Call<'_>) -> Result<Option<f64>>,
}

/// The numbers of one row.
struct Call<'a> {
    name: &'a str,
    numbers: &'a [f64],
}

const FORMULAS: [Formula; 10] = [
    Formula { name: "wilson_low", arguments: 2..=2, compute: |call| Ok(wilson(call)?.map(|interval| interval.low)) },
    Formula { name: "wilson_high", arguments: 2..=2, compute: |call| Ok(wilson(call)?.map(|interval| interval.high)) },
    Formula { name: "poisson_low", arguments: 2..=2, compute: |call| Ok(poisson(call)?.map(|interval| interval.low)) },
    Formula {
        name: "poisson_high",
        arguments: 2..=2,
        compute: |call| Ok(poisson(call)?.map(|interval| interval.high)),
    },
    Formula { name: "two_proportion_p", arguments: 4..=4, compute: two_proportion_p },
    Formula { name: "rate_ratio_p", arguments: 4..=4, compute: rate_ratio_p },
    Formula { name: "dpmo", arguments: 3..=3, compute: dpmo },
    Formula { name: "sigma_level", arguments: 3..=3, compute: |call| Ok(dpmo(call)?.and_then(scoring::sigma_level)) },
    Formula { name: "sample_size", arguments: 2..=3, compute: sample_size },
    Formula { name: "shrunk_mean", arguments: 4..=4, compute: shrunk_mean },
];

/// The functions.
pub(super) fn functions() -> impl Iterator<Item = ScalarUDF> {
    FORMULAS.iter().map(of_numbers).chain([csat_0_100()])
}

fn of_numbers(formula: &'static Formula) -> ScalarUDF {
    let exact = |count| TypeSignature::Exact(vec![DataType::Float64; count]);
    let signature = Signature::one_of(formula.arguments.clone().map(exact).collect(), Volatility::Immutable);
    let run = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let columns: Vec<&Float64Array> = arrays.iter().map(|array| array.as_primitive::<Float64Type>()).collect();
        let row = |row: usize| {
            let numbers: Option<Vec<f64>> =
                columns.iter().map(|column| column.is_valid(row).then(|| column.value(row))).collect();
            let compute = |numbers: Vec<f64>| (formula.compute)(&Call { name: formula.name, numbers: &numbers });
            Ok(numbers.map(compute).transpose()?.flatten())
        };
        let rows = columns.first().map_or(0, |column| column.len());
        let found = (0..rows).map(row).collect::<Result<Float64Array>>()?;
        shaped(arguments, found)
    };
    let function = SimpleScalarUDF::new_with_signature(formula.name, signature, DataType::Float64, Arc::new(run));
    ScalarUDF::from(function)
}

/// A value where every argument is one, else a column.
fn shaped(arguments: &[ColumnarValue], found: Float64Array) -> Result<ColumnarValue> {
    let found: ArrayRef = Arc::new(found);
    if arguments.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_))) {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?));
    }
    Ok(ColumnarValue::Array(found))
}

impl Call<'_> {
    fn at_least_zero(&self, index: usize, argument: &str) -> Result<f64> {
        match self.numbers[index] {
            number if number >= 0.0 && number.is_finite() => Ok(number),
            number => exec_err!("{}: {argument} {number} must be a number and not below 0", self.name),
        }
    }

    /// Successes and the number of trials.
    fn share(&self, index: usize) -> Result<(f64, f64)> {
        let (successes, n) = (self.numbers[index], self.at_least_zero(index + 1, "n")?);
        if !(0.0..=n).contains(&successes) {
            return exec_err!("{}: successes {successes} must be between 0 and n {n}", self.name);
        }
        Ok((successes, n))
    }

    fn whole(&self, index: usize, argument: &str) -> Result<f64> {
        match self.numbers[index] {
            number if (0.0..=COUNT_MAX).contains(&number) && number.fract() == 0.0 => Ok(number),
            number => exec_err!("{}: {argument} {number} must be a whole number of at least 0", self.name),
        }
    }

    /// A count of events and the exposure it was seen in.
    fn rate(&self, index: usize) -> Result<(f64, f64)> {
        Ok((self.whole(index, "count")?, self.at_least_zero(index + 1, "exposure")?))
    }
}

fn wilson(call: &Call<'_>) -> Result<Option<intervals::Interval>> {
    let (successes, n) = call.share(0)?;
    Ok((n > 0.0).then(|| intervals::wilson(successes / n, n)))
}

fn poisson(call: &Call<'_>) -> Result<Option<intervals::Interval>> {
    let (count, exposure) = call.rate(0)?;
    Ok((exposure > 0.0).then(|| intervals::garwood(count, exposure)))
}

fn two_proportion_p(call: &Call<'_>) -> Result<Option<f64>> {
    let ((before, n_before), (after, n_after)) = (call.share(0)?, call.share(2)?);
    if n_before == 0.0 || n_after == 0.0 {
        return Ok(None);
    }
    let test = tests_of_difference::two_proportions((before / n_before, n_before), (after / n_after, n_after));
    Ok(test.map(|test| test.p))
}

fn rate_ratio_p(call: &Call<'_>) -> Result<Option<f64>> {
    let ((before, exposure_before), (after, exposure_after)) = (call.rate(0)?, call.rate(2)?);
    Ok(tests_of_difference::rate_fall_p(before as u64, exposure_before, after as u64, exposure_after))
}

fn dpmo(call: &Call<'_>) -> Result<Option<f64>> {
    let [defects, units, opportunities] =
        [call.whole(0, "defects")?, call.whole(1, "units")?, call.whole(2, "opportunities")?].map(|n| n as i128);
    Ok(scoring::dpmo(defects, units, opportunities).map(scoring::Fraction::to_f64))
}

/// With a third number for a finite population.
fn sample_size(call: &Call<'_>) -> Result<Option<f64>> {
    let (share, error) = (call.numbers[0], call.numbers[1]);
    if !(0.0..=1.0).contains(&share) {
        return exec_err!("{}: share {share} must be between 0 and 1", call.name);
    }
    if !(error > 0.0 && error.is_finite()) {
        return exec_err!("{}: error {error} must be above 0", call.name);
    }
    let population = call.numbers.get(2).copied();
    if let Some(size) = population.filter(|size| !((1.0..=COUNT_MAX).contains(size) && size.fract() == 0.0)) {
        return exec_err!("{}: population {size} must be a whole number of at least 1", call.name);
    }
    Ok(Some(scoring::sample_size(share, error, population)))
}

fn shrunk_mean(call: &Call<'_>) -> Result<Option<f64>> {
    let (n, prior_n) = (call.at_least_zero(0, "n")?, call.at_least_zero(2, "prior n")?);
    Ok(scoring::shrink(prior_n, call.numbers[3], n, call.numbers[1]))
}

/// A score on a scale such as `1-5`, from 0 to 100.
fn csat_0_100() -> ScalarUDF {
    let run = |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let (scores, scales) = (arrays[0].as_primitive::<Float64Type>(), arrays[1].as_string::<i32>());
        let score = |(score, scale): (Option<f64>, Option<&str>)| normalised(score?, scale?);
        shaped(arguments, scores.iter().zip(scales.iter()).map(score).collect())
    };
    let types = vec![DataType::Float64, DataType::Utf8];
    create_udf("csat_0_100", types, DataType::Float64, Volatility::Immutable, Arc::new(run))
}

fn normalised(score: f64, scale: &str) -> Option<f64> {
    let (min, max) = scale.split_once('-')?;
    let (min, max): (f64, f64) = (min.parse().ok()?, max.parse().ok()?);
    (min < max && (min..=max).contains(&score)).then(|| (score - min) * 100.0 / (max - min))
}
