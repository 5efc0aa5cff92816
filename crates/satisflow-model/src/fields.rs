//! The table of fields and kinds that everything else is derived from.

use std::sync::LazyLock;

use ahash::AHashMap;

/// Type of a field and of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// UTF-8 text. Whole numbers are taken as their text.
    Text,
    /// An instant, µs, UTC.
    Time,
    /// A number of at most 18 digits, 4 of them decimals.
    Number,
    /// A number of at most 12 digits, 6 of them decimals, at least 0.
    Weight,
    /// A whole number of 64 bits.
    Integer,
    /// true or false.
    Flag,
}

/// A field of an event: a JSON name and a column of that name.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Name in JSON and in SQL.
    pub name: &'static str,
    /// Its type.
    pub column: Column,
    /// Meaning.
    pub doc: &'static str,
}

/// A kind of event and the fields it makes no sense without.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Value of the field `kind`.
    pub name: &'static str,
    /// Fields required beside event_id, kind and event_time.
    pub required: &'static [&'static str],
    /// Meaning.
    pub doc: &'static str,
}

const fn field(name: &'static str, column: Column, doc: &'static str) -> Field {
    Field { name, column, doc }
}

use Column::{Flag, Integer, Number, Text, Time, Weight};

static FIELDS: &[Field] = &[
    field("event_id", Text, "Identity of the event within its source."),
    field("kind", Text, "What happened; see the kinds."),
    field("event_time", Time, "When it happened."),
    field("source", Text, "Where it comes from; default the source's name."),
    field("customer", Text, "The customer, hashed."),
    field("org", Text, "Organisation."),
    field("department", Text, "Department."),
    field("store", Text, "Store or branch."),
    field("product", Text, "Product."),
    field("region", Text, "Region."),
    field("channel", Text, "Channel of the contact."),
    field("segment", Text, "Customer segment."),
    field("agent", Text, "Agent who served."),
    field("campaign", Text, "Survey campaign."),
    field("instrument", Text, "Questionnaire."),
    field("instrument_version", Text, "Version of the questionnaire."),
    field("weight", Weight, "Weight of the answer; default 1."),
    field("solicited", Flag, "Whether the customer was asked."),
    field("supersedes", Text, "Event id that this one replaces."),
    field("retracts", Text, "Event id that this one takes back."),
    field("invitation_id", Text, "Invitation that is sent or answered."),
    field("due_at", Time, "When a reply, or the contract, is due."),
    field("overall", Number, "Overall score of a survey response."),
    field("scale", Text, "Scale of `score` and `overall`, such as `1-5`."),
    field("started_at", Time, "When the survey was begun."),
    field("submitted_at", Time, "When the survey was submitted."),
    field("interviewer", Text, "Who asked."),
    field("contact_present", Flag, "Whether the customer can be called back."),
    field("response_id", Text, "Event id of the response that was verified."),
    field("verdict", Text, "valid, fake or unreachable."),
    field("identity_verified", Flag, "Whether the customer's identity was checked."),
    field("score", Number, "Score on `scale`."),
    field("rating_dimension", Text, "What is rated, such as delivery."),
    field("order_id", Text, "Order."),
    field("completed_at", Time, "When the order was completed."),
    field("port", Text, "Short number that a message was sent to."),
    field("text", Text, "Free text."),
    field("case_id", Text, "Identity of a complaint."),
    field("category", Text, "Category of a complaint or a text."),
    field("item", Text, "Item complained of."),
    field("severity", Text, "Severity."),
    field("reply_requested", Flag, "Whether the customer wants a reply."),
    field("actor", Text, "Who acted on the complaint."),
    field("identity_class", Text, "Who complains, such as media or lawyer."),
    field("reason", Text, "Reason given."),
    field("units", Number, "Units sold, made or inspected."),
    field("amount", Number, "Amount of money."),
    field("currency", Text, "ISO 4217 currency of amounts."),
    field("promised_at", Time, "Promised delivery."),
    field("delivered_at", Time, "Actual delivery."),
    field("lot_id", Text, "Production lot."),
    field("defects", Integer, "Defects found."),
    field("failure_type", Text, "Type of service failure."),
    field("layer", Integer, "Layer of a driver: 0 results, 1 and more drivers."),
    field("failure_count", Integer, "Number of failures."),
    field("key_part", Flag, "Whether a key part is concerned."),
    field("odometer_km", Number, "Odometer, km."),
    field("part", Text, "Part on back-order."),
    field("since", Time, "Start of a back-order."),
    field("until", Time, "End of a back-order."),
    field("contract_id", Text, "Contract."),
    field("referred", Text, "Who was referred."),
    field("employee", Text, "Employee trained."),
    field("hours", Number, "Hours of training."),
    field("headcount", Integer, "Number of employees."),
    field("project_id", Text, "Improvement project."),
    field("state", Text, "State of a project."),
    field("saving", Number, "Saving of a project."),
    field("competitor", Text, "Competitor."),
];

