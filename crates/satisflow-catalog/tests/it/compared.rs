//! Metrics that compare others: what they read, what is part of their identity, and what is refused.

use satisflow_kpi::{Best, Comparison, Definition, Metric, RankPart, Shrink};

use crate::support::{catalog, problems};

const BASES: &str = "\
version: 1
dimensions: { team: department, city: region }
windows: { day: { calendar: day }, all: { all: true } }
measures:
  a: { value: score }
  b: { filter: units > 0, value: units }
metrics:
  count: { count: a, grouping_sets: [[team]] }
  mean: { mean: a, windows: [day], grouping_sets: [[], [team], [city]], n_min: 7, groups_max: 50 }
  ratio: { ratio: { numerator: a, denominator: b } }
";

fn with(metric: &str) -> String {
    format!("{BASES}  k: {{ {metric} }}\n")
}

/// The definition that compares; it stands after those that it names.
fn compared(metric: &str) -> Definition {
    catalog(&with(metric)).plan.definitions.last().unwrap().clone()
}

#[test]
fn a_comparison_reads_the_measures_of_the_metrics_that_it_names() {
    let rank = compared("rank: { of: mean, best: low }");
    assert_eq!(rank.metric, Metric::Mean(0));
    assert_eq!(rank.compared, Some(Comparison::Rank { best: Best::Low, shrink: None }));
    let gap = compared("gap: { of: mean, minus: ratio }");
    let ratio = Metric::Ratio { numerator: 0, denominator: 1, per: 1 };
    assert_eq!(gap.compared, Some(Comparison::Minus(ratio.into())));
    assert_eq!(gap.measures().collect::<Vec<_>>(), [0, 0, 1]);
    let change = compared("gap: { of: mean, minus: ratio, relative: true }");
    assert_eq!(change.compared, Some(Comparison::Change(ratio.into())));
    assert_eq!(
        compared("quotient: { of: count, by: mean }").compared,
        Some(Comparison::Quotient(Metric::Mean(0).into()))
    );
    let shrink = Shrink { weight: 2_500_000, toward: Some(80_000_000) };
    assert_eq!(compared("shrunk: { of: mean, weight: 2.5, toward: 80 }").compared, Some(Comparison::Shrunk(shrink)));
    let few = |millionths| Some(Comparison::VitalFew { millionths });
    assert_eq!(compared("vital_few: { of: count }").compared, few(800_000));
    assert_eq!(compared("vital_few: { of: count, share: 1 }").compared, few(1_000_000));
    let ranks = "weighted_ranks: [{ of: ratio, weight: 0.5 }, { of: count, weight: 2, best: low }]";
    let ranks = compared(&format!("{ranks}, grouping_sets: [[team]]"));
    let part = |metric, weight, best| RankPart { metric, weight, best };
    let parts = vec![part(ratio, 500_000, Best::High), part(Metric::Count(0), 2_000_000, Best::Low)];
    assert_eq!((ranks.metric, ranks.compared), (ratio, Some(Comparison::WeightedRanks(parts))));
}

#[test]
fn what_a_comparison_does_not_say_is_as_of_the_metric_that_it_names() {
    let sets = |metric: &str| {
        let catalog = catalog(&with(metric));
        let last = catalog.plan.definitions.last().unwrap();
        let names = |set: &usize| {
            let set = &catalog.plan.grouping_sets[*set];
            set.iter().map(|d| catalog.plan.dimensions[*d].to_string()).collect::<Vec<_>>().join(",")
        };
        last.grouping_sets.iter().map(names).collect::<Vec<_>>()
    };
    let rank = compared("rank: { of: mean }");
    let mean = catalog(BASES).plan.definitions[1].clone();
    assert_eq!((&rank.windows, rank.n_min, rank.groups_max), (&mean.windows, 7, 50));
    assert_eq!(sets("rank: { of: mean }"), ["team", "city"], "the total has nothing beside it");
    assert_eq!(sets("gap: { of: mean, minus: ratio }"), ["", "team", "city"]);
    assert_eq!(sets("quotient: { of: mean, by: ratio }"), ["", "team", "city"]);
    assert_eq!(sets("rank: { of: mean }, grouping_sets: [[city, team]]"), ["city,team"]);
    let own = compared("rank: { of: mean }, windows: [all], n_min: 0, groups_max: 3");
    assert_eq!((own.windows.len(), own.n_min, own.groups_max), (1, 0, 3));
    assert_ne!(own.windows, mean.windows);
}

