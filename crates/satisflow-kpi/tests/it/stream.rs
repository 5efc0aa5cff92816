//! Streams of small events, and the engine fed with them as the pipeline does it.

use std::collections::BTreeMap;

use arrow::array::{AsArray, BooleanArray, Decimal128Array, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use satisflow_kpi::{
    Arrival, Batch, CalendarUnit, Census, Definition, Engine, Frontier, Identities, Kept, KpiRow, MeasureInput, Metric,
    Plan, Position, PublishedRange, Reason, Resolution, RowKey, RowsBuilder, Sign, Validity, Window, WindowSpan,
};

use crate::joins;

pub const MINUTE: i64 = 60_000_000;

#[derive(Debug, Clone)]
pub struct Event {
    pub id: u8,
    pub partition: i32,
    pub offset: i64,
    pub time: i64,
    pub department: &'static str,
    pub channel: Option<&'static str>,
    pub score: Option<i64>,
    pub weight: i64,
    pub units: Option<i64>,
    pub case: Option<u8>,
    pub voids: Option<u8>,
}

impl Event {
    /// A score of 4 decimals in department `a`, of weight 1, and nothing else.
    pub fn rating(id: u8, time: i64, score: i64) -> Event {
        Event {
            id,
            partition: 0,
            offset: i64::from(id),
            time,
            department: "a",
            channel: None,
            score: Some(score),
            weight: 1_000_000,
            units: None,
            case: None,
            voids: None,
        }
    }
}

/// Definitions of [`plan`].
pub const KPIS: [&str; 6] = ["csat", "complaint_rate", "responses", "median", "customers", "rough"];

/// csat (mean), complaints per unit (ratio, first per case), count, median, distinct count, ninth tenth to one digit.
pub fn plan(groups_max: usize) -> Plan {
    plan_with(groups_max, Kept::FIRST)
}

/// The same, with these of each case.
pub fn plan_with(groups_max: usize, of_case: Kept) -> Plan {
    let days = |name: &str, last| {
        let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        Window { name: name.into(), span: WindowSpan::Calendar { unit: CalendarUnit::Day, zone, last } }
    };
    let rolling = |name: &str, length, step| Window {
        name: name.into(),
        span: WindowSpan::Rolling { length: length * MINUTE, step: step * MINUTE },
    };
    let definition = |name: &str, metric| Definition {
        name: name.into(),
        fingerprint: name.into(),
        metric,
        compared: None,
        windows: vec![0, 1, 2, 3, 4],
        grouping_sets: vec![0, 1, 2],
        groups_max,
        topics: None,
        n_min: 2,
        validity: Validity::default(),
    };
    Plan {
        dimensions: vec!["department".into(), "channel".into()],
        grouping_sets: vec![vec![], vec![0], vec![0, 1]],
        windows: vec![
            rolling("5m", 5, 1),
            rolling("1h", 60, 20),
            days("day", 1),
            Window { name: "all".into(), span: WindowSpan::All },
            days("3days", 3),
        ],
        measures: 11,
        kept: BTreeMap::from([(1, of_case)]),
        joins: BTreeMap::new(),
        joined_rows: BTreeMap::new(),
        weightings: BTreeMap::new(),
        definitions: vec![
            definition("csat", Metric::Mean(0)),
            definition("complaint_rate", Metric::Ratio { numerator: 1, denominator: 2, per: 1 }),
            definition("responses", Metric::Count(0)),
            definition("median", Metric::Quantile { measure: 0, millionths: 500_000, digits: None }),
            definition("customers", Metric::Distinct(3)),
            definition("rough", Metric::Quantile { measure: 0, millionths: 900_000, digits: Some(1) }),
        ],
    }
}

/// A catalog and the one that it is changed into: two KPIs stay, two go, and
/// three are new. A dimension is new, and each measure of one that stays is read by a new one too.
pub fn changed_plans(of_case: Kept) -> [Plan; 2] {
    let plan = plan_with(1000, of_case);
    let definition = |name: &str, metric, grouping_sets| Definition {
        name: name.into(),
        fingerprint: name.into(),
        metric,
        grouping_sets,
        ..plan.definitions[0].clone()
    };
    let rate = definition("rate", Metric::Ratio { numerator: 1, denominator: 2, per: 1 }, vec![0, 1]);
    let median = definition("median", Metric::Quantile { measure: 0, millionths: 500_000, digits: None }, vec![1]);
    let before = Plan {
        dimensions: vec!["department".into()],
        grouping_sets: vec![vec![], vec![0]],
        definitions: vec![
            definition("mean", Metric::Mean(0), vec![0, 1]),
            rate.clone(),
            definition("customers", Metric::Distinct(3), vec![0]),
            median.clone(),
        ],
        ..plan.clone()
    };
    let after = Plan {
        definitions: vec![
            definition("csat", Metric::Mean(0), vec![0, 1, 2]),
            median,
            definition("cases", Metric::Count(1), vec![0, 1, 2]),
            rate,
            definition("shipped", Metric::Sum(2), vec![2]),
        ],
        ..plan
    };
    [before, after]
}

pub fn batch(events: &[Event]) -> Batch {
    let texts = |f: &dyn Fn(&Event) -> Option<String>| StringArray::from_iter(events.iter().map(f));
    let numbers =
        |f: &dyn Fn(&Event) -> Option<i64>| Decimal128Array::from_iter(events.iter().map(|e| f(e).map(i128::from)));
    let measure = |value: Decimal128Array, weight: Decimal128Array, key| MeasureInput {
        selected: BooleanArray::from(vec![true; events.len()]),
        value,
        weight,
        key,
        distinct: None,
        cell: None,
    };
    let scored = |cell: Option<fn(&Event) -> Option<u32>>, key| MeasureInput {
        cell: cell.map(|cell| events.iter().map(cell).collect()),
        ..measure(numbers(&|e| e.score), numbers(&|e| Some(e.weight)), key)
    };
    let cases = || Some(texts(&|e| e.case.map(|c| c.to_string())));
    let customers = events.iter().map(|e| customer(e).map(u128::from)).collect();
    let one = |_: &Event| Some(1_000_000);
    Batch {
        event_time: events.iter().map(|e| e.time).collect(),
        event_id: texts(&|e| Some(e.id.to_string())),
        source: texts(&|_| Some("s".into())),
        dimensions: vec![texts(&|e| Some(e.department.into())), texts(&|e| e.channel.map(Into::into))],
        measures: vec![
            measure(numbers(&|e| e.score), numbers(&|e| Some(e.weight)), None),
            measure(numbers(&|_| Some(10_000)), numbers(&one), cases()),
            measure(numbers(&|e| e.units), numbers(&one), None),
            MeasureInput {
                distinct: Some(customers),
                ..measure(numbers(&|e| customer(e).map(i64::from)), numbers(&|e| Some(e.weight)), None)
            },
            scored(Some(channel_cell), None),
            scored(Some(joint_cell), cases()),
            scored(None, None),
            scored(Some(channel_cell), None),
            scored(Some(channel_cell), None),
            measure(numbers(&|e| Some(life(e))), numbers(&|e| Some(e.weight)), None),
            measure(numbers(&|e| Some(life(e))), numbers(&|e| Some(e.weight)), cases()),
        ],
    }
}

/// How long what an event began lasted, µs: up to 83 minutes; below 0 it goes on.
pub fn life(event: &Event) -> i64 {
    event.units.map_or(-1, |units| units * 100_000)
}

/// The channel as a part of a population of two; other channels are outside.
pub fn channel_cell(event: &Event) -> Option<u32> {
    event.channel.map(|channel| u32::from(channel == "y"))
}

/// Channel and department as two margins; one department is outside.
pub fn joint_cell(event: &Event) -> Option<u32> {
    let department = ["a", "b"].iter().position(|name| *name == event.department)?;
    channel_cell(event).map(|channel| 2 * channel + department as u32)
}

/// Few, so that many events share one; some have none.
pub fn customer(event: &Event) -> Option<u8> {
    (event.id != 13).then_some(event.id % 5)
}

pub fn arrival(event: &Event) -> Arrival {
    Arrival { identity: u128::from(event.id), position: position(event), voids: [event.voids.map(u128::from), None] }
}

pub fn position(event: &Event) -> Position {
    Position { topic: "t".into(), partition: event.partition, offset: event.offset }
}

fn text<'a>(row: &'a RecordBatch, column: &str) -> &'a str {
    row[column].as_string::<i32>().value(0)
}

