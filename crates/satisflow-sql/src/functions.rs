//! Functions that the views and clients use; docs/sql.md describes them.
//!
//! - A NULL argument gives NULL, or is left out of an aggregate.
//! - A denominator of zero gives NULL; what can't be, such as a negative count,
//!   is an error that names the function.

mod aggregates;
mod catalog;
mod formulas;
mod map_to_json;
mod series;
mod survival;

use datafusion::prelude::SessionContext;

pub(crate) use catalog::{register_catalog, register_settings};

pub(crate) fn register(context: &SessionContext) {
    context.register_udf(map_to_json::function());
    context.register_udf(satisflow_catalog::fold_label_function());
    formulas::functions().for_each(|function| context.register_udf(function));
    aggregates::functions().chain(survival::functions()).for_each(|function| context.register_udaf(function));
    series::functions().for_each(|function| context.register_udwf(function));
}

#[cfg(test)]
mod tests {
    use arrow::util::display::array_value_to_string;

    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/sql.md");

    async fn value(sql: &str) -> Result<String, String> {
        let context = SessionContext::new();
        register(&context);
        let frame = context.sql(sql).await.map_err(|error| error.to_string())?;
        let batches = frame.collect().await.map_err(|error| error.to_string())?;
        let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
        let shown = rows.map(|(batch, row)| array_value_to_string(batch.column(0), row).unwrap());
        Ok(shown.collect::<Vec<_>>().join(", "))
    }

    fn check(sql: &str, expected: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(value(sql)).unwrap_or_else(|error| error);
        assert!(found == expected || expected.len() > 20 && found.contains(expected), "{sql}: {found}, not {expected}");
    }

    /// Lines `select ...` of the document, each with its result in a comment below.
    fn examples() -> Vec<(String, &'static str)> {
        let section = DOCUMENT.split("## Functions").nth(1).unwrap().split("\n## ").next().unwrap();
        let blocks = section.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap());
        let mut all = Vec::new();
        for block in blocks {
            let mut sql = String::new();
            for line in block.lines() {
                match line.strip_prefix("-- ") {
                    Some(result) => all.push((std::mem::take(&mut sql), result)),
                    None => sql.push_str(&format!("{line}\n")),
                }
            }
        }
        all
    }

    #[test]
    fn the_documented_examples_give_the_documented_results() {
        let all = examples();
        let scalar = formulas::functions().map(|f| f.name().to_owned());
        let aggregate = aggregates::functions().chain(survival::functions()).map(|f| f.name().to_owned());
        let window = series::functions().map(|f| f.name().to_owned());
        for name in scalar.chain(aggregate).chain(window) {
            assert!(all.iter().any(|(sql, _)| sql.contains(&format!("{name}("))), "{name} has no example");
        }
        all.iter().for_each(|(sql, expected)| check(sql, expected));
    }

    #[test]
    fn null_gives_null() {
        check("select wilson_low(null, 10)", "");
        check("select dpmo(1, 0, 3)", "");
        check("select sigma_level(0, 10, 3)", "");
        check("select two_proportion_p(5, 5, 7, 7)", "");
        check("select poisson_low(3, 0)", "");
        check("select csat_0_100(3, 'smileys')", "");
        check("select weighted_mean(x, w) from (values (1, 0), (2, null), (null, 3)) t(x, w)", "");
        check("select kaplan_meier_median(t, true) from (values (1), (2)) t(t) where t > 2", "");
        check("select kaplan_meier_median(t, t < 2) from (values (1), (2), (3)) t(t)", "");
        check("select kaplan_meier(t, true, 1) from (values (null), (3)) t(t)", "1.0");
        check("select sample_size(0.5, null)", "");
        check("select shrunk_mean(0, 60, 0, 80)", "");
        check("select ewma(x, 0.5) over (order by i) from (values (1, 4), (2, null), (3, 8)) t(i, x)", "4.0, , 6.0");
    }

    #[test]
    fn what_can_not_be_names_the_function_and_the_argument() {
        check("select wilson_high(11, 10)", "wilson_high: successes 11 must be between 0 and n 10");
        check("select two_proportion_p(1, 2, 3, 2)", "two_proportion_p: successes 3 must be between 0 and n 2");
        check("select poisson_high(-1, 10)", "poisson_high: count -1 must be a whole number of at least 0");
        check("select rate_ratio_p(1, -1, 2, 1)", "rate_ratio_p: exposure -1 must be a number and not below 0");
        check(
            "select wilson_low(1, 'infinity'::double precision)",
            "wilson_low: n inf must be a number and not below 0",
        );
        check(
            "select rate_ratio_p(1e19, 1, 1e19, 1)",
            "rate_ratio_p: count 10000000000000000000 must be a whole number",
        );
        check("select dpmo(-1, 10, 3)", "dpmo: defects -1 must be a whole number of at least 0");
        check("select kish_n_eff(w) from (values (1), (-1)) t(w)", "kish_n_eff: a weight is below 0");
        check("select weighted_mean('a', 1)", "weighted_mean takes numbers, not Utf8");
        check("select weighted_mean(1)", "weighted_mean takes 2 arguments, not 1");
        check("select ewma(x, 2) over () from (values (1)) t(x)", "ewma: lambda 2 must be above 0 and at most 1");
        check("select cusum_low(x, 1, 0, 1) over () from (values (1)) t(x)", "cusum_low: sigma 0 must be above 0");
        check(
            "select kaplan_meier_median(-1, true)",
            "kaplan_meier_median: duration -1 must be a number and not below 0",
        );
        check(
            "select kaplan_meier(t, true, t) from (values (1), (2)) t(t)",
            "kaplan_meier: the time is the same for all rows, here are 1 and 2",
        );
        check("select sample_size(1.5, 0.05)", "sample_size: share 1.5 must be between 0 and 1");
        check("select sample_size(0.5, 0)", "sample_size: error 0 must be above 0");
        check("select sample_size(0.5, 0.05, 0)", "sample_size: population 0 must be a whole number of at least 1");
        check("select shrunk_mean(-1, 60, 20, 80)", "shrunk_mean: n -1 must be a number and not below 0");
        check("select pareto_share(x) over () from (values (-1)) t(x)", "pareto_share: -1 must not be below 0");
    }

    #[test]
    fn a_weighted_mean_is_exact_and_moves_with_its_frame() {
        let tenths = "(values (1, 0.1, 3), (2, 0.2, 1), (3, 0.3, 1)) t(i, x, w)";
        check(&format!("select weighted_mean(x, w) from {tenths}"), "0.160000000000");
        let frame = "over (order by i rows between 1 preceding and current row)";
        let means = "0.100000000000, 0.125000000000, 0.250000000000";
        check(&format!("select weighted_mean(x, w) {frame} from {tenths}"), means);
        check("select weighted_mean(x, 1) from (values (1), (2), (2)) t(x)", "1.666666666667");
        check("select weighted_mean(x, 3) from generate_series(1, 100000) t(x)", "50000.500000000000");
    }
}
