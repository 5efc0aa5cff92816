//! What tickets and prepared statements carry: the statement itself, with its parameters.
//!
//! There is nothing in it to forge: it is worth what a statement sent anew is worth, and is treated
//! like one. Only its id is a secret, by which a running result is cancelled.

use arrow::array::RecordBatch;
use arrow::ipc::root_as_message;
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use datafusion::common::ScalarValue;
use futures::{Stream, StreamExt, TryStreamExt};
use prost::Message;
use prost::bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use tonic::Status;

use super::running::Id;
use super::status;

/// Parameters of one statement.
const PARAMETERS_BYTES_MAX: usize = 1 << 20;
const PARAMETER_MESSAGES_MAX: usize = 1_000;

/// A statement on its way to the client and back.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Handle {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) sql: String,
    /// As the client has sent them: a schema and one row.
    #[prost(message, repeated, tag = "3")]
    parameters: Vec<FlightData>,
}

impl Handle {
    pub(super) fn new(sql: String) -> Result<Handle, Status> {
        Handle { id: Vec::new(), sql, parameters: Vec::new() }.renamed()
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Handle, Status> {
        Handle::decode(bytes).map_err(|_| Status::invalid_argument("this is no ticket or statement of this service"))
    }

    pub(super) fn bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// The same statement with an id of its own.
    pub(super) fn renamed(mut self) -> Result<Handle, Status> {
        let mut id = Id::default();
        SystemRandom::new().fill(&mut id).map_err(|_| Status::unavailable("no random numbers from the system"))?;
        self.id = id.to_vec();
        Ok(self)
    }

    pub(super) fn id(&self) -> Result<Id, Status> {
        Id::try_from(self.id.as_slice()).map_err(|_| Status::invalid_argument("a ticket without its id"))
    }

    /// The same statement with the parameters that a client sends.
    pub(super) async fn bound(
        mut self,
        sent: impl Stream<Item = Result<FlightData, Status>>,
    ) -> Result<Handle, Status> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let mut sent = std::pin::pin!(sent);
        while let Some(message) = sent.next().await {
            let message = FlightData { flight_descriptor: None, ..message? };
            bytes += message.encoded_len();
            if bytes > PARAMETERS_BYTES_MAX || messages.len() == PARAMETER_MESSAGES_MAX {
                return Err(Status::invalid_argument(format!("parameters have at most {PARAMETERS_BYTES_MAX} bytes")));
            }
            messages.push(message);
        }
        self.parameters = messages;
        self.values().await?;
        Ok(self)
    }

    /// The values of `$1`, `$2` and so on.
    pub(super) async fn values(&self) -> Result<Option<Vec<ScalarValue>>, Status> {
        self.parameters.iter().try_for_each(uncompressed)?;
        let messages = futures::stream::iter(self.parameters.clone().into_iter().map(Ok));
        let batches = FlightRecordBatchStream::new_from_flight_data(messages).try_collect::<Vec<_>>().await;
        let batches = batches.map_err(|error: FlightError| Status::invalid_argument(error.to_string()))?;
        let rows: Vec<&RecordBatch> = batches.iter().filter(|batch| batch.num_rows() > 0).collect();
        match rows.as_slice() {
            [] => Ok(None),
            [row] if row.num_rows() == 1 => {
                let values = row.columns().iter().map(|column| ScalarValue::try_from_array(column, 0));
                values.collect::<Result<_, _>>().map(Some).map_err(status::internal)
            }
            _ => Err(Status::invalid_argument("a statement runs with one row of parameters at a time")),
        }
    }
}

/// Refuses what would say of itself how much memory it needs.
fn uncompressed(message: &FlightData) -> Result<(), Status> {
    if message.data_header.is_empty() {
        return Ok(());
    }
    let header = root_as_message(&message.data_header).map_err(|e| Status::invalid_argument(e.to_string()))?;
    let dictionary = header.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
    match header.header_as_record_batch().or(dictionary).and_then(|batch| batch.compression()) {
        Some(_) => Err(Status::invalid_argument("send parameters without compression")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::IpcWriteOptions;
    use arrow_flight::encode::FlightDataEncoderBuilder;
    use tonic::Code;

    use super::*;

    async fn sent(rows: usize, options: IpcWriteOptions) -> Vec<Result<FlightData, Status>> {
        let numbers = Int64Array::from(vec![7; rows]);
        let texts = StringArray::from(vec!["x"; rows]);
        let batch = RecordBatch::try_from_iter([("a", Arc::new(numbers) as _), ("b", Arc::new(texts) as _)]).unwrap();
        let encoder = FlightDataEncoderBuilder::new().with_options(options);
        encoder.build(futures::stream::iter([Ok(batch)])).map_err(Status::from).collect().await
    }

    async fn bound(sent: Vec<Result<FlightData, Status>>) -> Result<Handle, Status> {
        Handle::new("select $1, $2".to_owned()).unwrap().bound(futures::stream::iter(sent)).await
    }

    #[tokio::test]
    async fn a_statement_comes_back_with_its_parameters() {
        let handle = bound(sent(1, IpcWriteOptions::default()).await).await.unwrap();
        let back = Handle::read(&handle.bytes()).unwrap();
        assert_eq!(back, handle);
        let values = vec![ScalarValue::Int64(Some(7)), ScalarValue::Utf8(Some("x".to_owned()))];
        assert_eq!(back.values().await.unwrap(), Some(values));
        let other = back.clone().renamed().unwrap();
        assert!(other.id().unwrap() != back.id().unwrap() && other.sql == back.sql);
        assert_eq!(bound(Vec::new()).await.unwrap().values().await.unwrap(), None);
    }

    #[tokio::test]
    async fn parameters_are_one_row_of_their_own_size() {
        let compressed = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
        let many = sent(2, IpcWriteOptions::default()).await;
        let large = sent(200_000, IpcWriteOptions::default()).await;
        for wrong in [sent(1, compressed).await, many, large] {
            assert_eq!(bound(wrong).await.unwrap_err().code(), Code::InvalidArgument);
        }
    }

    #[tokio::test]
    async fn what_is_no_handle_is_refused() {
        let cut = bound(sent(1, IpcWriteOptions::default()).await).await.unwrap().bytes();
        assert!(Handle::read(&cut[..cut.len() - 1]).is_err());
        let mut handle = bound(sent(1, IpcWriteOptions::default()).await).await.unwrap();
        handle.parameters[0].data_header = vec![0xff; 64].into();
        assert_eq!(handle.values().await.unwrap_err().code(), Code::InvalidArgument);
        handle.id = vec![1];
        assert!(handle.id().is_err());
    }
}
