//! A definition computes its own history: a catalog that is changed while the
//! stream goes on gives the rows of a lake that always had it.

use satisflow_testkit::wait_for;

use crate::place::{LIMIT, Place, brokers};

const TOPIC: &str = "backfill";
const MORE: &str = "time: data\nlate_panes: 2\ncatalog: catalog.yaml";
/// Columns of a row that tell what it says, not when or why it was written.
const SAYS: &str = "kpi, window_name, grouping_set, department, window_start, window_end, value, numerator, \
                    denominator, n, numerator_n, sum_w, sum_wx, sum_w2, sum_w2x, sum_w2x2, n_eff, se, ci_low, ci_high, \
                    status, fingerprint";

const BEFORE: &str = "version: 1
zone: Asia/Shanghai
dimensions: { department: department }
windows:
  2h: { length: 2h, step: 1h }
  day: { calendar: day }
measures:
  satisfaction:
    kinds: [rating, survey_response]
    value: csat_0_100(coalesce(score, overall), scale)
    weight: weight
  complaints: { kinds: [complaint_opened], first_per: case_id }
  shipped: { kinds: [sale], value: units }
  complained:
    kinds: [rating, survey_response]
    joins:
      near:
        { kinds: [complaint_opened], on: department, before: 2h, after: 1d, fields: { cases: { distinct: case_id } } }
      any: { kinds: [complaint_opened], on: product || ' ' || region, fields: { category: { last: category } } }
    value: case when any_category is null or any_category <> 'tone' then near_cases end
    weight: weight
defaults: { grouping_sets: [[], [department]], n_min: 1 }
metrics:
  csat: { mean: satisfaction }
  units: { sum: shipped, windows: [day] }
  complaints: { count: complaints, windows: [2h, day] }
  complained: { mean: complained, windows: [2h, day] }
  complaint_place: { rank: { of: complaints } }
";

/// A weight that holds from a day on (in the middle of the stream), a window, a dimension and KPIs more;
/// `complaints` is as it was, and so are its ranks and what is joined to ratings.
const AFTER: &str = "version: 1
zone: Asia/Shanghai
dimensions: { department: department, channel: channel }
windows:
  2h: { length: 2h, step: 1h }
  3d: { length: 3d, step: 6h }
  day: { calendar: day }
measures:
  satisfaction:
    kinds: [rating, survey_response]
    value: csat_0_100(coalesce(score, overall), scale)
    weight: case when event_time >= timestamp '2026-10-01T00:00:00Z' then weight * 2 else weight end
  complaints: { kinds: [complaint_opened], first_per: case_id }
  shipped: { kinds: [sale], value: units }
  complained:
    kinds: [rating, survey_response]
    joins:
      near:
        { kinds: [complaint_opened], on: department, before: 2h, after: 1d, fields: { cases: { distinct: case_id } } }
      any: { kinds: [complaint_opened], on: product || ' ' || region, fields: { category: { last: category } } }
    value: case when any_category is null or any_category <> 'tone' then near_cases end
    weight: weight
defaults: { grouping_sets: [[], [department]], n_min: 1 }
metrics:
  csat: { mean: satisfaction, grouping_sets: [[], [department], [department, channel]] }
  units: { sum: shipped, windows: [3d, day] }
  complaints: { count: complaints, windows: [2h, day] }
  complained: { mean: complained, windows: [2h, day] }
  responses: { count: satisfaction, windows: [3d] }
  complaint_place: { rank: { of: complaints } }
  csat_gap: { gap: { of: csat, others: true }, windows: [day] }
";

fn place(catalog: &str) -> Place {
    let place = Place::with(TOPIC, &brokers(), MORE);
    set_catalog(&place, catalog);
    place
}

fn set_catalog(place: &Place, catalog: &str) {
    std::fs::write(place.path().join("catalog.yaml"), catalog).unwrap();
}

