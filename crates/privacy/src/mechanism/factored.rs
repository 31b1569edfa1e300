//! Contributions in factors: clipped by their ghost norms, on the integer grid, and summed exactly.
//!
//! The gradient of a dense layer at one record is an outer product a d^T of what goes into the layer and of the gradient behind it,
//! and its norm is |a| |d|: known without writing the product down (Goodfellow 2015; Li, Tramèr, Liang and Hashimoto
//! 2022 call it ghost clipping). Here this is done in integers, because floats cannot prove a bound (see [`super::clip`]).
//!
//! A contribution is a list of outer products and a plain vector; its norm is the root of sum |a|^2 |d|^2 + |p|^2.
//! With C, R = 2^30 and the grid step C/R as there, a row that is one of m of its unit becomes
//!
//! 1. a scale s = min(R / (C m), r / norm) in floats, with r = floor(R / m);
//! 2. of each outer product, a and d scaled to the length t = sqrt(s |a| |d|) each, and p by s; every coordinate rounded toward zero,
//!    and bounded by 2^15 and R: integer vectors A, D and P;
//! 3. while sum |A|^2 |D|^2 + |P|^2, in exact integers, is above r^2: each nonzero coordinate of every D and of P one
//!    step closer to zero.
//!
//! *Lemma.* Whatever the floats did, the integer vector z of all products A_j D_k and of P has a Euclidean norm of at most R / m,
//! and the sum of these over the rows of a unit one of at most R. Sums over all units are exact. So neighbors' sums differ
//! by at most R: the sensitivity of [`super::sums`] holds, provided that the factors of a row are a function of that
//! row and of public numbers alone, and that there are fewer than 2^33 rows.
//!
//! *Proof.* The squares of all A_j D_k of one product add up to |A|^2 |D|^2, an identity of integers, so that step 3 checks
//! |z|^2 <= r^2 itself. It ends, because every pass shrinks the largest coordinate of every D and of P. The triangle inequality
//! gives m r <= R for the unit. The products are at most 2^30 in magnitude and are added in f64, at most 2^22 of them
//! between two transfers to an i64: every partial sum is an integer of at most 2^52, which an f64 holds exactly, in any order of
//! additions. An i64 holds 2^33 rows. ∎
//!
//! Rounding costs at most about (sqrt(len a) + sqrt(len d)) 2^-15 of C a row, in norm.

use super::clip::GRID_RADIUS;

/// The bound on a coordinate of a factor: the square root of the radius.
const FACTOR_BOUND: f64 = 32768.0;
/// Rows whose products are added in floats before they are moved into integers.
const ROWS_IN_FLOATS: u32 = 1 << 22;

/// How contributions are made of factors; public. A sum has the outer products first, in order, each with the products of the
/// left factor's first number before those of its second, and then the plain numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Factoring {
    /// The lengths of the left and the right factor of each outer product.
    pub outer: Vec<(usize, usize)>,
    /// How many numbers are given as they are.
    pub plain: usize,
}

impl Factoring {
    /// How many numbers a contribution has; `None` if too many to count.
    pub fn dimension(&self) -> Option<usize> {
        let products = self.outer.iter().map(|&(left, right)| left.checked_mul(right));
        products.chain([Some(self.plain)]).try_fold(0_usize, |sum, n| sum.checked_add(n?))
    }
}

/// The factors of one contribution, to be written anew for each row. Not `Debug`: it holds private data.
pub struct Factors {
    outer: Vec<(Vec<f64>, Vec<f64>)>,
    plain: Vec<f64>,
}

impl Factors {
    /// Zeros.
    pub fn new(factoring: &Factoring) -> Factors {
        let outer = factoring.outer.iter().map(|&(left, right)| (vec![0.0; left], vec![0.0; right]));
        Factors { outer: outer.collect(), plain: vec![0.0; factoring.plain] }
    }

    /// The left and the right factor of outer product number `i`.
    pub fn outer(&mut self, i: usize) -> (&mut [f64], &mut [f64]) {
        let (left, right) = &mut self.outer[i];
        (left, right)
    }

    /// The numbers that are given as they are.
    pub fn plain(&mut self) -> &mut [f64] {
        &mut self.plain
    }

