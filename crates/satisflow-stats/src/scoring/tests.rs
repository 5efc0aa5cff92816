use super::*;
use crate::close;

#[test]
fn f1_four_level() {
    assert!(four_level(&[(40, 10), (20, 8), (15, 10), (15, 4), (10, 0)]).equals(77, 1));
}

#[test]
fn f2_five_level() {
    let mean = level_mean(&[4, 6, 8, 20, 12]).unwrap();
    assert!(mean.equals(36, 10));
    assert!(to_100(mean, 1, 5).unwrap().equals(65, 1));
    assert!(Fraction::new(12 + 20, 50).unwrap().equals(64, 100));
    assert!(Fraction::new(6 + 4, 50).unwrap().equals(20, 100));
}

#[test]
fn f3_f4_latent_index() {
    let items = [(0.3885, 8.2), (0.3190, 7.6), (0.2925, 7.1)];
    close(latent_index(&items, 1.0, 10.0).unwrap(), 74.298, 5e-4);
    close(latent_index(&items.map(|(_, x)| (1.0, x)), 1.0, 10.0).unwrap(), 73.704, 5e-4);
    assert_eq!(latent_index(&[], 1.0, 10.0), None);
}

const FAILURES: [(i128, i128); 10] =
    [(3, 125), (10, 18), (1, 102), (1, 282), (3, 209), (10, 2), (1, 26), (1, 751), (3, 115), (5, 15)];

#[test]
fn f5_weighted_failure_index() {
    let points = failure_points(&FAILURES);
    assert_eq!((FAILURES.iter().map(|f| f.1).sum::<i128>(), points), (1_645, 2_783));
    close(Fraction::new(points * 1000, 425_000).unwrap().to_f64(), 6.548, 5e-4);
}

#[test]
fn f5_vital_few() {
    let share = |amounts: &[i128], few: &[usize]| {
        100.0 * few.iter().map(|i| amounts[*i]).sum::<i128>() as f64 / amounts.iter().sum::<i128>() as f64
    };
    let (weighted, plain) = (FAILURES.map(|f| f.0 * f.1), FAILURES.map(|f| f.1));
    assert_eq!(vital_few(&weighted, 80), [7, 4, 0, 8, 3]);
    close(share(&weighted, &[7, 4, 0, 8, 3]), 85.52, 5e-3);
    assert_eq!(vital_few(&plain, 80), [7, 3, 4, 0]);
    close(share(&plain, &[7, 3, 4, 0]), 83.10, 5e-3);
}

#[test]
fn f6_nps_and_ces() {
    assert!(nps(240, 60, 400).unwrap().equals(45, 1));
    assert!(level_mean(&[80, 210, 140, 110, 160, 180, 120]).unwrap().equals(408, 100));
}

#[test]
fn f7_seller_ratings() {
    assert!(Fraction::new(19 * 5 + 1, 20).unwrap().equals(48, 10));
    assert_eq!(five_stars_needed(96, 20, 49), Some(20));
    assert_eq!(five_stars_needed(96, 20, 50), None);
    let ratings = [(1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (2, 5), (3, 4)];
    assert!(capped_mean(&ratings, usize::MAX).unwrap().equals(2, 1));
    assert!(capped_mean(&ratings, 3).unwrap().equals(24, 10));
}

#[test]
fn f18_quadrants() {
    use Quadrant::{Concentrate, Keep, LowPriority, Overkill};
    let items = [(4.6, 3.1), (4.2, 4.4), (3.4, 2.9), (3.0, 4.5)];
    assert_eq!(quadrants(&items), [Concentrate, Keep, LowPriority, Overkill]);
}

#[test]
fn f19_zero_defect() {
    let lots = [0, 0, 2, 0, 1, 0, 0, 0, 3, 0];
    assert!(zero_defect_attainment(&lots).unwrap().equals(7, 10));
    assert!(defects_per_unit(lots.iter().sum(), 10).unwrap().equals(6, 10));
    assert_eq!(zero_defect_attainment(&[]), None);
}

#[test]
fn f20_dpmo_and_sigma() {
    let dpmo = dpmo(50, 1000, 3).unwrap().to_f64();
    close(dpmo, 16_666.67, 5e-3);
    close(sigma_level(dpmo).unwrap(), 3.628, 5e-4);
    assert_eq!(sigma_level(0.0), None);
}

#[test]
fn f22_sample_size() {
    close(sample_size(0.5, 0.05, None), 385.0, 0.0);
    close(sample_size(0.5, 0.05, Some(2000.0)), 323.0, 0.0);
}

#[test]
fn f24_shrinkage() {
    close(shrink(20.0, 80.0, 5.0, 60.0).unwrap(), 76.0, 1e-12);
    assert_eq!(shrink(0.0, 80.0, 0.0, 60.0), None);
}