fn end(row: &RecordBatch) -> i64 {
    row["window_end"].as_primitive::<TimestampMicrosecondType>().value(0)
}

fn is_in(range: &PublishedRange, row: &RecordBatch) -> bool {
    let names = [text(row, "fingerprint"), text(row, "window_name"), text(row, "grouping_set")];
    names == [&*range.fingerprint, &*range.window, &*range.grouping_set]
        && range.after.is_none_or(|after| end(row) > after)
        && end(row) <= range.to
}

fn restore(engine: &mut Engine, row: &RecordBatch) {
    let set = text(row, "grouping_set");
    let values = set.split(',').filter(|name| !name.is_empty()).map(|name| text(row, name)).collect();
    let revision = row["revision"].as_primitive::<Int64Type>().value(0);
    engine.restore_revision(&RowKey {
        fingerprint: text(row, "fingerprint"),
        window: text(row, "window_name"),
        grouping_set: set,
        values,
        end: end(row),
        revision: u32::try_from(revision).unwrap(),
        incomplete: text(row, "status") == "incomplete",
    });
}

/// Identities held: so few that most have to be recollected.
const HELD_MAX: usize = 4;

/// Identities, and a lake to recollect them from.
pub struct Resolver {
    identities: Identities,
    resolved: Vec<Arrival>,
}