const fn kind(name: &'static str, required: &'static [&'static str], doc: &'static str) -> Kind {
    Kind { name, required, doc }
}

/// All kinds of events.
pub static KINDS: &[Kind] = &[
    kind("survey_invited", &["invitation_id"], "A customer was asked to answer."),
    kind("survey_response", &[], "A customer answered a survey; `overall` needs a `scale`."),
    kind("response_verified", &["response_id", "verdict"], "A response was checked by a call-back."),
    kind("rating", &["score", "scale"], "One score."),
    kind("inbound_sms", &["port", "text"], "A message came in."),
    kind("feedback_text", &["text"], "Free text without a score."),
    kind("complaint_opened", &["case_id"], "A complaint was opened."),
    kind("complaint_acked", &["case_id"], "A complaint was acknowledged."),
    kind("complaint_assigned", &["case_id"], "A complaint was assigned."),
    kind("complaint_measure", &["case_id"], "A measure was taken."),
    kind("complaint_resolved", &["case_id"], "A complaint was resolved."),
    kind("complaint_confirmed", &["case_id"], "The customer confirmed the solution."),
    kind("complaint_rejected_by_customer", &["case_id"], "The customer rejected the solution."),
    kind("complaint_reopened", &["case_id"], "A complaint was opened again."),
    kind("complaint_closed", &["case_id"], "A complaint was closed."),
    kind("complaint_escalated_external", &["case_id"], "A complaint went to media or authorities."),
    kind("sale", &["units"], "Units were sold."),
    kind("delivery", &["order_id"], "A delivery is promised or done."),
    kind("output", &["units"], "Units were made."),
    kind("defect", &["defects"], "Defects were found."),
    kind("service_failure", &["failure_type"], "A service failed."),
    kind("repair_visit", &[], "A repair visit."),
    kind("part_backorder", &["part"], "A part is on back-order."),
    kind("refund", &["order_id"], "An order was refunded."),
    kind("return", &["order_id"], "An order was returned."),
    kind("contract_due", &["contract_id"], "A contract is due for renewal."),
    kind("renewed", &["contract_id"], "A contract was renewed."),
    kind("lapsed", &["contract_id"], "A contract lapsed."),
    kind("referral", &[], "A customer referred another."),
    kind("training", &["employee"], "An employee was trained."),
    kind("headcount", &["headcount"], "Number of employees."),
    kind("improvement_project", &["project_id"], "State of an improvement project."),
    kind("competitor_score", &["competitor", "score", "scale"], "A competitor's score."),
    kind("market_size", &[], "Size of the market."),
];

/// All fields, in the order of the columns of `records`.
pub fn fields() -> &'static [Field] {
    FIELDS
}

/// Whether `name` is a kind of event.
pub fn is_kind(name: &str) -> bool {
    kind_named(name).is_some()
}

pub(crate) fn kind_named(name: &str) -> Option<&'static Kind> {
    static BY_NAME: LazyLock<AHashMap<&str, &Kind>> = LazyLock::new(|| KINDS.iter().map(|k| (k.name, k)).collect());
    BY_NAME.get(name).copied()
}

/// Index of a field by its name.
pub(crate) fn index_of(name: &str) -> Option<usize> {
    static BY_NAME: LazyLock<AHashMap<&str, usize>> =
        LazyLock::new(|| FIELDS.iter().enumerate().map(|(index, f)| (f.name, index)).collect());
    BY_NAME.get(name).copied()
}

/// Indexes of the fields that decoding treats by themselves.
pub(crate) mod at {
    pub(crate) const EVENT_ID: usize = 0;
    pub(crate) const KIND: usize = 1;
    pub(crate) const EVENT_TIME: usize = 2;
    pub(crate) const SOURCE: usize = 3;
    pub(crate) const CUSTOMER: usize = 4;
    pub(crate) const WEIGHT: usize = 16;
    pub(crate) const OVERALL: usize = 22;
    pub(crate) const SCALE: usize = 23;
    pub(crate) const SCORE: usize = 31;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_places_are_right_and_every_requirement_is_a_field() {
        for (index, name) in [
            (at::EVENT_ID, "event_id"),
            (at::KIND, "kind"),
            (at::EVENT_TIME, "event_time"),
            (at::SOURCE, "source"),
            (at::CUSTOMER, "customer"),
            (at::WEIGHT, "weight"),
            (at::OVERALL, "overall"),
            (at::SCALE, "scale"),
            (at::SCORE, "score"),
        ] {
            assert_eq!(FIELDS[index].name, name);
        }
        assert!(FIELDS.len() <= 128, "fields are marked in a u128");
        for kind in KINDS {
            assert!(kind.required.iter().all(|name| index_of(name).is_some()), "{kind:?}");
        }
    }
}
