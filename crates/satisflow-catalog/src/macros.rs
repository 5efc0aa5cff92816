//! Calls that are expanded to plain SQL, so that the engine and the audit read
//! the same text: `csat_0_100(score, scale)` over the scales that events
//! declare, and over those of the catalog `scale_value('name', answer)`,
//! `scale_0_100`, `scale_class` and `in_class('name', answer, 'class')`; and over its graphs
//! `graph_layer('name', node)` and `graph_share('name', 'driven', node)`.

use satisflow_document::nearest;

use crate::graphs::{Graph, Graphs};
use crate::literals::{UNIT, decimal, text};
use crate::scales::{Asked, Scale, Scales};

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

/// What calls may name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    /// Scales that events declare.
    pub(crate) declared: &'a [ScaleBounds],
    /// Scales of the catalog.
    pub(crate) scales: &'a Scales,
    /// Driver graphs of the catalog.
    pub(crate) graphs: &'a Graphs,
}

/// Why a call can't be expanded, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) hint: String,
}

const NAMES: [&str; 7] =
    ["csat_0_100", "scale_value", "scale_0_100", "scale_class", "in_class", "graph_layer", "graph_share"];

/// Expands every call.
///
/// # Errors
/// When a call is not closed, has other arguments than it takes, or names no scale.
pub(crate) fn expand(sql: &str, named: Named<'_>) -> Result<String, Fault> {
    let Some((start, name)) = find_call(sql) else { return Ok(sql.to_owned()) };
    let open = start + name.len() + sql[start + name.len()..].find('(').unwrap_or(0);
    let (arguments, end) = arguments(sql, open, name)?;
    let expanded = call(name, &arguments, named)?;
    let rest = expand(&sql[end..], named)?;
    Ok(format!("{}{expanded}{rest}", &sql[..start]))
}

fn call(name: &str, arguments: &[String], named: Named<'_>) -> Result<String, Fault> {
    match (name, arguments) {
        ("csat_0_100", [score, scale]) => Ok(normalised(&expand(score, named)?, scale, named.declared)),
        ("scale_value", [scale, answer]) => of_scale(scale, answer, named, |_| Ok(Asked::Value)),
        ("scale_0_100", [scale, answer]) => of_scale(scale, answer, named, |_| Ok(Asked::Points)),
        ("scale_class", [scale, answer]) => of_scale(scale, answer, named, |scale| class(scale, None)),
        ("in_class", [scale, answer, wanted]) => {
            let wanted = quoted(wanted)?;
            of_scale(scale, answer, named, |scale| class(scale, Some(wanted)))
        }
        ("graph_layer", [graph, node]) => Ok(of_graph(graph, named)?.layer_sql(&expand(node, named)?)),
        ("graph_share", [graph, driven, node]) => {
            let (graph, driven) = (of_graph(graph, named)?, quoted(driven)?);
            is_driven(graph, driven)?;
            Ok(graph.share_sql(driven, &expand(node, named)?))
        }
        _ => {
            let takes = match name {
                "csat_0_100" => "a score and a scale",
                "in_class" => "a scale, an answer and a class",
                "graph_layer" => "a graph and a name of it",
                "graph_share" => "a graph, what is driven, and a driver",
                _ => "a scale and an answer",
            };
            let message = format!("`{name}` takes {takes}, here it has {} arguments", arguments.len());
            Err(Fault { message, hint: String::new() })
        }
    }
}

fn of_scale<'a>(
    name: &str,
    answer: &str,
    named: Named<'_>,
    asked: impl FnOnce(&Scale) -> Result<Asked<'a>, Fault>,
) -> Result<String, Fault> {
    let name = quoted(name)?;
    let scale = named.scales.get(name).ok_or_else(|| unknown_scale(name, named.scales))?;
    let answer = expand(answer, named)?;
    Ok(scale.sql(&answer, asked(scale)?))
}

fn of_graph<'a>(name: &str, named: Named<'a>) -> Result<&'a Graph, Fault> {
    let name = quoted(name)?;
    named.graphs.get(name).ok_or_else(|| {
        let known: Vec<&str> = named.graphs.keys().map(String::as_str).collect();
        Fault { message: format!("there is no graph `{name}`"), hint: named_one_of(name, &known, "the graphs are") }
    })
}

