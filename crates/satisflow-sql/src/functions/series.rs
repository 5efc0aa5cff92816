//! Window functions over a series in its order: control charts and Pareto.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl};
use satisflow_stats::control_charts::{cusum_high_next, cusum_low_next, ewma_next};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Ewma,
    CusumLow,
    CusumHigh,
    ParetoShare,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Series {
    kind: Kind,
    signature: Signature,
}

/// The functions.
pub(super) fn functions() -> impl Iterator<Item = WindowUDF> {
    [Kind::Ewma, Kind::CusumLow, Kind::CusumHigh, Kind::ParetoShare].into_iter().map(|kind| {
        let arguments = vec![DataType::Float64; kind.arguments()];
        WindowUDF::from(Series { kind, signature: Signature::exact(arguments, Volatility::Immutable) })
    })
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Ewma => "ewma",
            Kind::CusumLow => "cusum_low",
            Kind::CusumHigh => "cusum_high",
            Kind::ParetoShare => "pareto_share",
        }
    }

    fn arguments(self) -> usize {
        match self {
            Kind::Ewma => 2,
            Kind::CusumLow | Kind::CusumHigh => 4,
            Kind::ParetoShare => 1,
        }
    }

    fn check(self, row: &[f64]) -> Result<()> {
        match (self, row) {
            (Kind::Ewma, [_, lambda]) if !(*lambda > 0.0 && *lambda <= 1.0) => {
                exec_err!("ewma: lambda {lambda} must be above 0 and at most 1")
            }
            (Kind::CusumLow | Kind::CusumHigh, [_, _, sigma, _]) if *sigma <= 0.0 => {
                exec_err!("{}: sigma {sigma} must be above 0", self.name())
            }
            (Kind::ParetoShare, [x]) if *x < 0.0 => exec_err!("pareto_share: {x} must not be below 0"),
            _ => Ok(()),
        }
    }

    fn next(self, before: Option<f64>, row: &[f64]) -> f64 {
        match (self, row) {
            (Kind::Ewma, [x, lambda]) => before.map_or(*x, |before| ewma_next(before, *x, *lambda)),
            (Kind::CusumLow, [x, mu, sigma, k]) => cusum_low_next(before.unwrap_or(0.0), *x, *mu, *sigma, *k),
            (Kind::CusumHigh, [x, mu, sigma, k]) => cusum_high_next(before.unwrap_or(0.0), *x, *mu, *sigma, *k),
            (_, row) => before.unwrap_or(0.0) + row.iter().sum::<f64>(),
        }
    }
}

impl WindowUDFImpl for Series {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, _arguments: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Partition(self.kind)))
    }

    fn field(&self, arguments: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Field::new(arguments.name(), DataType::Float64, true).into())
    }
}

#[derive(Debug)]
struct Partition(Kind);

impl PartitionEvaluator for Partition {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let columns: Vec<&Float64Array> = values.iter().map(|array| array.as_primitive::<Float64Type>()).collect();
        let (mut state, mut found) = (None, Vec::with_capacity(rows));
        for row in 0..rows {
            if columns.iter().any(|column| column.is_null(row)) {
                found.push(None);
                continue;
            }
            let numbers: Vec<f64> = columns.iter().map(|column| column.value(row)).collect();
            self.0.check(&numbers)?;
            state = Some(self.0.next(state, &numbers));
            found.push(state);
        }
        if self.0 == Kind::ParetoShare {
            let total = state.filter(|total| *total > 0.0);
            found.iter_mut().for_each(|sum| *sum = sum.zip(total).map(|(sum, total)| sum / total));
        }
        Ok(Arc::new(Float64Array::from(found)))
    }
}