fn csv(place: &Place, query: &str) -> String {
    place.program.succeed(&["--log", "error", "sql", "--format", "csv", query]).unwrap()
}

/// The table has dimensions that a catalog once had; `more` names those to be compared.
fn current(place: &Place, more: &str, kpis: &str) -> String {
    let order = format!("kpi, window_name, grouping_set, department{more}, window_end");
    csv(place, &format!("select {SAYS}{more} from kpi_current where kpi in ({kpis}) order by {order}"))
}

/// A place that has always had a catalog, and has taken all of the topic in.
fn always(catalog: &str) -> Place {
    let place = place(catalog);
    let config = place.path().join("satisflow.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    // A group of its own: it reads beside the service, not in its place.
    let own = text.replace(&format!("group_id: {TOPIC}"), "group_id: always");
    assert_ne!(text, own);
    std::fs::write(config, own).unwrap();
    place.run_to_the_end();
    place
}

/// Waits until what was published reaches into the records taken in so far.
fn wait_for_rows(place: &Place, records: i64) {
    place.wait_for_rows(records);
    let published = || place.number("select count(*) from kpi_current where kpi = 'complaints'").filter(|n| *n > 10);
    wait_for("rows of complaints", LIMIT, published).unwrap();
}

fn rows_of(place: &Place, kpi: &str, fingerprints: &str) -> String {
    let wanted = format!("kpi = '{kpi}' and fingerprint in ({fingerprints})");
    let order = "window_name, grouping_set, department, window_end, revision";
    csv(place, &format!("select {SAYS}, revision, reason, computed_at from kpis where {wanted} order by {order}"))
}

/// The fingerprints of a KPI, as a list of SQL.
fn fingerprints(place: &Place, kpi: &str) -> String {
    let found = csv(place, &format!("select distinct fingerprint from kpis where kpi = '{kpi}'"));
    found.lines().skip(1).map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

fn holds_all(later: &str, earlier: &str) {
    let later: std::collections::BTreeSet<&str> = later.lines().collect();
    let lost: Vec<&str> = earlier.lines().filter(|row| !later.contains(row)).collect();
    assert!(earlier.lines().count() > 10 && lost.is_empty(), "{lost:#?}");
}

#[test]
fn a_changed_catalog_computes_its_history_while_the_stream_goes_on() {
    let place = place(BEFORE);
    place.generate_all(TOPIC, 700, &["--seed", "81", "--days", "6"]);
    let first_truth = std::fs::read_to_string(place.path().join("truth.jsonl")).unwrap();
    let mut before = place.program.start("before", &["run"]).unwrap();
    wait_for_rows(&place, 700);
    before.signal("TERM").unwrap();
    assert_eq!(before.wait(LIMIT).unwrap(), 0, "{}", before.log());
    let old = fingerprints(&place, "csat");
    let (old_rows, unchanged) =
        (rows_of(&place, "csat", &old), rows_of(&place, "complaints", &fingerprints(&place, "complaints")));
    set_catalog(&place, AFTER);
    let mut changed = place.program.start("changed", &["run"]).unwrap();
    let computes = || changed.log().contains("a new definition: its history is computed from the lake").then_some(());
    wait_for("a new definition", LIMIT, computes).unwrap_or_else(|error| panic!("{error:#}: {}", changed.log()));
    // What is as it was goes on from its state, and only the others read the events again.
    let told = "new definitions have read the events of the lake";
    wait_for(told, LIMIT, || changed.log().contains(told).then_some(())).unwrap();
    assert!(changed.log().contains("the engine goes on from a snapshot"), "{}", changed.log());
    let stream = ["--seed", "82", "--rate", "100", "--days", "14", "--start", "2026-09-27T14:13:20Z"];
    let mut generating = place.generate(TOPIC, 1700, &stream).unwrap();
    // Killed while or after it computes: what is missing is computed by the next one.
    place.wait_for_rows(900);
    changed.signal("KILL").unwrap();
    changed.wait(LIMIT).unwrap();
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    let truth = std::fs::read_to_string(place.path().join("truth.jsonl")).unwrap();
    std::fs::write(place.path().join("truth.jsonl"), first_truth + &truth).unwrap();
    place.run_to_the_end();
    place.check_conservation();
    place.check_audit();
    let kpis = "'csat', 'units', 'complaints', 'complained', 'responses', 'complaint_place', 'csat_gap'";
    check_equal(&current(&place, ", channel", kpis), &current(&always(AFTER), ", channel", kpis));
    // The old definition's rows stay as they were, under its fingerprint; so do those of one that is as it was.
    assert_eq!(rows_of(&place, "csat", &old), old_rows);
    let complaints = fingerprints(&place, "complaints");
    assert_eq!(complaints.matches('\'').count(), 2, "one fingerprint: {complaints}");
    holds_all(&rows_of(&place, "complaints", &complaints), &unchanged);
    let reasons = "select count(*) from kpis where reason = 'back-fill' and kpi ";
    assert_eq!(place.number(&format!("{reasons} in ('complaints', 'complaint_place')")), Some(0));
    assert!(place.number(&format!("{reasons} = 'csat_gap'")) > Some(0));
    assert!(place.number(&format!("{reasons} = 'responses'")) > Some(0));
    assert!(place.number(&format!("{reasons} = 'csat'")) > Some(0));
    the_old_catalog_goes_on_where_its_rows_stop(&place);
}

fn check_equal(found: &str, wanted: &str) {
    let differs = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    assert_eq!(differs, None, "found, and wanted");
    assert_eq!(found.lines().count(), wanted.lines().count(), "rows");
}

fn the_old_catalog_goes_on_where_its_rows_stop(place: &Place) {
    set_catalog(place, BEFORE);
    place.run_to_the_end();
    place.check_audit();
    // `responses`, which it does not have, stays as it was.
    let kpis = "'csat', 'units', 'complaints', 'complained', 'complaint_place'";
    check_equal(&current(place, "", kpis), &current(&always(BEFORE), "", kpis));
}

/// A weight that depends on `event_time` counts for what happened from then on, however late it comes.
#[test]
fn a_weight_holds_from_its_day_on_by_event_time() {
    let place = crate::place::offline("time: data\ncatalog: catalog.yaml");
    let from = "timestamp '2026-10-01T00:00:00Z'";
    let weight = format!("case when event_time >= {from} then 3 else 1 end");
    set_catalog(&place, &BEFORE.replace("weight: weight", &format!("weight: {weight}")));
    let rating = |id: &str, time: &str, score: u32| {
        format!(
            "{{\"event_id\":\"{id}\",\"kind\":\"rating\",\"event_time\":\"{time}\",\"score\":{score},\
             \"scale\":\"1-5\",\"weight\":7}}\n"
        )
    };
    let lines = [
        rating("a", "2026-09-30T23:59:59.999999Z", 1),
        rating("b", "2026-10-01T00:00:00Z", 5),
        rating("c", "2026-10-05T00:00:00Z", 3),
        // It comes last, and is of before.
        rating("d", "2026-09-30T23:00:00Z", 5),
    ];
    for (number, part) in lines.chunks(3).enumerate() {
        let file = format!("{number}.jsonl");
        std::fs::write(place.path().join(&file), part.concat()).unwrap();
        place.program.succeed(&["replay", &file]).unwrap();
    }
    // The day of +08 from 16:00Z on: 0 with weight 1, 100 with 3 and 100 with 1.
    let found = csv(
        &place,
        "select cast(sum_w as varchar) as w, cast(value as varchar) as value, revision from kpi_current \
         where kpi = 'csat' and window_name = 'day' and grouping_set = '' order by window_end limit 1",
    );
    assert_eq!(found.lines().nth(1), Some("5.000000,80.000000000000,2"), "{found}");
    place.check_audit();
}
