//! A result as the body of an answer: encoded batch by batch, so that a result
//! of any length takes the memory of a few batches.
//!
//! What fits into the head is sent as a whole, and what goes wrong with it gets
//! a status of its own. Of a longer result the status is sent before its end: if
//! it fails later, the connection is cut, and no client takes a part for the whole.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::WriterBuilder;
use arrow::json::writer::{ArrayWriter, JsonArray};
use axum::body::{Body, Bytes};
use datafusion::execution::SendableRecordBatchStream;
use futures::{StreamExt, TryStreamExt};

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::SqlError;

/// Bytes that are held back until the status is known.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Csv,
    Arrow,
    Parquet,
}

/// Why a result can't be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The statement fails.
    #[error(transparent)]
    Query(#[from] SqlError),
    /// It has more rows than are sent.
    #[error("the result has more than {0} rows: narrow it, add a LIMIT, or raise `http.rows_max`")]
    TooManyRows(usize),
    /// It has no such form.
    #[error("the result can't be encoded: {0}")]
    Encoding(#[from] ArrowError),
    /// It has no such form as Parquet.
    #[error("the result can't be encoded: {0}")]
    Parquet(#[from] ParquetError),
}

enum Encoder {
    Json(ArrayWriter<Vec<u8>>),
    Csv(Vec<u8>),
    Arrow(Box<StreamWriter<Vec<u8>>>),
    /// `None` once it is finished; the rest is what the footer has left.
    Parquet(Option<Box<ArrowWriter<Vec<u8>>>>, Vec<u8>),
}

impl Encoder {
    fn new(form: Form, schema: &SchemaRef) -> Result<Encoder, BodyError> {
        let bytes = Vec::new();
        Ok(match form {
            Form::Json => Encoder::Json(WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(bytes)),
            Form::Csv => Encoder::Csv(heading(schema)?),
            Form::Arrow => Encoder::Arrow(Box::new(StreamWriter::try_new(bytes, schema)?)),
            Form::Parquet => {
                let writer = ArrowWriter::try_new(bytes, Arc::clone(schema), Some(parquet_properties()))?;
                Encoder::Parquet(Some(Box::new(writer)), Vec::new())
            }
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), BodyError> {
        match self {
            Encoder::Json(writer) => writer.write(batch)?,
            Encoder::Csv(bytes) => csv::WriterBuilder::new().with_header(false).build(bytes).write(batch)?,
            Encoder::Arrow(writer) => writer.write(batch)?,
            Encoder::Parquet(Some(writer), _) => writer.write(batch)?,
            Encoder::Parquet(None, _) => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        match self {
            Encoder::Json(writer) => writer.finish()?,
            Encoder::Csv(_) => {}
            Encoder::Arrow(writer) => writer.finish()?,
            Encoder::Parquet(writer, rest) => {
                if let Some(writer) = writer.take() {
                    *rest = writer.into_inner()?;
                }
            }
        }
        Ok(())
    }

    /// What was written since the last time.
    fn take(&mut self) -> Bytes {
        let bytes = match self {
            Encoder::Json(writer) => writer.get_mut(),
            Encoder::Csv(bytes) => bytes,
            Encoder::Arrow(writer) => writer.get_mut(),
            Encoder::Parquet(Some(writer), _) => writer.inner_mut(),
            Encoder::Parquet(None, rest) => rest,
        };
        std::mem::take(bytes).into()
    }
}

/// Rows are held until a group of them is written.
fn parquet_properties() -> WriterProperties {
    const ROWS_GROUP_MAX: usize = 65_536;
    let compression = Compression::ZSTD(ZstdLevel::default());
    WriterProperties::builder().set_max_row_group_row_count(Some(ROWS_GROUP_MAX)).set_compression(compression).build()
}

/// The names of the columns, also of a result without rows.
fn heading(schema: &SchemaRef) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    csv::Writer::new(&mut bytes).write(&RecordBatch::new_empty(Arc::clone(schema)))?;
    Ok(bytes)
}

/// A result on its way.
struct Encoded {
    batches: SendableRecordBatchStream,
    encoder: Encoder,
    rows: usize,
    rows_max: usize,
    ended: bool,
}

impl Encoded {
    /// The next bytes; `None` after the last.
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.ended {
            return Ok(None);
        }
        match self.batches.try_next().await.map_err(SqlError::from)? {
            Some(batch) => {
                self.rows += batch.num_rows();
                if self.rows > self.rows_max {
                    return Err(BodyError::TooManyRows(self.rows_max));
                }
                self.encoder.write(&batch)?;
            }
            None => {
                self.encoder.finish()?;
                self.ended = true;
            }
        }
        Ok(Some(self.encoder.take()))
    }
}

/// The body of a result.
pub(super) async fn body(batches: SendableRecordBatchStream, form: Form, rows_max: usize) -> Result<Body, BodyError> {
    let encoder = Encoder::new(form, &batches.schema())?;
    let mut encoded = Encoded { batches, encoder, rows: 0, rows_max, ended: false };
    let mut head = Vec::new();
    while head.len() < HEAD_BYTES_MAX {
        match encoded.next().await? {
            Some(bytes) => head.extend_from_slice(&bytes),
            None => return Ok(Body::from(head)),
        }
    }
    let rest = futures::stream::try_unfold(encoded, |mut encoded| async move {
        let next = encoded.next().await.inspect_err(|error| tracing::warn!(%error, "a result was cut off"))?;
        Ok::<_, BodyError>(next.map(|bytes| (bytes, encoded)))
    });
    let head = futures::stream::once(async { Ok(Bytes::from(head)) });
    Ok(Body::from_stream(head.chain(rest)))
}
