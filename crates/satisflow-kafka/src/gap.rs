//! Where reading goes on when the broker has not all that was to be read.

use crate::config::OnLostOffsets;
use crate::event::SourceEvent;
use crate::partition::Partition;

/// Where to go on from `position`, given what the broker has (first offset, end).
///
/// # Errors
/// A message for the operator when that is not for the service to decide.
pub(crate) fn go_on(
    on_lost: OnLostOffsets,
    (topic, partition): &Partition,
    position: i64,
    (low, high): (i64, i64),
) -> Result<(i64, Option<SourceEvent>), String> {
    if position > high {
        return Err(format!(
            "the lake stands at offset {position} of partition {partition} of topic {topic}, and the topic ends at \
             {high}: it was deleted and created again, or another cluster is configured. Give the new topic \
             another name, or use a new lake"
        ));
    }
    if position >= low {
        return Ok((position, None));
    }
    match on_lost {
        OnLostOffsets::Stop => Err(format!(
            "offsets {position} to {} of partition {partition} of topic {topic} were removed by retention before \
             they were read. Set `kafka.on_lost_offsets: resume` to go on at {low} with the gap on record",
            low - 1
        )),
        OnLostOffsets::Resume => {
            let gap = SourceEvent::Gap { topic: topic.clone(), partition: *partition, from: position, to: low };
            Ok((low, Some(gap)))
        }
    }
}
