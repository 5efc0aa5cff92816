//! What can go wrong with the lake, and what to do.

use deltalake_core::DeltaTableError;

/// The lake can't be opened, read or maintained.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// There is no lake and none may be created.
    #[error("there is no lake at {url}: start the service once, or name another `lake.url`")]
    Missing {
        /// Where it was looked for.
        url: String,
    },
    /// The place can't be used.
    #[error("the lake at {url} can't be used: {message}")]
    Place {
        /// The place.
        url: String,
        /// Why.
        message: String,
    },
    /// The table is there, and it is not Satisflow's.
    #[error(
        "the Delta table at {url} has no lake format version: it belongs to another program; name another `lake.url`"
    )]
    Foreign {
        /// The place.
        url: String,
    },
    /// A newer program has written it.
    #[error("the lake at {url} has format version {found}, and this program knows versions up to {known}: update it")]
    NewerFormat {
        /// The place.
        url: String,
        /// Its version.
        found: String,
        /// The newest version known.
        known: u32,
    },
    /// A column has another type than the program writes.
    #[error("column `{column}` of table `{table}` is {found}, and {wanted} is to be written: rename the dimension")]
    ColumnType {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// The type to be written.
        wanted: String,
    },
    /// The Delta library failed.
    #[error("table `{table}`: {source}")]
    Delta {
        /// The table.
        table: &'static str,
        /// The cause.
        source: Box<DeltaTableError>,
    },
    /// An entry of the log is no longer there.
    #[error(
        "table `{table}`: the log entry of version {version} is gone before it was scored: another program has cleaned \
         the log; move the folder `kpis` away and start again, and every KPI is computed anew from the events"
    )]
    EntryGone {
        /// The table.
        table: &'static str,
        /// The version.
        version: u64,
    },
    /// A file of a log entry is no longer there: its rows are in another one, or it is lost.
    #[error("table `{table}` can't be read: the file {file} is gone")]
    FileGone {
        /// The table.
        table: &'static str,
        /// Its path in the table.
        file: String,
    },
    /// Reading rows failed.
    #[error("table `{table}` can't be read: {message}")]
    Read {
        /// The table.
        table: &'static str,
        /// Why.
        message: String,
    },
}

impl LakeError {
    pub(crate) fn delta(table: &'static str) -> impl Fn(DeltaTableError) -> LakeError {
        move |source| LakeError::Delta { table, source: Box::new(source) }
    }

    pub(crate) fn read<E: std::fmt::Display>(table: &'static str) -> impl Fn(E) -> LakeError {
        move |error| LakeError::Read { table, message: error.to_string() }
    }
}

/// A commit that did not go through. Nothing of it is in the lake.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another process has committed the partition in the meantime.
    #[error(
        "partition {partition} of topic {topic} stands at {found:?} in the lake, and these rows start at {expected}: another process has taken it over"
    )]
    PositionMoved {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where the rows start.
        expected: i64,
        /// Where the lake stands.
        found: Option<i64>,
    },
    /// Another process has taken over what the transaction guards.
    #[error("`{id}` stands at {found:?} in the lake, and {expected:?} was expected: another process has taken over")]
    Fenced {
        /// The transaction.
        id: String,
        /// The value expected.
        expected: Option<i64>,
        /// The value found.
        found: Option<i64>,
    },
    /// The rows are not the records that were polled.
    #[error(
        "{rows} rows for partition {partition} of topic {topic}, and {counted} records were polled: the commit is refused"
    )]
    CountMismatch {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Records counted at the poll.
        counted: u64,
        /// Rows of the commit.
        rows: u64,
    },
    /// A partition's position would move from nowhere.
    #[error(
        "partition {partition} of topic {topic} has rows and no position that they start at: the commit is refused"
    )]
    StartMissing {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Rows would be lost or doubled.
    #[error("{rows} rejects were read, and {accepted} accepted and {kept} kept would take their place: refused")]
    RowsDiffer {
        /// Rows read.
        rows: usize,
        /// Rows that become accepted.
        accepted: usize,
        /// Rows that stay.
        kept: usize,
    },
    /// A row lies outside of the range of its commit.
    #[error("offset {offset} of partition {partition} of topic {topic} lies outside of the commit's range")]
    OffsetOutside {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// Others commit all the time.
    #[error("no commit went through in {attempts} attempts: too many processes write to this lake")]
    Busy {
        /// Attempts made.
        attempts: usize,
    },
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

impl CommitError {
    /// Whether another process owns now what this one wanted to write.
    pub fn is_lost(&self) -> bool {
        matches!(self, CommitError::PositionMoved { .. } | CommitError::Fenced { .. })
    }
}
