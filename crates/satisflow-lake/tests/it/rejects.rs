//! Rejects that are events now: one commit changes their rows' outcome.

use std::collections::BTreeMap;

use satisflow_lake::{CommitError, Lake, RecordsCommit, RejectsCommit, Replaced};
use satisflow_model::{Reason, Reject};

use super::*;

/// Commits rejects at offsets `from..to`.
async fn reject(lake: &Lake, id: &str, from: i64, to: i64) {
    let mut builder = RecordsBuilder::new(Limits::default());
    for offset in from..to {
        let payload = offset.to_string();
        let payload = Some(payload.as_bytes());
        let record = Record { topic: "t", partition: 0, offset, timestamp_ms: None, payload, headers: &[] };
        builder.append_reject(&record, 0, &Reject::record(Reason::NotAnObject, "no object"));
    }
    let commit = RecordsCommit { batches: vec![builder.finish().unwrap()], ..commit(id, 0, from, to) };
    lake.commit_records(commit).await.unwrap();
}

/// Accepts the first reject of all files.
async fn accepting(lake: &Lake, id: &str) -> (u64, RejectsCommit) {
    let (version, files) = lake.reject_files().await.unwrap();
    let mut kept = Vec::new();
    for file in &files {
        kept.extend(lake.read_rejects(file).await.unwrap());
    }
    let count = kept.iter().map(RecordBatch::num_rows).sum::<usize>();
    let first = kept[0]["offset"].as_primitive::<Int64Type>().value(0);
    kept[0] = kept[0].slice(1, kept[0].num_rows() - 1);
    let accepted = vec![rows(0, first, first + 1, DAY_MS)];
    (version, RejectsCommit { commit_id: id.to_owned(), files, rows: count, accepted, kept })
}

async fn outcomes(lake: &Lake) -> BTreeMap<String, i64> {
    let sql = "select outcome, count(*), count(distinct \"offset\") from records group by outcome";
    let mut found = BTreeMap::new();
    for batch in counting(lake).sql(sql).await.unwrap().collect().await.unwrap() {
        for row in 0..batch.num_rows() {
            let number = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(row);
            assert_eq!(number(1), number(2));
            found.insert(batch.column(0).as_string::<i32>().value(row).to_owned(), number(1));
        }
    }
    found
}

fn expected(accepted: i64, rejected: i64) -> BTreeMap<String, i64> {
    BTreeMap::from([("accepted".to_owned(), accepted), ("rejected".to_owned(), rejected)])
}

#[tokio::test]
async fn a_reject_becomes_an_event_at_its_place_and_those_who_tail_see_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(&folder).await;
    lake.commit_records(commit("a", 0, 0, 3)).await.unwrap();
    reject(&lake, "b", 3, 8).await;
    let (base, replay) = accepting(&lake, "c").await;
    let written = lake.write_rejects(replay).await.unwrap();
    assert_eq!(outcomes(&lake).await, expected(3, 5));
    assert_eq!(lake.commit_rejects(&written, base).await.unwrap(), Replaced::Committed(base + 1));
    assert_eq!(outcomes(&lake).await, expected(4, 4));
    let seen = lake.accepted_in(base + 1).await.unwrap();
    assert_eq!(seen.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    assert_eq!(seen[0]["offset"].as_primitive::<Int64Type>().value(0), 3);
    assert_eq!(lake.position("t", 0).await.unwrap(), Some(8));
    // Positions are as they were: collecting goes on, and an earlier version is still to be had.
    lake.commit_records(commit("d", 0, 8, 9)).await.unwrap();
    let early: Vec<RecordBatch> = lake.read_accepted(base).await.unwrap().try_collect().await.unwrap();
    assert_eq!(early.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
}

#[tokio::test]
async fn a_replay_builds_on_the_version_that_was_looked_through() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, other) = (open(&folder).await, open(&folder).await);
    reject(&lake, "a", 0, 4).await;
    let (base, replay) = accepting(&lake, "b").await;
    let written = lake.write_rejects(replay).await.unwrap();
    other.commit_records(commit("c", 0, 4, 6)).await.unwrap();
    assert_eq!(lake.commit_rejects(&written, base).await.unwrap(), Replaced::Overtaken);
    assert_eq!(lake.commit_rejects(&written, base + 1).await.unwrap(), Replaced::Committed(base + 2));
    // Its files are gone now: the same again changes nothing.
    assert_eq!(lake.commit_rejects(&written, base + 2).await.unwrap(), Replaced::Gone);
    assert_eq!(outcomes(&lake).await, expected(3, 3));
    // A service that held an older version appends behind it.
    other.commit_records(commit("d", 0, 6, 7)).await.unwrap();
    lake.refresh().await.unwrap();
    assert_eq!(outcomes(&lake).await, expected(4, 3));
}

#[tokio::test]
async fn a_replay_of_files_that_were_compacted_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(&folder).await;
    reject(&lake, "a", 0, 4).await;
    reject(&lake, "b", 4, 8).await;
    let (_, replay) = accepting(&lake, "c").await;
    let written = lake.write_rejects(replay).await.unwrap();
    lake.compact(NonZeroU64::new(1 << 20).unwrap()).await.unwrap();
    let base = lake.records_version().await.unwrap();
    assert_eq!(lake.commit_rejects(&written, base).await.unwrap(), Replaced::Gone);
    assert_eq!(outcomes(&lake).await, BTreeMap::from([("rejected".to_owned(), 8)]));
}

#[tokio::test]
async fn a_replay_that_loses_or_doubles_a_row_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(&folder).await;
    reject(&lake, "a", 0, 4).await;
    let (_, replay) = accepting(&lake, "b").await;
    let lost = RejectsCommit { accepted: Vec::new(), ..replay.clone() };
    let doubled = RejectsCommit { kept: [replay.kept.clone(), replay.kept.clone()].concat(), ..replay };
    for wrong in [lost, doubled] {
        let refused = lake.write_rejects(wrong).await.unwrap_err();
        assert!(matches!(refused, CommitError::RowsDiffer { rows: 4, .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_replay_whose_reply_is_lost_has_gone_through() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, faults) = crate::faults::open(&folder).await;
    reject(&lake, "a", 0, 4).await;
    let (base, replay) = accepting(&lake, "b").await;
    let written = lake.write_rejects(replay).await.unwrap();
    faults.lose_a_reply();
    assert_eq!(lake.commit_rejects(&written, base).await.unwrap(), Replaced::Committed(base + 1));
    assert_eq!(outcomes(&lake).await, expected(1, 3));
}
