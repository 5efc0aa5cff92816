//! The lake on a local folder: commits, fences, live rows, maintenance.
#![allow(clippy::unwrap_used, missing_docs)]

mod faults;
mod formats;
mod rejects;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::catalog::TableProvider;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;
use satisflow_lake::{CommitError, KpisCommit, Lake, LakeError, LakeOptions, RecordsCommit, StoreOptions};
use satisflow_model::{Decoder, Limits, Outcome, Record, RecordsBuilder, Scales, SourceSpec};

fn options() -> LakeOptions {
    LakeOptions {
        records_schema: satisflow_model::records_schema(),
        kpis_schema: satisflow_kpi::kpis_schema(&["department".into()]),
        alerts_schema: satisflow_alerts::alerts_schema(&["department".into()]),
        read_only: false,
        store: None,
        store_options: StoreOptions::default(),
    }
}

async fn open(folder: &tempfile::TempDir) -> Lake {
    Lake::open(folder.path().to_str().unwrap(), options()).await.unwrap()
}

const DAY_MS: i64 = 86_400_000;

/// Ratings at offsets `from..to` of a partition, one every `step` ms from 2026-01-01 on.
fn rows(partition: i32, from: i64, to: i64, step: i64) -> RecordBatch {
    let source = SourceSpec { name: "t".into(), mapping: None, scales: Arc::new(Scales::default()) };
    let decoder = Decoder::new(source, Limits::default());
    let mut builder = RecordsBuilder::new(Limits::default());
    for offset in from..to {
        let time = 1_767_225_600_000 + offset * step;
        let json = format!(
            r#"{{"event_id":"{partition}-{offset}","kind":"rating","event_time":{time},"score":4,"scale":"1-5"}}"#
        );
        let record =
            Record { topic: "t", partition, offset, timestamp_ms: None, payload: Some(json.as_bytes()), headers: &[] };
        let event = decoder.decode(&record, None).unwrap();
        builder.append_event(&record, 0, Outcome::Accepted, &event);
    }
    builder.finish().unwrap()
}

fn commit(id: &str, partition: i32, from: i64, to: i64) -> RecordsCommit {
    let key = ("t".to_owned(), partition);
    RecordsCommit {
        commit_id: id.to_owned(),
        batches: vec![rows(partition, from, to, DAY_MS)],
        from: BTreeMap::from([(key.clone(), from)]),
        to: BTreeMap::from([(key.clone(), to)]),
        counted: BTreeMap::from([(key, u64::try_from(to - from).unwrap())]),
    }
}

fn counting(lake: &Lake) -> SessionContext {
    let config = SessionConfig::new().set_bool("datafusion.execution.parquet.schema_force_view_types", false);
    let context = SessionContext::new_with_config(config.with_target_partitions(1));
    context.register_table("records", lake.live_records()).unwrap();
    context
}

async fn count_in(context: &SessionContext) -> i64 {
    let batches = context.sql("select count(*) from records").await.unwrap().collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// The rows of one scan: a count without the planning.
async fn scanned(lake: &Lake, context: &SessionContext) -> i64 {
    let records = lake.live_records();
    let offset = records.schema().index_of("offset").unwrap();
    let plan = records.scan(&context.state(), Some(&vec![offset]), &[], None).await.unwrap();
    let batches = collect(plan, context.task_ctx()).await.unwrap();
    i64::try_from(batches.iter().map(RecordBatch::num_rows).sum::<usize>()).unwrap()
}

async fn count(lake: &Lake) -> i64 {
    count_in(&counting(lake)).await
}

#[tokio::test]
async fn rows_and_positions_come_with_one_commit_and_survive_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(&folder).await;
    assert_eq!(lake.position("t", 0).await.unwrap(), None);
    lake.commit_records(commit("a", 0, 5, 9)).await.unwrap();
    let again = open(&folder).await;
    assert_eq!((again.position("t", 0).await.unwrap(), count(&again).await), (Some(9), 4));
    let stream = again.read_accepted(again.records_version().await.unwrap()).await.unwrap();
    let read: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
    assert_eq!(read[0].schema(), satisflow_model::records_schema());
}