    /// The norm of the contribution that these are the factors of, in floats: the ghost norm.
    pub fn norm(&self) -> f64 {
        let outer = self.outer.iter().map(|(left, right)| squares(left) * squares(right));
        (outer.sum::<f64>() + squares(&self.plain)).sqrt()
    }

    pub(super) fn is_finite(&self) -> bool {
        let outer = self.outer.iter().flat_map(|(left, right)| left.iter().chain(right));
        outer.chain(&self.plain).all(|x| x.is_finite()) && self.norm().is_finite()
    }
}

/// Clips factors. Not `Debug`: it holds the last contribution.
pub(super) struct FactorClipper {
    clipping_norm: f64,
    outer: Vec<(Vec<i32>, Vec<i32>)>,
    plain: Vec<i32>,
}

impl FactorClipper {
    pub(super) fn new(factoring: &Factoring, clipping_norm: f64) -> FactorClipper {
        let outer = factoring.outer.iter().map(|&(left, right)| (vec![0; left], vec![0; right]));
        FactorClipper { clipping_norm, outer: outer.collect(), plain: vec![0; factoring.plain] }
    }

    /// The factors of one of `rows` rows of a unit in grid steps, as the module says.
    pub(super) fn clip(&mut self, factors: &Factors, rows: usize) {
        let radius = GRID_RADIUS / rows.max(1) as i64;
        let share = GRID_RADIUS as f64 / self.clipping_norm / rows.max(1) as f64;
        // A norm that underflowed to zero is far below C and needs no clipping.
        let scale = share.min(radius as f64 / factors.norm());
        for ((left, right), (a, d)) in self.outer.iter_mut().zip(&factors.outer) {
            let (norm_a, norm_d) = (squares(a).sqrt(), squares(d).sqrt());
            let length = (scale * norm_a).sqrt() * norm_d.sqrt();
            round(left, a, length / norm_a, FACTOR_BOUND);
            round(right, d, length / norm_d, FACTOR_BOUND);
        }
        round(&mut self.plain, &factors.plain, scale, GRID_RADIUS as f64);
        self.shrink_into(radius);
    }

    /// Step 3.
    fn shrink_into(&mut self, radius: i64) {
        while self.squared_norm() > (radius as u128).pow(2) {
            let right = self.outer.iter_mut().flat_map(|(_, right)| right);
            right.chain(&mut self.plain).for_each(|value| *value -= value.signum());
        }
    }

    /// The exact squared norm of the contribution. At most 2^26 coordinates: a factor's is below 2^57, and that of the plain
    /// numbers below 2^87.
    fn squared_norm(&self) -> u128 {
        let outer = self.outer.iter().map(|(left, right)| exact_squares(left) * exact_squares(right));
        outer.sum::<u128>() + exact_squares(&self.plain)
    }
}

/// The exact sum of clipped contributions.
pub(super) struct FactoredSum {
    /// Where each outer product begins, and then where the plain numbers do.
    starts: Vec<usize>,
    /// What was added to the outer products since it was last moved.
    recent: Vec<f64>,
    n_recent: u32,
    total: Vec<i64>,
}

impl FactoredSum {
    pub(super) fn new(factoring: &Factoring) -> FactoredSum {
        let mut starts = vec![0];
        for (left, right) in &factoring.outer {
            starts.push(starts[starts.len() - 1] + left * right);
        }
        let products = starts[starts.len() - 1];
        FactoredSum {
            starts,
            recent: vec![0.0; products],
            n_recent: 0,
            total: vec![0; products + factoring.plain],
        }
    }

    /// Adds the contribution that `clipper` holds.
    pub(super) fn add(&mut self, clipper: &FactorClipper) {
        for ((left, right), start) in clipper.outer.iter().zip(&self.starts) {
            let right: Vec<f64> = right.iter().map(|&d| f64::from(d)).collect();
            let products = self.recent[*start..].chunks_exact_mut(right.len().max(1));
            for (row, &a) in products.zip(left) {
                let a = f64::from(a);
                row.iter_mut().zip(&right).for_each(|(sum, d)| *sum += a * d);
            }
        }
        let plain = &mut self.total[self.recent.len()..];
        plain.iter_mut().zip(&clipper.plain).for_each(|(sum, &p)| *sum = sum.saturating_add(i64::from(p)));
        self.n_recent += 1;
        if self.n_recent == ROWS_IN_FLOATS {
            self.transfer();
        }
    }