#[test]
fn all_that_is_compared_is_part_of_the_identity() {
    let print = |metric: &str| compared(metric).fingerprint.to_string();
    let all = [
        "rank: { of: mean }",
        "rank: { of: mean, best: low }",
        "rank: { of: mean, shrink: { weight: 20 } }",
        "rank: { of: mean, shrink: { weight: 20, toward: 80 } }",
        "shrunk: { of: mean, weight: 20, toward: 80 }",
        "total_share: count",
        "cumulative_share: count",
        "vital_few: { of: count }",
        "vital_few: { of: count, share: 0.7 }",
        "gap: { of: mean, minus: ratio }",
        "gap: { of: mean, minus: count }",
        "gap: { of: mean, minus: count, relative: true }",
        "gap: { of: mean, others: true }",
        "quotient: { of: mean, by: count }",
        "quotient: { of: mean, by: ratio }",
        "rank: { of: mean, minus: ratio }",
        "rank: { of: mean, minus: ratio, times: count }",
        "rank: { of: mean, minus: ratio, times: count, best: low }",
        "gap: { of: mean, ago: 1 }",
        "gap: { of: mean, ago: 2 }",
        "gap: { of: mean, ago: 1, relative: true }",
        "rank_change: { of: mean }",
        "rank_change: { of: mean, best: low }",
        "rank_change: { of: mean, ago: 12 }",
        "p_value: { of: mean, from: mean }",
        "p_value: { of: mean, from: mean, direction: rise }",
        "p_value: { of: ratio, from: ratio }",
        "weighted_ranks: [{ of: mean, weight: 1 }]",
        "weighted_ranks: [{ of: mean, weight: 2 }]",
        "weighted_ranks: [{ of: mean, weight: 1, best: low }]",
    ];
    let prints: std::collections::BTreeSet<String> = all.iter().map(|metric| print(metric)).collect();
    assert_eq!(prints.len(), all.len());
    assert_eq!(print("vital_few: { of: count }"), print("vital_few: { of: count, share: \"0.80\" }"));
    let other = with(all[9]).replace("filter: units > 0", "filter: units > 1");
    let other = catalog(&other).plan.definitions.last().unwrap().fingerprint.to_string();
    assert_ne!(other, print(all[9]), "the measures of what is taken away, too");
    let sigma = with("sigma: ratio").replace("denominator: b }", "denominator: b, per: 1000000 }");
    let sigma = catalog(&sigma).plan.definitions.last().unwrap().clone();
    assert_eq!(sigma.compared, Some(Comparison::Sigma));
    // A measure that stands before the others in the catalog changes nothing.
    let more = with(all[9]).replace("measures:\n", "measures:\n  _first: { value: units }\n");
    let more = catalog(&more).plan.definitions.last().unwrap().fingerprint.to_string();
    assert_eq!(more, print(all[9]));
}

