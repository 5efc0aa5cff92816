//! Joins in SQL: other events of an event's key, grouped by its position.

use satisflow_catalog::{Join, JoinField, Measure};
use satisflow_kpi::Aggregate;

use super::columns::quoted;

/// What stands for one event of `records`.
const POSITION: [&str; 3] = ["topic", "\"partition\"", "\"offset\""];

/// The rows of a measure, with what is joined to each as further columns.
pub(super) fn rows(events: &str, measure: &Measure) -> String {
    if measure.joins.is_empty() {
        return events.to_owned();
    }
    let mut columns = String::new();
    let mut joins = String::new();
    for (number, join) in measure.joins.iter().enumerate() {
        let of = format!("j{number}");
        columns.extend(join.fields.iter().map(|field| format!(", {}", column(field, &of))));
        let same = POSITION.map(|column| format!("{of}.{column} = r.{column}")).join(" AND ");
        joins += &format!("\n        LEFT JOIN ({}) AS {of} ON {same}", grouped(join, &measure.filter));
    }
    format!("(SELECT r.*{columns}\n        FROM {events} AS r{joins}) AS joined")
}

/// A field as a column: where nothing is joined, a count is 0.
fn column(field: &JoinField, of: &str) -> String {
    let name = quoted(&field.column);
    match field.aggregate {
        Aggregate::Count | Aggregate::Distinct => format!("coalesce({of}.{name}, 0) AS {name}"),
        _ => format!("{of}.{name} AS {name}"),
    }
}

/// The fields of one join, of each event that has any partner.
fn grouped(join: &Join, filter: &str) -> String {
    let position = POSITION.map(|column| format!("a.{column}")).join(", ");
    let fields: String = join.fields.iter().enumerate().map(|(n, field)| aggregated(n, field)).collect();
    let values: String = join.fields.iter().enumerate().map(|(n, field)| format!(", {} AS f{n}", field.sql)).collect();
    let near = join.within.map(|(before, after)| {
        format!(" AND p.at BETWEEN a.at - CAST({before} AS BIGINT) AND a.at + CAST({after} AS BIGINT)")
    });
    format!(
        "SELECT {position}{fields}
          FROM (SELECT {own}, CAST(event_time AS BIGINT) AS at, CAST(({to}) AS VARCHAR) AS k
                FROM resolved WHERE {filter}) AS a
          JOIN (SELECT CAST(event_time AS BIGINT) AS at, event_id AS id, source AS src,
                       CAST(({on}) AS VARCHAR) AS k{values}
                FROM resolved WHERE counting AND ({of_partner})) AS p
            ON p.k = a.k{near}
          GROUP BY {position}",
        own = POSITION.join(", "),
        to = join.to,
        on = join.on,
        of_partner = join.filter,
        near = near.unwrap_or_default(),
    )
}

fn aggregated(number: usize, field: &JoinField) -> String {
    let value = format!("p.f{number}");
    let ordered =
        |function: &str| format!("{function}({value} ORDER BY p.at, p.id, p.src) FILTER (WHERE {value} IS NOT NULL)");
    let sql = match field.aggregate {
        Aggregate::First => ordered("first_value"),
        Aggregate::Last => ordered("last_value"),
        Aggregate::Min => format!("min({value})"),
        Aggregate::Max => format!("max({value})"),
        Aggregate::Sum => format!("sum({value})"),
        Aggregate::Count => format!("count({value})"),
        Aggregate::Distinct => format!("count(DISTINCT {value})"),
    };
    format!(", {sql} AS {}", quoted(&field.column))
}