#[tokio::test]
async fn a_zombie_that_refreshes_its_snapshot_is_still_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (owner, zombie) = (open(&folder).await, open(&folder).await);
    owner.commit_records(commit("a", 0, 0, 10)).await.unwrap();
    owner.commit_records(commit("b", 0, 10, 15)).await.unwrap();
    for attempt in ["z1", "z2"] {
        let refused = zombie.commit_records(commit(attempt, 0, 10, 18)).await.unwrap_err();
        assert!(refused.is_lost(), "{refused}");
        assert!(matches!(refused, CommitError::PositionMoved { expected: 10, found: Some(15), .. }));
    }
    assert_eq!(count(&owner).await, 15);
}

#[tokio::test]
async fn two_processes_commit_different_partitions_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (open(&folder).await, open(&folder).await);
    let run = async |lake: &Lake, partition| {
        for round in 0..15 {
            let id = format!("{partition}/{round};");
            lake.commit_records(commit(&id, partition, round * 3, round * 3 + 3)).await.unwrap();
        }
    };
    tokio::join!(run(&a, 0), run(&b, 1));
    a.refresh().await.unwrap();
    assert_eq!(count(&a).await, 90);
}

#[tokio::test]
async fn rows_that_are_not_what_was_polled_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(&folder).await;
    let mut less = commit("a", 0, 0, 3);
    less.counted = BTreeMap::from([(("t".to_owned(), 0), 4)]);
    assert!(matches!(lake.commit_records(less).await, Err(CommitError::CountMismatch { counted: 4, rows: 3, .. })));
    let mut outside = commit("b", 0, 0, 3);
    outside.to = BTreeMap::from([(("t".to_owned(), 0), 2)]);
    assert!(matches!(lake.commit_records(outside).await, Err(CommitError::OffsetOutside { offset: 2, .. })));
    assert_eq!(count(&lake).await, 0);
}

#[tokio::test]
async fn the_fence_of_kpis_lets_one_scorer_through() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(&folder).await;
    let commit = |id: &str, expected, value| KpisCommit {
        commit_id: id.to_owned(),
        batches: Vec::new(),
        transactions: BTreeMap::from([(satisflow_lake::SCORE.to_owned(), value)]),
        expect: BTreeMap::from([(satisflow_lake::SCORE.to_owned(), expected)]),
    };
    lake.commit_kpis(commit("a", None, 4)).await.unwrap();
    assert!(lake.commit_kpis(commit("b", None, 5)).await.unwrap_err().is_lost());
    lake.commit_kpis(commit("c", Some(4), 6)).await.unwrap();
    assert_eq!(lake.kpi_transaction(satisflow_lake::SCORE).await.unwrap(), Some(6));
}

/// Counts taken in all while commits go on.
const COUNTS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_taken_across_commits_never_fall_and_never_double() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Arc::new(open(&folder).await);
    let context = counting(&lake);
    let reading = Arc::clone(&lake);
    let (taken, mut counts) = tokio::sync::watch::channel(0);
    let reader = tokio::spawn(async move {
        let mut last = 0;
        for number in 1..=COUNTS {
            let now = scanned(&reading, &context).await;
            assert!(now >= last && now % 5 == 0, "{last} then {now}");
            last = now;
            taken.send_replace(number);
        }
    });
    let mut committed = 0i64;
    // A hundred commits, evenly among the counts.
    for round in 0..100 {
        counts.wait_for(|taken| *taken >= round * COUNTS / 100).await.unwrap();
        let mut next = commit(&format!("{committed};"), 0, committed, committed + 10);
        next.batches = vec![rows(0, committed, committed + 10, 1)];
        // Half of the rows are seen before the other half, and all before their commit.
        for half in [0, 5] {
            lake.live_records().push_pending(&next.commit_id, next.batches[0].slice(half, 5));
        }
        lake.commit_records(next).await.unwrap();
        committed += 10;
        if round % 3 == 2 {
            lake.compact(NonZeroU64::new(1 << 20).unwrap()).await.unwrap();
        }
    }
    reader.await.unwrap();
    assert_eq!(count(&lake).await, committed);
}

