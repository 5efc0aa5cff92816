//! How deep a document is nested, told without recursion: what builds and
//! frees the tree of nodes recurses, and would overflow the stack.

use std::collections::HashMap;

use saphyr::Marker;
use saphyr_parser::{Event, Parser};

/// Where nodes first lie more than `depth_max` deep, aliases followed. A text
/// that is not YAML is read up to its fault, as the tree is.
pub(crate) fn too_deep(text: &str, depth_max: usize) -> Option<Marker> {
    let mut heights: HashMap<usize, usize> = HashMap::new();
    // Anchor and height of the lists and mappings that are open.
    let mut open: Vec<(usize, usize)> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        let height = match event {
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                open.push((anchor, 0));
                0
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (anchor, height) = open.pop()?;
                heights.insert(anchor, height);
                raise(&mut open, height + 1);
                height
            }
            Event::Alias(anchor) => {
                let height = heights.get(&anchor).copied().unwrap_or(0);
                raise(&mut open, height + 1);
                height
            }
            _ => 0,
        };
        if open.len() + height > depth_max {
            return Some(span.start);
        }
    }
    None
}

fn raise(open: &mut [(usize, usize)], height: usize) {
    if let Some((_, held)) = open.last_mut() {
        *held = height.max(*held);
    }
}