#[test]
fn what_does_not_hold_is_refused_with_its_line() {
    let expect = |metric: &str, expected: &[&str]| assert_eq!(problems(&with(metric)), expected, "{metric}");
    expect("rank: { of: means }", &["11: there is no metric `means`"]);
    expect("rank: { of: k }", &["11: `k` compares metrics itself"]);
    expect("rank: { of: ratio }", &["11: `ratio` has no grouping set but the total: there is nothing to compare"]);
    let total = "rank: { of: mean }, grouping_sets: [[team], []]";
    expect(total, &["11: the total has no other groups to be compared with"]);
    expect("rank: { of: count, shrink: { weight: 1 } }", &["11: `count` is no mean"]);
    expect("shrunk: { of: ratio, weight: 1 }", &["11: `ratio` is no mean"]);
    expect("shrunk: { of: mean, weight: 0 }", &["11: `0` is not a weight above 0 of at most 6 decimals"]);
    let toward = "shrunk: { of: mean, weight: 1, toward: x }";
    expect(toward, &["11: `x` is not a number of at most 6 decimals"]);
    expect("total_share: mean", &["11: the values of `mean` do not add up to a whole"]);
    expect("cumulative_share: ratio", &["11: the values of `ratio` do not add up to a whole"]);
    for share in ["0", "1.1", "0.1234567"] {
        let metric = format!("vital_few: {{ of: count, share: {share} }}");
        let expected = format!("11: `{share}` is not a share above 0 and at most 1, of at most 6 decimals");
        expect(&metric, &[expected.as_str()]);
    }
    expect("gap: { of: mean }", &["11: what is taken away is said in no or in two ways"]);
    expect("gap: { of: mean, minus: count, others: true }", &["11: what is taken away is said in no or in two ways"]);
    let relative = "gap: { of: mean, others: true, relative: true }";
    expect(relative, &["11: what is taken away is said in no or in two ways"]);
    expect("gap: { of: count, others: true }", &["11: `count` is no mean"]);
    let neither = "quotient: { of: means, by: k }";
    expect(neither, &["11: there is no metric `means`", "11: `k` compares metrics itself"]);
    let no_gap = "11: a rank of differences is not shrunk, and says what is taken away";
    expect("rank: { of: mean, times: count }", &[no_gap]);
    expect("rank: { of: mean, minus: ratio, shrink: { weight: 1 } }", &[no_gap]);
    expect("rank: { of: mean, minus: ratio, times: x }", &["11: there is no metric `x`"]);
    expect("gap: { of: mean, ago: 0 }", &["11: `0` periods ago"]);
    expect("gap: { of: mean, ago: 1, others: true }", &["11: what is taken away is said in no or in two ways"]);
    expect("rank_change: { of: mean, ago: 61 }", &["11: `61` periods ago"]);
    let longer = |metric: &str| with(metric).replace("all: { all: true } }", "all: { calendar: month, last: 3 } }");
    let shared = "11: window `all` has events in common with that of so few periods ago";
    assert_eq!(problems(&longer("gap: { of: mean, ago: 2 }, windows: [all]")), [shared]);
    catalog(&longer("gap: { of: mean, ago: 3 }, windows: [all]"));
    catalog(&longer("rank_change: { of: mean }, windows: [all]"));
    let all = "rank_change: { of: mean }, windows: [day, all]";
    expect(all, &["11: window `all` has no periods before it"]);
    expect("sigma: ratio", &["11: the values of `ratio` are no defects per million opportunities"]);
    expect("p_value: { of: mean, from: ratio }", &["11: there is no test of `mean` and `ratio`"]);
    expect("p_value: { of: count, from: count }", &["11: there is no test of `count` and `count`"]);
    expect("weighted_ranks: []", &["11: 0 metrics are ranked here"]);
    let both = "weighted_ranks: [{ of: x, weight: -1 }]";
    expect(both, &["11: there is no metric `x`", "11: `-1` is not a weight above 0 of at most 6 decimals"]);
    expect("mean: a, rank: { of: mean }", &["11: a metric has exactly one aggregate or comparison, here are 2"]);
    expect("rank: { of: mean }, windows: [week]", &["11: there is no window `week`"]);
    let aging = with("rank: { of: mean }").replace("a: { value: score }", "a: { value: score, half_life: 2d }");
    let expected = "11: the values of `mean` depend on a population, on age, on the window's end or on its `validity`";
    assert!(problems(&aging).iter().any(|problem| problem == expected), "{:?}", problems(&aging));
    let population = "a: { value: score, population: { p: { by: region, counts: { n: 1 } } } }";
    let of =
        |metric: &str| with(metric).replace("a: { value: score }", population).replace("numerator: a", "numerator: b");
    assert!(problems(&of("rank: { of: mean }")).contains(&expected.to_owned()));
    catalog(&of("total_share: count"));
    let test = "rank: { of: mean }, alerts: [{ window: day, grouping_set: [team], drop: {} }]";
    let found = problems(&with(test));
    assert!(found.iter().any(|p| p.contains("`k` has no error by which a change could be told")), "{found:?}");
}
