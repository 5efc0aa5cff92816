//! `csat_0_100(score, scale)`: min-max normalisation to 0..100, expanded to
//! plain SQL so that the engine and the audit read the same text.

/// Bounds of a numeric scale, 4 decimals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleBounds {
    /// Its name, such as `1-5`.
    pub name: String,
    /// Worst score, 4 decimals.
    pub min: i64,
    /// Best score, 4 decimals.
    pub max: i64,
}

const NAME: &str = "csat_0_100";
const UNIT: i64 = 10_000;

/// Expands every call of the macro.
///
/// # Errors
/// A message when a call is not closed or has not two arguments.
pub(crate) fn expand(sql: &str, scales: &[ScaleBounds]) -> Result<String, String> {
    let Some(start) = find_call(sql) else { return Ok(sql.to_owned()) };
    let open = start + NAME.len() + sql[start + NAME.len()..].find('(').unwrap_or(0);
    let (arguments, end) = arguments(sql, open)?;
    let [score, scale] = arguments.as_slice() else {
        return Err(format!("`{NAME}` takes a score and a scale, here it has {} arguments", arguments.len()));
    };
    let score = expand(score, scales)?;
    let rest = expand(&sql[end..], scales)?;
    Ok(format!("{}{}{rest}", &sql[..start], normalised(&score, scale, scales)))
}

/// Where the macro is called, outside of quoted text.
fn find_call(sql: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = sql[from..].find(NAME) {
        let at = from + found;
        let quoted = sql[..at].matches('\'').count() % 2 == 1;
        let called = sql[at + NAME.len()..].trim_start().starts_with('(');
        let whole = !sql[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if called && whole && !quoted {
            return Some(at);
        }
        from = at + NAME.len();
    }
    None
}

/// The arguments of a call whose parenthesis opens at `open`, and where it ends.
fn arguments(sql: &str, open: usize) -> Result<(Vec<String>, usize), String> {
    let (mut depth, mut quoted, mut from) = (0, false, open + 1);
    let mut arguments = Vec::new();
    for (at, c) in sql.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '\'' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' => depth += 1,
            ',' if depth == 1 => {
                arguments.push(sql[from..at].trim().to_owned());
                from = at + 1;
            }
            ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            arguments.push(sql[from..at].trim().to_owned());
            return Ok((arguments, at + 1));
        }
    }
    Err(format!("a call of `{NAME}` is not closed"))
}

fn normalised(score: &str, scale: &str, scales: &[ScaleBounds]) -> String {
    let cases: Vec<String> = scales
        .iter()
        .map(|bounds| format!("WHEN '{}' THEN {}", bounds.name.replace('\'', "''"), on_100(score, bounds)))
        .collect();
    format!("(CASE {scale} {} END)", cases.join(" "))
}

/// Exact where 100 / range has at most 4 decimals; else rounded at 4 decimals
/// from a quotient that can't lie half-way between two of them.
fn on_100(score: &str, bounds: &ScaleBounds) -> String {
    let range = bounds.max - bounds.min;
    let min = decimal(bounds.min);
    let factor = 100 * UNIT * UNIT;
    if factor % range == 0 {
        let factor = decimal(factor / range);
        format!("CAST((({score}) - {min}) * {factor} AS DECIMAL(18,4))")
    } else {
        format!("CAST(round(CAST((({score}) - {min}) * 100 AS DOUBLE) / {}, 4) AS DECIMAL(18,4))", decimal(range))
    }
}

fn decimal(value: i64) -> String {
    let text = format!("{}.{:04}", value / UNIT, (value % UNIT).abs());
    let sign = if value < 0 && value > -UNIT { "-" } else { "" };
    let short = text.trim_end_matches('0').trim_end_matches('.');
    format!("{sign}{short}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(name: &str, min: i64, max: i64) -> ScaleBounds {
        ScaleBounds { name: name.into(), min: min * UNIT, max: max * UNIT }
    }

    #[test]
    fn calls_are_expanded_also_inside_each_other_and_never_in_quotes() {
        let five = [scale("1-5", 1, 5)];
        let out = expand("csat_0_100(coalesce(score, overall), scale) < 60", &five).unwrap();
        assert_eq!(
            out,
            "(CASE scale WHEN '1-5' THEN CAST(((coalesce(score, overall)) - 1) * 25 AS DECIMAL(18,4)) END) < 60"
        );
        assert_eq!(expand("'csat_0_100('", &five).unwrap(), "'csat_0_100('");
        assert!(expand("csat_0_100(score", &five).is_err());
        assert!(expand("csat_0_100(score)", &five).unwrap_err().contains("1 arguments"));
    }

    #[test]
    fn a_range_that_does_not_divide_100_is_rounded_at_four_decimals() {
        let out = expand("csat_0_100(score, scale)", &[scale("1-7", 1, 7)]).unwrap();
        assert!(out.contains("/ 6, 4)"), "{out}");
    }
}
