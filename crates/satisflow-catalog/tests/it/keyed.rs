//! The first or last few events of a key: what is said of them, and what is refused.

use satisflow_catalog::Catalog;
use satisflow_kpi::Kept;

use crate::support::{catalog, problems};

fn with(keyed: &str) -> String {
    format!("version: 1\nmeasures:\n  m:\n    {keyed}\nmetrics:\n  k: {{ count: m }}\n")
}

fn fingerprint(catalog: &Catalog) -> String {
    catalog.plan.definitions[0].fingerprint.to_string()
}

#[test]
fn a_key_alone_keeps_one_of_its_events() {
    let first = catalog(&with("first_per: customer"));
    assert_eq!(first.plan.kept[&0], Kept::FIRST);
    let said = catalog(&with("first_per: { key: customer, n: 1 }"));
    assert_eq!(fingerprint(&first), fingerprint(&said), "one meaning, one identity");
    let last = catalog(&with("last_per: customer"));
    assert!(matches!(last.plan.kept[&0], Kept::Last(n) if n.get() == 1));
    assert_ne!(fingerprint(&first), fingerprint(&last));
}

#[test]
fn the_number_and_the_period_are_part_of_the_identity() {
    let of = |rest: &str| fingerprint(&catalog(&with(&format!("first_per: {{ key: customer{rest} }}"))));
    let all =
        ["", ", n: 3", ", period: month", ", period: month, zone: America/New_York", ", period: half_year"].map(of);
    let different: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn what_does_not_hold_is_refused_with_its_line() {
    let expect = |keyed: &str, expected: &str| assert_eq!(problems(&with(keyed)), [expected], "{keyed}");
    expect("first_per: { key: customer, n: 0 }", "4: none of a key's events would count");
    expect("last_per: { key: customer, zone: Mars/Base }", "4: zone `Mars/Base` is not in the IANA database");
    expect("first_per: customer\n    last_per: channel", "5: either the first events of a key count, or the last");
    let unknown = problems(&with("last_per: { key: custommer, period: month }"));
    assert!(unknown.len() == 1 && unknown[0].starts_with("4: ") && unknown[0].contains("custommer"), "{unknown:?}");
}