impl Resolver {
    pub fn new() -> Resolver {
        Resolver { identities: Identities::new(HELD_MAX), resolved: Vec::new() }
    }

    pub fn resolve(&mut self, events: &[Event]) -> Resolution {
        let arrivals: Vec<Arrival> = events.iter().map(arrival).collect();
        let unsure = self.identities.unsure(&arrivals);
        self.identities.recollect(&unsure, &self.resolved);
        self.resolved.extend(arrivals.iter().cloned());
        self.identities.resolve(&arrivals)
    }

    /// What each of all events does that were ever resolved, and who goes on from there.
    pub fn anew(events: &[Event]) -> (Resolver, Vec<Sign>) {
        let resolved: Vec<Arrival> = events.iter().map(arrival).collect();
        let mut census = Census::default();
        resolved.chunks(3).for_each(|some| census.note(some));
        if census.has_repeated() {
            resolved.chunks(5).for_each(|some| census.place(some));
        }
        let signs = census.signs(&resolved);
        (Resolver { identities: census.into_identities(HELD_MAX), resolved }, signs)
    }
}

/// A snapshot.
pub struct Saved {
    pub frames: Vec<Vec<u8>>,
    identities: Vec<u8>,
    resolved: usize,
    rows: usize,
}

/// The engine with its identities, as the pipeline holds them.
pub struct Scorer {
    pub engine: Engine,
    resolver: Resolver,
    lake: BTreeMap<Position, Event>,
    /// Panes kept behind what is published; `None`: all.
    late_panes: Option<u32>,
    /// Every row published, as the lake keeps it.
    kpis: Vec<RecordBatch>,
    /// The last revision of each row.
    revisions: BTreeMap<String, u32>,
}

impl Scorer {
    pub fn new(plan: Plan) -> Scorer {
        Scorer {
            engine: Engine::new(plan),
            resolver: Resolver::new(),
            lake: BTreeMap::new(),
            late_panes: None,
            kpis: Vec::new(),
            revisions: BTreeMap::new(),
        }
    }

    /// One that keeps few panes.
    pub fn forgetful(plan: Plan, late_panes: u32) -> Scorer {
        Scorer::keeping(plan, Some(late_panes))
    }

    /// One that keeps so many panes, or all.
    pub fn keeping(plan: Plan, late_panes: Option<u32>) -> Scorer {
        Scorer { late_panes, ..Scorer::new(plan) }
    }

