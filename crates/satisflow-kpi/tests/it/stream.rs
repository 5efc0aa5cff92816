//! Streams of small events, and the engine fed with them as the pipeline does it.

use std::collections::BTreeMap;

use arrow::array::{AsArray, BooleanArray, Decimal128Array, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use satisflow_kpi::{
    Arrival, Batch, CalendarUnit, Census, Definition, Engine, Frontier, Identities, Kept, KpiRow, MeasureInput, Metric,
    Plan, Position, PublishedRange, Reason, Resolution, RowKey, RowsBuilder, Sign, Window, WindowSpan,
};

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

/// Definitions of [`plan`].
pub const KPIS: [&str; 5] = ["csat", "complaint_rate", "responses", "median", "customers"];

/// csat (mean), complaints per unit (ratio, first per case), count, median, distinct count.
pub fn plan(groups_max: usize) -> Plan {
    plan_with(groups_max, Kept::FIRST)
}

/// The same, with these of each case.
pub fn plan_with(groups_max: usize, of_case: Kept) -> Plan {
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    let rolling = |name: &str, length, step| Window {
        name: name.into(),
        span: WindowSpan::Rolling { length: length * MINUTE, step: step * MINUTE },
    };
    let definition = |name: &str, metric| Definition {
        name: name.into(),
        fingerprint: name.into(),
        metric,
        windows: vec![0, 1, 2, 3],
        grouping_sets: vec![0, 1, 2],
        groups_max,
        topics: None,
        n_min: 2,
    };
    Plan {
        dimensions: vec!["department".into(), "channel".into()],
        grouping_sets: vec![vec![], vec![0], vec![0, 1]],
        windows: vec![
            rolling("5m", 5, 1),
            rolling("1h", 60, 20),
            Window { name: "day".into(), span: WindowSpan::Calendar { unit: CalendarUnit::Day, zone } },
            Window { name: "all".into(), span: WindowSpan::All },
        ],
        measures: 4,
        kept: BTreeMap::from([(1, of_case)]),
        definitions: vec![
            definition("csat", Metric::Mean(0)),
            definition("complaint_rate", Metric::Ratio { numerator: 1, denominator: 2, per: 1 }),
            definition("responses", Metric::Count(0)),
            definition("median", Metric::Quantile { measure: 0, millionths: 500_000 }),
            definition("customers", Metric::Distinct(3)),
        ],
    }
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
    };
    let customers = events.iter().map(|e| customer(e).map(u128::from)).collect();
    let one = |_: &Event| Some(1_000_000);
    Batch {
        event_time: events.iter().map(|e| e.time).collect(),
        event_id: texts(&|e| Some(e.id.to_string())),
        source: texts(&|_| Some("s".into())),
        dimensions: vec![texts(&|e| Some(e.department.into())), texts(&|e| e.channel.map(Into::into))],
        measures: vec![
            measure(numbers(&|e| e.score), numbers(&|e| Some(e.weight)), None),
            measure(numbers(&|_| Some(10_000)), numbers(&one), Some(texts(&|e| e.case.map(|c| c.to_string())))),
            measure(numbers(&|e| e.units), numbers(&one), None),
            MeasureInput {
                distinct: Some(customers),
                ..measure(numbers(&|e| customer(e).map(i64::from)), numbers(&|e| Some(e.weight)), None)
            },
        ],
    }
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
        Scorer { late_panes: Some(late_panes), ..Scorer::new(plan) }
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
        next.engine.apply(&batch(events), &signs).unwrap();
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
        self.engine.apply(&batch(events), &resolution.signs).unwrap();
        let recalled: Vec<Event> = resolution.recall.iter().map(|p| self.lake[p].clone()).collect();
        self.engine.apply(&batch(&recalled), &vec![Sign::Recall; recalled.len()]).unwrap();
    }

    pub fn advance(&mut self, watermark: i64) -> Vec<KpiRow> {
        self.rows(&[Frontier::at(watermark); KPIS.len()])
    }

    /// Published rows as the text of their key and figures; the last revision of each stays.
    pub fn publish(&mut self, watermark: i64, table: &mut BTreeMap<String, String>) {
        self.publish_each(&[Frontier::at(watermark); KPIS.len()], table);
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
            let column = batch.column_by_name(name).unwrap();
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
