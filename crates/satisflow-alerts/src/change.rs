//! Changes of alerts, and how an alert stands after them.

use satisflow_kpi::Level;

use crate::evaluate::Evidence;

/// What happens to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// It begins.
    Open,
    /// The row that it began with is restated, and it goes on.
    Update,
    /// It ends.
    Clear,
}

impl Transition {
    /// The text in `alerts.alert_state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Transition::Open => "open",
            Transition::Update => "update",
            Transition::Clear => "clear",
        }
    }

    pub(crate) fn of(text: &str) -> Transition {
        match text {
            "open" => Transition::Open,
            "update" => Transition::Update,
            _ => Transition::Clear,
        }
    }
}

/// Why it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A window became final.
    Decided,
    /// Late or void events have changed rows.
    Restated,
    /// The window holds nothing any more.
    Empty,
    /// The catalog no longer has the alert.
    Removed,
}

impl Cause {
    /// The text in `alerts.alert_cause`.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Decided => "decided",
            Cause::Restated => "restated",
            Cause::Empty => "empty",
            Cause::Removed => "removed",
        }
    }

    pub(crate) fn of(text: &str) -> Cause {
        match text {
            "decided" => Cause::Decided,
            "restated" => Cause::Restated,
            "empty" => Cause::Empty,
            _ => Cause::Removed,
        }
    }
}

/// Whether a group's alert is open.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// It is not; windows before this end, µs, belong to one that has cleared.
    Closed(Option<i64>),
    /// It is, since the window of this end, µs, and was compared with this.
    Open {
        /// End of the window that opened it, µs.
        opened: i64,
        /// What it was compared with.
        baseline: Option<Level>,
    },
}

impl Default for Standing {
    fn default() -> Standing {
        Standing::Closed(None)
    }
}

impl Standing {
    /// How an alert stands after a change.
    pub fn after(transition: Transition, opened: i64, evidence: &Evidence) -> Standing {
        match transition {
            Transition::Open | Transition::Update => Standing::Open { opened, baseline: evidence.baseline },
            Transition::Clear => Standing::Closed(Some(evidence.point.end)),
        }
    }
}

/// Which group of which rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// Index of the rule.
    pub rule: usize,
    /// Values of the grouped dimensions.
    pub group: Vec<String>,
}

/// A change of an alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Whose alert.
    pub instance: Instance,
    /// What happens to it.
    pub transition: Transition,
    /// Why.
    pub cause: Cause,
    /// End of the window that opened it, µs.
    pub opened: i64,
    /// What it rests on.
    pub evidence: Evidence,
}