    /// Another one that was stopped after `published` and goes on from its rows.
    pub fn restarted(self, events: &[Event], published: i64) -> Scorer {
        let plan = self.engine.plan().clone();
        let fingerprints: Vec<_> = plan.definitions.iter().map(|d| d.fingerprint.clone()).collect();
        let mut next =
            Scorer { late_panes: self.late_panes, kpis: self.kpis, revisions: self.revisions, ..Scorer::new(plan) };
        if let Some(late_panes) = next.late_panes {
            next.engine.begin_at(&vec![published; fingerprints.len()], late_panes, 0).unwrap();
        }
        next.lake = self.lake;
        let (resolver, signs) = Resolver::anew(events);
        next.resolver = resolver;
        joins::apply(&mut next.engine, events, &signs);
        for fingerprint in &fingerprints {
            next.engine.resume(fingerprint, Frontier::at(published)).unwrap();
        }
        for row in &next.kpis {
            restore(&mut next.engine, row);
        }
        next
    }

    /// The state as a snapshot, with how many rows were published by then.
    pub fn save(&self) -> Saved {
        let frames = self.engine.frames().collect::<Result<Vec<_>, _>>().unwrap();
        let Resolver { identities, resolved } = &self.resolver;
        Saved { frames, identities: identities.frame().unwrap(), resolved: resolved.len(), rows: self.kpis.len() }
    }

    /// Another one that goes on from an earlier snapshot: `events` came, and
    /// rows up to `published`, since it was taken.
    pub fn recovered(mut self, saved: &Saved, events: &[Event], published: i64) -> Scorer {
        let plan = self.engine.plan().clone();
        let fingerprints: Vec<_> = plan.definitions.iter().map(|d| d.fingerprint.clone()).collect();
        let mut frames = saved.frames.iter().cloned();
        let engine = Engine::from_frames(plan, || Ok(frames.next().unwrap())).unwrap();
        self.resolver.identities = Identities::from_frame(&saved.identities, HELD_MAX).unwrap();
        self.resolver.resolved.truncate(saved.resolved);
        let mut next = Scorer { engine, ..self };
        next.take(events);
        next.engine.forget_expired_changes();
        for fingerprint in &fingerprints {
            next.engine.resume(fingerprint, Frontier::at(published)).unwrap();
        }
        for row in &next.kpis[saved.rows..] {
            restore(&mut next.engine, row);
        }
        next
    }

    /// Another one of a changed catalog, from an earlier snapshot: `all` had
    /// come, and rows up to `published`, when this one stopped.
    pub fn changed(mut self, plan: Plan, saved: &Saved, all: &[Event], published: i64) -> Scorer {
        let fingerprint = |d: &Definition| d.fingerprint.clone();
        let known: Vec<_> = self.engine.plan().definitions.iter().map(fingerprint).collect();
        let begins = |d: &Definition| if known.contains(&d.fingerprint) { published } else { i64::MIN };
        let begins: Vec<i64> = plan.definitions.iter().map(begins).collect();
        let mut frames = saved.frames.iter().cloned();
        let engine = Engine::from_frames(plan, || Ok(frames.next().unwrap())).unwrap();
        assert_eq!(engine.new_definitions().len(), 3);
        self.resolver.identities = Identities::from_frame(&saved.identities, HELD_MAX).unwrap();
        self.resolver.resolved.truncate(saved.resolved);
        let mut next = Scorer { engine, ..self };
        next.take(&all[saved.resolved..]);
        next.engine.forget_expired_changes();
        next.engine.begin_at(&begins, next.late_panes.unwrap_or(0), 0).unwrap();
        next.engine.begin_history();
        let (resolver, signs) = Resolver::anew(all);
        next.resolver = resolver;
        joins::apply(&mut next.engine, all, &signs);
        next.engine.end_history();
        for fingerprint in &known {
            next.engine.resume(fingerprint, Frontier::at(published)).unwrap();
        }
        for row in &next.kpis[saved.rows..] {
            restore(&mut next.engine, row);
        }
        next
    }

