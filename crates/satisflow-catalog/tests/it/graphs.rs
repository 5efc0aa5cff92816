//! Driver graphs: layers and shares along all ways, and what is refused.

use crate::support::{answered, audit, catalog, engine, problems};

const GRAPH: &str = "lost: { missed_scan: 0.7, wrong_label: 0.3 }, late: { missed_scan: 0.6, untrained: 0.4 }, \
                     missed_scan: { untrained: 0.5, old_scanner: 0.5 }";

fn with(graph: &str, value: &str) -> String {
    format!(
        "version: 1\ngraphs:\n  g: {{ {graph} }}\nmeasures:\n  m: {{ value: \"{value}\" }}\nmetrics:\n  k: {{ mean: m }}\n"
    )
}

/// What engine and audit make of these names.
fn values(call: &str, names: &[&str]) -> Vec<Option<i128>> {
    let catalog = catalog(&with(GRAPH, call));
    let events: Vec<_> = names.iter().map(|name| [("q", *name)].into()).collect();
    let events = answered(&events);
    let found = engine(&catalog, &events);
    assert_eq!(found, audit(&catalog, &events));
    found
}

#[test]
fn a_layer_is_the_longest_way_to_a_result() {
    let names = ["lost", "late", "missed_scan", "wrong_label", "untrained", "old_scanner", "weather"];
    let layers = values("graph_layer('g', answers['q'])", &names);
    assert_eq!(layers, [Some(0), Some(0), Some(10_000), Some(10_000), Some(20_000), Some(20_000), None]);
}

#[test]
fn a_share_is_that_of_all_ways_together() {
    let share = "cast(graph_share('g', 'late', answers['q']) as decimal(18, 4))";
    let names = ["missed_scan", "untrained", "old_scanner", "late", "wrong_label"];
    // 0.4 straight, and half of the 0.6 of missed scans.
    assert_eq!(values(share, &names), [Some(6_000), Some(7_000), Some(3_000), None, None]);
}

#[test]
fn what_does_not_hold_is_refused_with_its_line() {
    let expect = |graph: &str, value: &str, expected: &str| {
        assert_eq!(problems(&with(graph, value)), [expected], "{graph} {value}");
    };
    expect("a: { b: 0.6, c: 0.3 }", "1", "3: the shares of `a` sum to 0.9, not to 1");
    let share = "3: `1.5` is not a share above 0 and at most 1, of at most 6 decimals";
    expect("a: { b: 1.5 }", "1", share);
    expect("a: { b: 1 }, b: { c: 1 }, c: { a: 1 }", "1", "3: `a` drives itself: a by b by c by a");
    expect("a: { a: 1 }", "1", "3: `a` drives itself: a by a");
    expect("", "1", "3: the graph has 0 names");
    let third = "a: { b: 0.333333, c: 0.666667 }, b: { c: 0.1, d: 0.9 }";
    let decimals = "3: the share of `a` that `c` has through others has more than 6 decimals";
    expect(third, "1", decimals);
    expect(GRAPH, "graph_layer('h', kind)", "5: there is no graph `h`");
    expect(GRAPH, "graph_share('g', 'weather', kind)", "5: nothing drives `weather` in the graph");
    expect(GRAPH, "graph_layer('g')", "5: `graph_layer` takes a graph and a name of it, here it has 1 arguments");
    expect(GRAPH, "graph_layer(g, kind)", "5: a name of the catalog stands here as a text in quotes, and not g");
}