/// Whether anything drives it; of a graph with problems nothing is known.
fn is_driven(graph: &Graph, name: &str) -> Result<(), Fault> {
    let known: Vec<&str> = graph.shares.keys().map(String::as_str).collect();
    if known.is_empty() || known.contains(&name) {
        return Ok(());
    }
    let hint = named_one_of(name, &known, "what is driven is");
    Err(Fault { message: format!("nothing drives `{name}` in the graph"), hint })
}

/// What is said of a scale that is not there.
pub(crate) fn unknown_scale(name: &str, scales: &Scales) -> Fault {
    let known: Vec<&str> = scales.keys().map(String::as_str).collect();
    Fault { message: format!("there is no scale `{name}`"), hint: named_one_of(name, &known, "the scales are") }
}

/// A class that a scale has; without a name all of them.
fn class<'a>(scale: &Scale, wanted: Option<&'a str>) -> Result<Asked<'a>, Fault> {
    let known = scale.classes();
    let asked = wanted.map_or(Asked::Class, Asked::InClass);
    let is_known = wanted.map_or(!known.is_empty(), |wanted| known.contains(&wanted));
    if is_known || scale.versions.is_empty() {
        return Ok(asked);
    }
    let message =
        wanted.map_or("the scale has no classes".to_owned(), |name| format!("the scale has no class `{name}`"));
    Err(Fault { message, hint: named_one_of(wanted.unwrap_or_default(), &known, "its classes are") })
}

fn named_one_of(name: &str, known: &[&str], list: &str) -> String {
    match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "name them in the catalog: docs/kpi-catalog.md".to_owned(),
        None => format!("{list} {}", known.join(", ")),
    }
}

/// The text of a literal.
fn quoted(argument: &str) -> Result<&str, Fault> {
    let inside = argument.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    inside.filter(|name| !name.contains('\'')).ok_or_else(|| Fault {
        message: format!("a name of the catalog stands here as a text in quotes, and not {argument}"),
        hint: "such as scale_value('five_level', answers['q1'])".to_owned(),
    })
}

/// Where one of the names is called first, outside of quoted text.
fn find_call(sql: &str) -> Option<(usize, &'static str)> {
    NAMES.iter().filter_map(|name| Some((find_call_of(sql, name)?, *name))).min()
}

fn find_call_of(sql: &str, name: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = sql[from..].find(name) {
        let at = from + found;
        let quoted = sql[..at].matches('\'').count() % 2 == 1;
        let called = sql[at + name.len()..].trim_start().starts_with('(');
        let whole = !sql[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if called && whole && !quoted {
            return Some(at);
        }
        from = at + name.len();
    }
    None
}

/// The arguments of a call whose parenthesis opens at `open`, and where it ends.
fn arguments(sql: &str, open: usize, name: &str) -> Result<(Vec<String>, usize), Fault> {
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
    Err(Fault { message: format!("a call of `{name}` is not closed"), hint: String::new() })
}

fn normalised(score: &str, scale: &str, scales: &[ScaleBounds]) -> String {
    let cases: Vec<String> =
        scales.iter().map(|bounds| format!("WHEN {} THEN {}", text(&bounds.name), on_100(score, bounds))).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(sql: &str, declared: &[ScaleBounds]) -> Result<String, Fault> {
        expand(sql, Named { declared, scales: &Scales::new(), graphs: &Graphs::new() })
    }

    fn scale(name: &str, min: i64, max: i64) -> ScaleBounds {
        ScaleBounds { name: name.into(), min: min * UNIT, max: max * UNIT }
    }

    #[test]
    fn calls_are_expanded_also_inside_each_other_and_never_in_quotes() {
        let five = [scale("1-5", 1, 5)];
        let out = expanded("csat_0_100(coalesce(score, overall), scale) < 60", &five).unwrap();
        assert_eq!(
            out,
            "(CASE scale WHEN '1-5' THEN CAST(((coalesce(score, overall)) - 1) * 25 AS DECIMAL(18,4)) END) < 60"
        );
        assert_eq!(expanded("'csat_0_100('", &five).unwrap(), "'csat_0_100('");
        assert!(expanded("csat_0_100(score", &five).is_err());
        assert!(expanded("csat_0_100(score)", &five).unwrap_err().message.contains("1 arguments"));
    }

    #[test]
    fn a_range_that_does_not_divide_100_is_rounded_at_four_decimals() {
        let out = expanded("csat_0_100(score, scale)", &[scale("1-7", 1, 7)]).unwrap();
        assert!(out.contains("/ 6, 4)"), "{out}");
    }
}
