//! Products of rows with a matrix, each row by itself.
//!
//! A matrix product over a batch may round a row's numbers in another way when another row stands beside it: which kernel and
//! which blocks it takes depend on the batch. For private rows that would break the promise that no record moves
//! another's numbers. Here a product is plain sums in eight lanes, in an order that follows from the width alone. Rust
//! neither reorders nor fuses them, so the bits are the same whatever the batch and whatever instructions [`pulp`] finds.

use std::borrow::Cow;

use ndarray::{Array2, ArrayView1, ArrayView2};
use pulp::Arch;

/// The lanes of a sum: a vector register of AVX-512, two of AVX.
const LANES: usize = 8;
/// How many rows share the loads of the matrix.
const ROWS: usize = 4;

/// The scalar product of two rows of one length.
pub fn dot(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    let (a, b) = (contiguous(&a), contiguous(&b));
    Arch::new().dispatch(|| dots([&a], &b))[0]
}

/// `[rows, width]` times the transpose of `[outputs, width]`, which is `[rows, outputs]`. A row of the result is a function of
/// that row and the matrix, to the last bit.
pub fn times_transposed(rows: ArrayView2<f64>, matrix: ArrayView2<f64>) -> Array2<f64> {
    assert_eq!(rows.ncols(), matrix.ncols(), "both have rows of one width");
    let (width, outputs) = (rows.ncols(), matrix.nrows());
    let mut product = Array2::zeros((rows.nrows(), outputs));
    if width == 0 || outputs == 0 {
        return product;
    }
    let (rows, matrix) = (rows.as_standard_layout(), matrix.as_standard_layout());
    let numbers = "a matrix in the standard layout is one slice";
    let (rows, matrix) = (rows.as_slice().expect(numbers), matrix.as_slice().expect(numbers));
    let out = product.as_slice_mut().expect(numbers);
    Arch::new().dispatch(|| {
        for (rows, out) in rows.chunks(ROWS * width).zip(out.chunks_mut(ROWS * outputs)) {
            let row = |index: usize| &rows[index * width..][..width];
            if rows.len() == ROWS * width {
                let four: [&[f64]; ROWS] = std::array::from_fn(row);
                for (j, line) in matrix.chunks_exact(width).enumerate() {
                    for (index, value) in dots(four, line).into_iter().enumerate() {
                        out[index * outputs + j] = value;
                    }
                }
            } else {
                for (index, out) in out.chunks_exact_mut(outputs).enumerate() {
                    for (value, line) in out.iter_mut().zip(matrix.chunks_exact(width)) {
                        [*value] = dots([row(index)], line);
                    }
                }
            }
        }
    });
    product
}

/// The scalar products of some rows with `b`; each is computed as if it were alone.
#[inline(always)]
fn dots<const N: usize>(rows: [&[f64]; N], b: &[f64]) -> [f64; N] {
    let (b, b_rest) = b.as_chunks::<LANES>();
    let rows = rows.map(|row| row.as_chunks::<LANES>());
    let mut lanes = [[0.0; LANES]; N];
    for (k, b) in b.iter().enumerate() {
        for (lanes, (row, _)) in lanes.iter_mut().zip(&rows) {
            for (lane, (x, y)) in lanes.iter_mut().zip(row[k].iter().zip(b)) {
                *lane += x * y;
            }
        }
    }
    std::array::from_fn(|i| {
        let rest: f64 = rows[i].1.iter().zip(b_rest).map(|(x, y)| x * y).sum();
        lanes[i].iter().sum::<f64>() + rest
    })
}

fn contiguous<'a>(row: &'a ArrayView1<f64>) -> Cow<'a, [f64]> {
    row.as_slice().map_or_else(|| row.to_vec().into(), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use ndarray::{Axis, s};
    use proptest::prelude::*;

    use super::*;

    /// Numbers of many sizes, so that another order of a sum would have other last bits.
    fn matrix(rows: usize, width: usize, seed: u64) -> Array2<f64> {
        let mut state = seed;
        Array2::from_shape_fn((rows, width), |_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 33) as f64 / (1u64 << 30) as f64 - 1.0) * 10f64.powi((state % 7) as i32 - 3)
        })
    }

    fn bits(row: ArrayView1<f64>) -> Vec<u64> {
        row.iter().map(|x| x.to_bits()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever other rows stand beside it, above and below, in whatever layout.
        #[test]
        fn a_row_of_a_product_is_that_of_the_row_alone(
            n in 1usize..23, width in 1usize..41, outputs in 1usize..13, seed: u64, removed: prop::sample::Index, turned: bool,
        ) {
            let (rows, other) = (matrix(n, width, seed), matrix(outputs, width, !seed));
            let stored = if turned { rows.t().as_standard_layout().into_owned().reversed_axes() } else { rows.clone() };
            let all = times_transposed(stored.view(), other.view());
            for (i, row) in rows.rows().into_iter().enumerate() {
                let alone = times_transposed(row.insert_axis(Axis(0)), other.view());
                prop_assert_eq!(bits(all.row(i)), bits(alone.row(0)));
                for (j, line) in other.rows().into_iter().enumerate() {
                    let plain: f64 = row.iter().zip(line).map(|(x, y)| x * y).sum();
                    let size: f64 = row.iter().zip(line).map(|(x, y)| (x * y).abs()).sum();
                    prop_assert_eq!(dot(row, line).to_bits(), all[[i, j]].to_bits());
                    prop_assert!((all[[i, j]] - plain).abs() <= 1e-14 * size);
                }
            }
            let removed = removed.index(n);
            let left: Vec<usize> = (0..n).filter(|i| *i != removed).collect();
            let without = times_transposed(rows.select(Axis(0), &left).view(), other.view());
            for (at, &i) in left.iter().enumerate() {
                prop_assert_eq!(bits(without.row(at)), bits(all.row(i)));
            }
        }
    }

    #[test]
    fn nothing_times_something_is_nothing() {
        let empty = Array2::<f64>::zeros((0, 3));
        assert_eq!(times_transposed(empty.view(), matrix(2, 3, 1).view()).dim(), (0, 2));
        assert_eq!(times_transposed(matrix(2, 3, 1).view(), empty.view()).dim(), (2, 0));
        let narrow = Array2::<f64>::zeros((2, 0));
        assert_eq!(times_transposed(narrow.view(), narrow.view()), Array2::<f64>::zeros((2, 2)));
        let numbers = matrix(3, 9, 4);
        assert_eq!(dot(numbers.slice(s![0, ..;2]), numbers.slice(s![1, ..;2])).to_bits(), {
            let every_other = numbers.slice(s![.., ..;2]).as_standard_layout().into_owned();
            dot(every_other.row(0), every_other.row(1)).to_bits()
        });
    }

    /// The shortest of five products of 4000 records of width 400 with 256 axes, and what a matrix product over the batch takes.
    #[test]
    #[ignore = "a timing"]
    fn a_product_of_4000_rows() {
        let (rows, axes) = (matrix(4000, 400, 1), matrix(256, 400, 2));
        let shortest = |product: &dyn Fn() -> Array2<f64>| {
            let times = (0..5).map(|_| {
                let begun = std::time::Instant::now();
                std::hint::black_box(product());
                begun.elapsed().as_secs_f64() * 1e3
            });
            times.fold(f64::INFINITY, f64::min)
        };
        let own = shortest(&|| times_transposed(rows.view(), axes.view()));
        println!("row by row {own:.1} ms, as a batch {:.1} ms", shortest(&|| rows.dot(&axes.t())));
    }
}