#[tokio::test]
async fn compaction_checkpoint_and_vacuum_disturb_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open_with_six_commits(&folder).await;
    let before = lake.records_version().await.unwrap();
    let done = lake.compact(NonZeroU64::new(1 << 20).unwrap()).await.unwrap();
    assert!(done.files_removed > done.files_added && done.files_added > 0, "{done:?}");
    let compacted = lake.records_version().await.unwrap();
    for version in before + 1..=compacted {
        assert!(lake.accepted_in(version).await.unwrap().is_empty());
    }
    lake.checkpoint().await.unwrap();
    lake.vacuum().await.unwrap();
    let again = open(&folder).await;
    assert_eq!((again.position("t", 0).await.unwrap(), count(&again).await), (Some(24), 24));
    let early: Vec<RecordBatch> = again.read_accepted(2).await.unwrap().try_collect().await.unwrap();
    assert_eq!(early.iter().map(RecordBatch::num_rows).sum::<usize>(), 8);
}

/// As if what was committed and replaced so far had been eight days ago.
fn age_what_was_replaced(folder: &tempfile::TempDir) {
    for entry in std::fs::read_dir(folder.path().join("records/_delta_log")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let lines = std::fs::read_to_string(&path).unwrap();
        let aged = lines.lines().map(|line| {
            let mut action: serde_json::Value = serde_json::from_str(line).unwrap();
            for (kind, name) in [("remove", "deletionTimestamp"), ("commitInfo", "timestamp")] {
                if let Some(time) = action.get_mut(kind).and_then(|of_kind| of_kind.get_mut(name)) {
                    *time = (time.as_i64().unwrap() - 8 * DAY_MS).into();
                }
            }
            format!("{action}\n")
        });
        std::fs::write(&path, aged.collect::<String>()).unwrap();
    }
}

/// A checkpoint that comes first forgets these files, and they stay for ever. A scorer that
/// is a week behind still reads them.
#[tokio::test]
async fn what_a_compaction_has_replaced_is_deleted_a_week_later() {
    let folder = tempfile::tempdir().unwrap();
    let target = NonZeroU64::new(1 << 20).unwrap();
    let replaced = open_with_six_commits(&folder).await.compact(target).await.unwrap().files_removed;
    let (_, deleted) = open(&folder).await.maintain(target).await.unwrap();
    assert_eq!(deleted, 0, "readers of earlier versions have a week");
    let checkpoint = folder.path().join("records/_delta_log/_last_checkpoint");
    assert!(!checkpoint.exists(), "nothing is scored: a checkpoint would forget what is to be deleted");
    age_what_was_replaced(&folder);
    let lake = open(&folder).await;
    score(&lake, 3).await;
    let (_, deleted) = lake.maintain(target).await.unwrap();
    assert_eq!(deleted, 0, "four versions are not scored");
    assert_eq!(lake.accepted_in(4).await.unwrap().len(), 1);
    score(&lake, i64::try_from(lake.records_version().await.unwrap()).unwrap()).await;
    let (_, deleted) = lake.maintain(target).await.unwrap();
    assert!(replaced > 1 && deleted as u64 == replaced, "{deleted} of {replaced}");
    assert!(checkpoint.exists());
    assert_eq!(count(&open(&folder).await).await, 24);
}

/// As if every entry of the log of `records` were older than its retention.
fn age_the_log(folder: &tempfile::TempDir) {
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(60 * 86_400);
    for entry in std::fs::read_dir(folder.path().join("records/_delta_log")).unwrap() {
        let file = std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap();
        file.set_modified(long_ago).unwrap();
    }
}

async fn score(lake: &Lake, version: i64) {
    let transactions = BTreeMap::from([(satisflow_lake::SCORE.to_owned(), version)]);
    let commit = KpisCommit { commit_id: format!("scored {version}"), transactions, ..KpisCommit::default() };
    lake.commit_kpis(commit).await.unwrap();
}

