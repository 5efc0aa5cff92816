//! Measures that read the answers of an event one by one.

use std::collections::BTreeMap;

use arrow::array::Array;
use satisflow_catalog::Evaluator;
use satisflow_kpi::{Batch, Sign};

use crate::support::{answered, catalog, problems};

const CATALOG: &str = "version: 1
dimensions: { item: item, answer: answer }
measures:
  each: { per_answer: true, filter: item <> 'skipped', value: 'TRY_CAST(answer AS DECIMAL(18,4))' }
  first: { per_answer: true, first_per: item }
  events: {}
metrics:
  a: { mean: each }
  b: { count: first }
  c: { count: events }
";

fn values(batch: &Batch, measure: usize) -> Vec<Option<i128>> {
    let input = &batch.measures[measure];
    let selected = |row: usize| input.selected.is_valid(row) && input.selected.value(row) && input.value.is_valid(row);
    (0..batch.rows()).map(|row| selected(row).then(|| input.value.value(row))).collect()
}

#[test]
fn each_answer_is_a_row_that_does_what_its_event_does() {
    let events = answered(&[
        BTreeMap::from([("speed", "3"), ("skipped", "4")]),
        BTreeMap::new(),
        BTreeMap::from([("goods", "x"), ("speed", "2.5")]),
    ]);
    let evaluator = Evaluator::new(&catalog(CATALOG)).unwrap();
    let signs = [Sign::Count, Sign::Touch, Sign::Recall];
    let measured: Vec<_> = evaluator.measure(&events, &signs).unwrap().collect();
    let [of_events, of_answers] = &measured[..] else { panic!("{} batches", measured.len()) };
    assert_eq!(*of_events.signs, signs);
    assert_eq!(values(&of_events.batch, 1), [Some(10_000); 3]);
    assert_eq!(values(&of_events.batch, 0), [None; 3], "an event is no answer");
    assert!(of_events.batch.dimensions.iter().all(|dimension| dimension.null_count() == 3));
    assert_eq!(*of_answers.signs, [Sign::Count, Sign::Count, Sign::Recall, Sign::Recall]);
    assert_eq!(values(&of_answers.batch, 0), [None, Some(30_000), None, Some(25_000)]);
    assert_eq!(values(&of_answers.batch, 1), [None; 4], "an answer is no event");
    let items: Vec<_> = of_answers.batch.dimensions[1].iter().flatten().collect();
    assert_eq!(items, ["skipped", "speed", "goods", "speed"]);
    let ids: Vec<_> = of_answers.batch.event_id.iter().flatten().collect();
    assert_eq!(ids, ["0\u{1f}skipped", "0\u{1f}speed", "2\u{1f}goods", "2\u{1f}speed"]);
}

#[test]
fn without_such_a_measure_there_are_events_alone_and_no_column_answer() {
    let text = CATALOG.replace("per_answer: true, ", "");
    let found = problems(&text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|problem| problem.contains("No field named answer")), "{found:?}");
    let plain = catalog("version: 1\nmeasures: { m: {} }\nmetrics: { k: { count: m } }\n");
    let (events, signs) = (answered(&[BTreeMap::from([("a", "1")])]), [Sign::Count]);
    assert_eq!(Evaluator::new(&plain).unwrap().measure(&events, &signs).unwrap().count(), 1);
}

#[test]
fn an_index_does_not_read_answers_one_by_one() {
    let text = "version: 1\nmeasures:\n  m:\n    per_answer: true\n    index: { items: { a: { weight: 1, min: 1, max: 5 } } }\nmetrics:\n  k: { mean: m }\n";
    assert_eq!(problems(text), ["5: an index reads all answers of an event, and `per_answer` each by itself"]);
}