    fn transfer(&mut self) {
        for (total, recent) in self.total.iter_mut().zip(&mut self.recent) {
            *total = total.saturating_add(*recent as i64);
            *recent = 0.0;
        }
        self.n_recent = 0;
    }

    pub(super) fn into_total(mut self) -> Vec<i64> {
        self.transfer();
        self.total
    }
}

fn squares(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum()
}

fn exact_squares(x: &[i32]) -> u128 {
    x.iter().map(|&x| u128::from(x.unsigned_abs()).pow(2)).sum()
}

fn round(steps: &mut [i32], x: &[f64], scale: f64, bound: f64) {
    // `as` rounds toward zero and turns the NaN of zero times infinity into zero.
    steps.iter_mut().zip(x).for_each(|(steps, x)| *steps = (x * scale).clamp(-bound, bound) as i32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanism::Noise;
    use crate::mechanism::clip::GridClipper;
    use proptest::prelude::*;

    const R: i128 = GRID_RADIUS as i128;

    fn filled(factoring: &Factoring, mut number: impl FnMut() -> f64) -> Factors {
        let mut factors = Factors::new(factoring);
        let outer = factors.outer.iter_mut().flat_map(|(left, right)| left.iter_mut().chain(right));
        outer.chain(&mut factors.plain).for_each(|x| *x = number());
        factors
    }

    /// The contribution in full.
    fn product(factors: &Factors) -> Vec<f64> {
        let outer =
            factors.outer.iter().flat_map(|(a, d)| a.iter().flat_map(|a| d.iter().map(move |d| a * d)));
        outer.chain(factors.plain.iter().copied()).collect()
    }

    /// The clipped contribution in full.
    fn clipped(clipper: &FactorClipper) -> Vec<i128> {
        let outer = clipper
            .outer
            .iter()
            .flat_map(|(a, d)| a.iter().flat_map(|&a| d.iter().map(move |&d| i128::from(a) * i128::from(d))));
        outer.chain(clipper.plain.iter().map(|&p| i128::from(p))).collect()
    }

    fn shape() -> impl Strategy<Value = Factoring> {
        (prop::collection::vec((1..9_usize, 1..7_usize), 0..4), 0..6_usize)
            .prop_map(|(outer, plain)| Factoring { outer, plain })
            .prop_filter("no numbers at all", |factoring| factoring.dimension() > Some(0))
    }

    /// Numbers of many magnitudes, the extremes among them.
    fn numbers() -> impl Strategy<Value = Vec<f64>> {
        let number = prop_oneof![
            6 => -3.0..3.0_f64,
            1 => Just(0.0),
            1 => (-1.0..1.0_f64, -60..60_i32).prop_map(|(m, e)| m * 2_f64.powi(e)),
        ];
        prop::collection::vec(number, 64)
    }

    proptest! {
        /// The exact norm is within the radius of the row's share, whatever the numbers are.
        #[test]
        fn the_exact_norm_is_within_the_radius(
            factoring in shape(), numbers in numbers(), clipping_norm in 1e-3..1e3_f64, rows in 1..5_usize,
        ) {
            let mut next = numbers.iter().copied().cycle();
            let factors = filled(&factoring, || next.next().unwrap());
            let mut clipper = FactorClipper::new(&factoring, clipping_norm);
            clipper.clip(&factors, rows);
            let squared: i128 = clipped(&clipper).iter().map(|z| z * z).sum();
            prop_assert!(squared <= (R / rows as i128).pow(2), "{squared}");
        }

        /// Factors give what the clipping of the whole vector gives, up to the coarser rounding.
        #[test]
        fn factors_are_clipped_as_the_whole_vector_is(
            factoring in shape(), numbers in prop::collection::vec(-3.0..3.0_f64, 64), clipping_norm in 0.1..100.0_f64,
        ) {
            let mut next = numbers.iter().copied().cycle();
            let factors = filled(&factoring, || next.next().unwrap());
            let full = product(&factors);
            let ghost = factors.norm();
            let norm = full.iter().map(|x| x * x).sum::<f64>().sqrt();
            prop_assert!((ghost - norm).abs() <= 1e-12 * norm, "{ghost} {norm}");
            let mut clipper = FactorClipper::new(&factoring, clipping_norm);
            clipper.clip(&factors, 1);
            let mut whole = GridClipper::new(Noise::Gaussian, full.len(), clipping_norm);
            let expected = whole.clip(&full).unwrap();
            let distance = clipped(&clipper).iter().zip(expected)
                .map(|(&z, &e)| (z as f64 - f64::from(e)).powi(2)).sum::<f64>().sqrt();
            prop_assert!(distance / R as f64 <= 4.0 * (9_f64.sqrt() + 6_f64.sqrt()) / FACTOR_BOUND, "{distance}");
        }

        /// The sum is that of the clipped contributions, number by number.
        #[test]
        fn sums_are_exact(factoring in shape(), numbers in numbers(), n in 0..20_usize) {
            let mut next = numbers.iter().copied().cycle();
            let mut clipper = FactorClipper::new(&factoring, 0.5);
            let mut sum = FactoredSum::new(&factoring);
            let mut expected = vec![0_i128; factoring.dimension().unwrap()];
            for i in 0..n {
                clipper.clip(&filled(&factoring, || next.next().unwrap() * (i + 1) as f64), 1);
                sum.add(&clipper);
                expected.iter_mut().zip(clipped(&clipper)).for_each(|(total, z)| *total += z);
                if i % 3 == 0 {
                    sum.transfer();
                }
            }
            let found: Vec<i128> = sum.into_total().into_iter().map(i128::from).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_sum_in_floats_reaches_its_largest_value_exactly() {
        // The most that is added between two transfers, in one coordinate: 2^22 products of 2^30, and one less.
        let factoring = Factoring { outer: vec![(1, 1)], plain: 0 };
        let mut clipper = FactorClipper::new(&factoring, 1.0);
        let mut sum = FactoredSum::new(&factoring);
        sum.recent[0] = f64::from(ROWS_IN_FLOATS - 2) * (1_u64 << 30) as f64;
        sum.n_recent = ROWS_IN_FLOATS - 2;
        for factors in [(32768, 32768), (32767, 32767)] {
            clipper.outer[0] = (vec![factors.0], vec![factors.1]);
            sum.add(&clipper);
        }
        assert_eq!((sum.n_recent, sum.recent[0]), (0, 0.0));
        let expected = i64::from(ROWS_IN_FLOATS - 1) * (1 << 30) + 32767 * 32767;
        assert_eq!(sum.into_total(), [expected]);
    }

    #[test]
    fn what_is_outside_is_moved_inside() {
        let factoring = Factoring { outer: vec![(1, 2)], plain: 1 };
        let mut clipper = FactorClipper::new(&factoring, 1.0);
        clipper.outer[0] = (vec![32768], vec![32767, -400]);
        clipper.plain[0] = -5;
        assert!(clipper.squared_norm() > (R * R) as u128);
        clipper.shrink_into(GRID_RADIUS);
        assert_eq!((&clipper.outer[0].1[..], clipper.plain[0]), (&[32765, -398][..], -3));
        // Numbers at the ends of the floats' range, where computed norms are far off.
        let mut factors = Factors::new(&factoring);
        for (a, d, p) in
            [(1e-200, 1e200, 0.0), (1e160, 1e-160, 1.0), (5e-324, 1.0, 1.0), (1e-162, 1e162, 0.0)]
        {
            factors.outer[0] = (vec![a], vec![d, -d]);
            factors.plain[0] = p;
            clipper.clip(&factors, 1);
            assert!(clipper.squared_norm() <= (R * R) as u128, "{a} {d} {p}");
        }
        factors.outer[0] = (vec![0.0], vec![1.0, 2.0]);
        clipper.clip(&factors, 1);
        assert_eq!(clipper.outer[0].0, [0]);
        factors.outer[0].0 = vec![f64::INFINITY];
        assert!(!factors.is_finite());
        factors.outer[0] = (vec![1e200], vec![1e200, 0.0]);
        assert!(!factors.is_finite(), "its norm is not");
    }
}