    /// The rows that became final or changed, and what of them is to be restated from the lake.
    fn rows(&mut self, frontiers: &[Frontier]) -> Vec<KpiRow> {
        let ranges = self.engine.expired_ranges();
        let wanted = |row: &&RecordBatch| ranges.iter().any(|range| is_in(range, row));
        let read: Vec<RecordBatch> = self.kpis.iter().filter(wanted).cloned().collect();
        let mut rows = self.engine.restate_expired(&read).unwrap();
        rows.extend(self.engine.advance(frontiers).unwrap());
        for row in &rows {
            let held = self.revisions.insert(self.show(row).0, row.revision).unwrap_or(0);
            assert!(row.revision > held, "revision {} after {held}", row.revision);
            assert!(self.late_panes.is_none() || row.revision == held + 1, "revision {} after {held}", row.revision);
            let mut builder = RowsBuilder::new(&self.engine.plan().dimensions);
            builder.append(&self.engine, row, 0);
            self.kpis.push(builder.finish().unwrap());
        }
        if let Some(late_panes) = self.late_panes {
            self.engine.expire(late_panes, 0).unwrap();
        }
        rows
    }

    pub fn take(&mut self, events: &[Event]) {
        self.lake.extend(events.iter().map(|e| (position(e), e.clone())));
        let resolution = self.resolver.resolve(events);
        joins::apply(&mut self.engine, events, &resolution.signs);
        let recalled: Vec<Event> = resolution.recall.iter().map(|p| self.lake[p].clone()).collect();
        joins::apply(&mut self.engine, &recalled, &vec![Sign::Recall; recalled.len()]);
    }

    pub fn advance(&mut self, watermark: i64) -> Vec<KpiRow> {
        self.rows(&vec![Frontier::at(watermark); self.engine.plan().definitions.len()])
    }

    /// Published rows as the text of their key and figures; the last revision of each stays.
    pub fn publish(&mut self, watermark: i64, table: &mut BTreeMap<String, String>) {
        self.publish_each(&vec![Frontier::at(watermark); self.engine.plan().definitions.len()], table);
    }

    pub fn publish_each(&mut self, frontiers: &[Frontier], table: &mut BTreeMap<String, String>) {
        for row in &self.rows(frontiers) {
            let (key, figures) = self.show(row);
            if row.reason == Reason::Withdrawn {
                table.remove(&key);
            } else {
                table.insert(key, figures);
            }
        }
    }

    /// The last row of each series in a table of published rows, and by the engine's word.
    pub fn finals(&self, table: &BTreeMap<String, String>) -> [BTreeMap<String, String>; 2] {
        let series = |key: &str| key.rsplit_once('|').unwrap().0.to_owned();
        // Keys end with the window's end, so that the last of a series stays.
        let published = table.iter().map(|(key, figures)| (series(key), format!("{key} {figures}"))).collect();
        let said = self.engine.finals().unwrap().iter().map(|row| self.show(row)).collect::<Vec<_>>();
        [published, said.into_iter().map(|(key, figures)| (series(&key), format!("{key} {figures}"))).collect()]
    }

    pub fn show(&self, row: &KpiRow) -> (String, String) {
        let mut builder = RowsBuilder::new(&self.engine.plan().dimensions);
        builder.append(&self.engine, row, 0);
        let batch = builder.finish().unwrap();
        let text = |name: &str| {
            // A plan without a dimension has no column of it.
            let Some(column) = batch.column_by_name(name) else { return String::new() };
            arrow::util::display::array_value_to_string(column, 0).unwrap()
        };
        let list = |names: &[&str]| names.iter().map(|n| text(n)).collect::<Vec<_>>().join("|");
        let key = list(&["kpi", "window_name", "grouping_set", "department", "channel"]);
        let end = row.window_end;
        (
            format!("{key}|{end:020}"),
            list(&[
                "value",
                "numerator",
                "denominator",
                "n",
                "sum_w",
                "sum_wx",
                "sum_w2",
                "sum_w2x",
                "sum_w2x2",
                "status",
            ]),
        )
    }
}