/// An entry that is cleaned away before it is scored would take its events from every KPI.
#[tokio::test]
async fn entries_of_the_log_are_kept_until_they_are_scored() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open_with_six_commits(&folder).await;
    lake.checkpoint().await.unwrap();
    age_the_log(&folder);
    lake.commit_records(commit("6;", 0, 24, 28)).await.unwrap();
    lake.checkpoint().await.unwrap();
    assert_eq!(lake.accepted_in(1).await.unwrap().len(), 1, "nothing is scored");
    score(&lake, 3).await;
    lake.checkpoint().await.unwrap();
    assert_eq!(lake.accepted_in(4).await.unwrap().len(), 1, "the next to be scored");
    score(&lake, 7).await;
    lake.checkpoint().await.unwrap();
    let gone = lake.accepted_in(4).await.unwrap_err();
    assert!(matches!(gone, LakeError::EntryGone { version: 4, .. }), "{gone}");
    assert_eq!(count(&open(&folder).await).await, 28);
}

/// A lake of 24 records in six commits.
async fn open_with_six_commits(folder: &tempfile::TempDir) -> Lake {
    let lake = open(folder).await;
    for round in 0..6 {
        lake.commit_records(commit(&format!("{round};"), 0, round * 4, round * 4 + 4)).await.unwrap();
    }
    lake
}

/// The log's own check would let both through, and every row would be there twice.
#[tokio::test]
async fn a_compaction_that_stood_still_while_another_went_through_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open_with_six_commits(&folder).await;
    let target = NonZeroU64::new(1 << 20).unwrap();
    let stopped = lake.begin_compaction().await.unwrap();
    let other = open(&folder).await;
    assert!(other.compact(target).await.unwrap().files_removed > 0);
    other.commit_records(commit("6;", 0, 24, 28)).await.unwrap();
    stopped.finish(target).await.unwrap_err();
    assert_eq!(count(&open(&folder).await).await, 28);
    lake.compact(target).await.unwrap();
    assert_eq!(count(&open(&folder).await).await, 28);
}

#[tokio::test]
async fn rows_are_found_by_commit_and_by_position() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(&folder).await;
    lake.commit_records(commit("a", 0, 0, 40)).await.unwrap();
    let version = lake.commit_records(commit("b", 1, 0, 5)).await.unwrap();
    let added = lake.accepted_in(version).await.unwrap();
    assert_eq!(added.iter().map(RecordBatch::num_rows).sum::<usize>(), 5);
    assert_eq!(added[0].schema(), satisflow_model::records_schema());
    let wanted = [("t".to_owned(), 0, 7), ("t".to_owned(), 1, 2), ("t".to_owned(), 1, 99)];
    let found = lake.records_at(version, &wanted).await.unwrap();
    assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
}

#[tokio::test]
async fn ten_thousand_dates_open_as_many_files_as_there_are_months() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(&folder).await;
    lake.commit_records(commit("a", 0, 0, 10_000)).await.unwrap();
    let mut files = 0;
    for month in std::fs::read_dir(folder.path().join("records/outcome=accepted")).unwrap() {
        files += std::fs::read_dir(month.unwrap().path()).unwrap().count();
    }
    assert!(files <= 10_000 / 30 + 2, "{files} files");
}

#[tokio::test]
async fn a_new_dimension_is_a_new_column() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder).await);
    let wider = LakeOptions { kpis_schema: satisflow_kpi::kpis_schema(&["region".into()]), ..options() };
    let lake = Lake::open(folder.path().to_str().unwrap(), wider).await.unwrap();
    use datafusion::catalog::TableProvider;
    let schema = lake.kpis_provider().schema();
    assert!(schema.field_with_name("region").is_ok() && schema.field_with_name("department").is_ok());
}

#[tokio::test]
async fn places_that_can_not_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let refused = Lake::open(file.to_str().unwrap(), options()).await.unwrap_err();
    assert!(refused.to_string().contains("file"), "{refused}");
    let absent = folder.path().join("absent");
    let read_only = LakeOptions { read_only: true, ..options() };
    let missing = Lake::open(absent.to_str().unwrap(), read_only).await.unwrap_err();
    assert!(matches!(missing, LakeError::Missing { .. }) && !absent.exists(), "{missing}");
}
