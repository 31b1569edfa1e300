//! Which rows belong to one unit of protection, and how they become one contribution.
//!
//! With persons as units, the rows of one person give one contribution: the mean over the first K of them
//! in the order of the file. The mechanism then clips that mean, so one person moves a sum by at most the
//! clipping norm, however many rows they have. Three things make this hold:
//!
//! * Which rows of a person are used depends on that person's rows alone. Adding or removing somebody
//!   does not change the order of the others' rows, so their contributions stay what they were.
//! * The rule looks at places and not at contents: a row counts toward K whether or not it is usable.
//! * A row without a person contributes nothing. Rows of several people whose person is unknown cannot be
//!   told apart, so no bound would hold for them.

use std::collections::HashMap;

use super::MechanismError;
use crate::guarantee::PrivacyUnit;

/// The rows of each unit of a private table. Made by [`crate::NoisySum::units`]; holds private data, and so
/// it is not `Debug`.
#[derive(Clone)]
pub struct Units {
    unit: PrivacyUnit,
    /// The used rows, unit by unit.
    rows: Vec<usize>,
    /// Where each unit's rows end in `rows`.
    ends: Vec<usize>,
}

impl Units {
    /// The units of a table of `n_rows` rows; `persons` gives each row's person, if it is known.
    ///
    /// # Errors
    /// [`MechanismError::Units`] if persons are the unit and there is no column of them, or the column
    /// has another length than the table. Neither depends on a record's content.
    pub(super) fn new(
        unit: PrivacyUnit,
        n_rows: usize,
        persons: Option<&[Option<u32>]>,
    ) -> Result<Units, MechanismError> {
        let contributions = match unit {
            PrivacyUnit::Record => {
                return Ok(Units { unit, rows: (0..n_rows).collect(), ends: (1..=n_rows).collect() });
            }
            PrivacyUnit::Person { contributions } => contributions.get() as usize,
        };
        let persons =
            persons.filter(|persons| persons.len() == n_rows).ok_or(MechanismError::Units { unit })?;
        let mut rows_of: HashMap<u32, Vec<usize>> = HashMap::new();
        // Units in the order of their first rows, so that a run is repeatable.
        let mut order = Vec::new();
        for (row, person) in persons.iter().enumerate() {
            let Some(person) = *person else { continue };
            let rows = rows_of.entry(person).or_insert_with(|| {
                order.push(person);
                Vec::new()
            });
            if rows.len() < contributions {
                rows.push(row);
            }
        }
        let mut units = Units { unit, rows: Vec::new(), ends: Vec::new() };
        for person in order {
            units.rows.extend(&rows_of[&person]);
            units.ends.push(units.rows.len());
        }
        Ok(units)
    }

    /// What the units are.
    pub(super) fn unit(&self) -> PrivacyUnit {
        self.unit
    }

    /// The used rows of each unit.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[usize]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.rows[std::mem::replace(&mut start, end)..end])
    }
}

/// Writes the mean of the contributions of `rows` into `mean` and says whether there was any.
///
/// `contribution` fills a row's contribution and says whether the row has one. Of several rows, those
/// that are not finite count as having none; a single row is passed on as it is.
pub(super) fn mean_of_rows(
    rows: &[usize],
    contribution: &mut impl FnMut(usize, &mut [f64]) -> bool,
    scratch: &mut [f64],
    mean: &mut [f64],
) -> bool {
    if let [row] = rows {
        return contribution(*row, mean);
    }
    mean.fill(0.0);
    let mut n_used = 0_u32;
    for &row in rows {
        if contribution(row, scratch) && scratch.iter().all(|x| x.is_finite()) {
            mean.iter_mut().zip(&*scratch).for_each(|(total, x)| *total += x);
            n_used += 1;
        }
    }
    mean.iter_mut().for_each(|total| *total /= f64::from(n_used.max(1)));
    n_used > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    fn persons(contributions: u32) -> PrivacyUnit {
        PrivacyUnit::Person { contributions: NonZeroU32::new(contributions).unwrap() }
    }

    fn grouped(unit: PrivacyUnit, column: &[Option<u32>]) -> Vec<Vec<usize>> {
        Units::new(unit, column.len(), Some(column)).unwrap().iter().map(<[usize]>::to_vec).collect()
    }

    #[test]
    fn each_record_is_its_own_unit_whoever_it_belongs_to() {
        assert_eq!(grouped(PrivacyUnit::Record, &[Some(7), Some(7), None]), [[0], [1], [2]]);
        assert_eq!(Units::new(PrivacyUnit::Record, 2, None).unwrap().iter().count(), 2);
    }

    #[test]
    fn a_person_gives_their_first_rows_and_nobody_gives_none() {
        let column = [Some(5), Some(2), Some(5), None, Some(5), Some(2)];
        assert_eq!(grouped(persons(2), &column), [vec![0, 2], vec![1, 5]]);
        assert_eq!(grouped(persons(1), &column), [[0], [1]]);
        assert!(grouped(persons(3), &[None; 4]).is_empty());
        assert!(grouped(persons(3), &[]).is_empty());
    }

    #[test]
    fn a_column_that_is_missing_or_short_is_refused() {
        assert!(Units::new(persons(1), 3, None).is_err());
        let error = Units::new(persons(1), 3, Some(&[Some(1), Some(2)])).err().unwrap().to_string();
        assert!(error.contains("person:1") && error.contains("--unit-column"), "{error}");
    }

    #[test]
    fn the_mean_leaves_out_rows_without_a_finite_contribution() {
        let table = [Some(1.0), None, Some(f64::NAN), Some(4.0)];
        let mut contribution = |row: usize, out: &mut [f64]| table[row].map(|x| out.fill(x)).is_some();
        let mut mean_of = |rows: &[usize]| {
            let mut mean = [9.0];
            let any = mean_of_rows(rows, &mut contribution, &mut [0.0], &mut mean);
            any.then_some(mean[0])
        };
        assert_eq!(mean_of(&[0, 1, 2, 3]), Some(2.5));
        assert_eq!(mean_of(&[1, 2]), None);
        assert_eq!(mean_of(&[3]), Some(4.0));
        assert!(mean_of(&[2]).unwrap().is_nan(), "clipping turns it into zero");
    }

    proptest! {
        /// Removing one person leaves the rows of all others as they were, in content and in order.
        #[test]
        fn a_person_does_not_change_which_rows_others_give(
            column in prop::collection::vec(prop::option::of(0..6_u32), 0..40),
            contributions in 1..5_u32,
            removed in 0..6_u32,
        ) {
            let kept: Vec<usize> = (0..column.len()).filter(|&row| column[row] != Some(removed)).collect();
            let without: Vec<Option<u32>> = kept.iter().map(|&row| column[row]).collect();
            let unit = persons(contributions);
            let expected: Vec<Vec<usize>> =
                grouped(unit, &column).into_iter().filter(|rows| column[rows[0]] != Some(removed)).collect();
            let found: Vec<Vec<usize>> = grouped(unit, &without)
                .into_iter()
                .map(|rows| rows.into_iter().map(|row| kept[row]).collect())
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
