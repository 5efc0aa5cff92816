use super::*;

fn partner(time: i64, id: &str, value: i128) -> Partner {
    let values = [Some(JoinedValue::Integer(value))].into();
    Partner { time, event_id: id.into(), source: "s".into(), values }
}

fn anchor(time: i64, key: Option<u128>) -> Anchor {
    Anchor { time, keys: [key].into(), row: time.to_be_bytes().into() }
}

fn plan(aggregate: Aggregate, within: Option<(i64, i64)>) -> Vec<Join> {
    vec![Join { within, fields: vec![aggregate] }]
}

/// Anchors and partners of key 1, each with its sign.
fn apply(
    joins: &mut Joins,
    plan: &[Join],
    anchors: &[(i64, Sign)],
    partners: &[(Partner, Sign)],
) -> Vec<(i64, Option<i128>, Sign)> {
    let input = JoinInput {
        measure: 0,
        anchors: anchors.iter().map(|(time, sign)| (anchor(*time, Some(1)), *sign)).collect(),
        partners: vec![partners.iter().map(|(partner, sign)| (1, partner.clone(), *sign)).collect()],
    };
    let time = |row: &[u8]| i64::from_be_bytes(row.try_into().unwrap());
    let shown = |joined: Joined| (time(&joined.row), joined.values[0].as_ref().map(integer), joined.sign);
    joins.apply(plan, input).into_iter().map(shown).collect()
}

#[test]
fn a_later_partner_replaces_what_was_counted() {
    let plan = plan(Aggregate::Last, None);
    let mut joins = Joins::new(&plan);
    assert_eq!(apply(&mut joins, &plan, &[(5, Sign::Count)], &[]), [(5, None, Sign::Count)]);
    let first = apply(&mut joins, &plan, &[], &[(partner(9, "b", 1), Sign::Count)]);
    assert_eq!(first, [(5, None, Sign::Replace), (5, Some(1), Sign::Count)]);
    // Of equal times the id decides, and an earlier one changes nothing.
    assert!(apply(&mut joins, &plan, &[], &[(partner(9, "a", 2), Sign::Count)]).is_empty());
    let recalled = apply(&mut joins, &plan, &[], &[(partner(9, "b", 1), Sign::Recall)]);
    assert_eq!(recalled, [(5, Some(1), Sign::Recall), (5, Some(2), Sign::Count)]);
    assert_eq!(apply(&mut joins, &plan, &[(5, Sign::Recall)], &[]), [(5, Some(2), Sign::Recall)]);
    apply(&mut joins, &plan, &[], &[(partner(9, "a", 2), Sign::Recall)]);
    assert_eq!(joins.len(), 0, "an empty key is forgotten");
}

#[test]
fn a_recalled_anchor_is_taken_back_as_it_was_counted_whatever_comes_with_it() {
    let plan = plan(Aggregate::Sum, None);
    let mut joins = Joins::new(&plan);
    apply(&mut joins, &plan, &[(5, Sign::Count)], &[(partner(1, "a", 3), Sign::Count)]);
    let both = apply(&mut joins, &plan, &[(5, Sign::Recall)], &[(partner(2, "b", 4), Sign::Count)]);
    assert_eq!(both, [(5, Some(3), Sign::Recall)]);
    assert_eq!(apply(&mut joins, &plan, &[(5, Sign::Recall)], &[])[0].2, Sign::Touch, "it no longer counts");
}

#[test]
fn only_partners_within_reach_are_seen_bounds_included() {
    let plan = plan(Aggregate::Count, Some((2, 1)));
    let mut joins = Joins::new(&plan);
    let partners = [2, 3, 5, 6, 7].map(|time| (partner(time, "a", 1), Sign::Count));
    assert_eq!(apply(&mut joins, &plan, &[(5, Sign::Count)], &partners), [(5, Some(3), Sign::Count)]);
}

#[test]
fn a_reach_below_0_leaves_out_the_moment_of_the_event_itself() {
    let plan = plan(Aggregate::Count, Some((3, -1)));
    let mut joins = Joins::new(&plan);
    let partners = [1, 2, 4, 5, 6].map(|time| (partner(time, "a", 1), Sign::Count));
    assert_eq!(apply(&mut joins, &plan, &[(5, Sign::Count)], &partners), [(5, Some(2), Sign::Count)]);
    assert!(apply(&mut joins, &plan, &[], &[(partner(5, "b", 1), Sign::Count)]).is_empty());
}

#[test]
fn an_event_without_a_key_is_counted_and_not_held() {
    let plan = plan(Aggregate::Count, None);
    let mut joins = Joins::new(&plan);
    let of = |sign| JoinInput { measure: 0, anchors: vec![(anchor(1, None), sign)], partners: vec![vec![]] };
    let counted = joins.apply(&plan, of(Sign::Count));
    assert_eq!((counted[0].values[0].as_ref().map(integer), counted[0].sign), (Some(0), Sign::Count));
    assert!(joins.anchors.is_empty());
    assert_eq!(joins.apply(&plan, of(Sign::Recall))[0].sign, Sign::Recall);
}

#[test]
fn least_and_greatest_pass_over_what_is_missing() {
    let missing = Partner { values: [None].into(), ..partner(0, "a", 0) };
    let all = [missing, partner(1, "b", 7), partner(2, "c", 5)];
    let of = |aggregate: Aggregate| aggregate.of(&all, 0).as_ref().map(integer);
    assert_eq!((of(Aggregate::Min), of(Aggregate::Max), of(Aggregate::First)), (Some(5), Some(7), Some(7)));
    assert_eq!(Aggregate::Distinct.of(&[partner(0, "a", 7), all[1].clone()], 0).as_ref().map(integer), Some(1));
    assert_eq!((of(Aggregate::Sum), of(Aggregate::Count), of(Aggregate::Last)), (Some(12), Some(2), Some(5)));
    assert_eq!(Aggregate::Sum.of(&all[..1], 0), None);
}

#[test]
fn a_state_of_other_joins_is_refused() {
    let plan = plan(Aggregate::Last, None);
    let mut joins = Joins::new(&plan);
    apply(&mut joins, &plan, &[(5, Sign::Count)], &[(partner(1, "a", 3), Sign::Count)]);
    let frame = joins.to_frame().unwrap();
    let again = Joins::from_frame(&plan, &frame).unwrap();
    assert_eq!((again.len(), again.anchors.len()), (1, 1));
    let two = [plan.clone(), plan.clone()].concat();
    assert!(Joins::from_frame(&two, &frame).is_err());
    let wider = [Join { within: None, fields: vec![Aggregate::Last, Aggregate::Count] }];
    assert!(Joins::from_frame(&wider, &frame).is_err());
}
