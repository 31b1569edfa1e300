//! The public sources side by side: whose record is whose, what is held out, and how much each counts.

use cryptotl_model::{Digest, EncoderId, SourceId};
use ndarray::{Array1, Array2};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

use super::source::{Source, SourceRecords};
use crate::config::Balance;
use crate::error::{Result, TrainerError};
use crate::source::{labeled_among, targets};

/// The most records that statistics of the sources are fitted to: what they need in memory does not grow beyond this.
const MOST_FOR_STATISTICS: usize = 1 << 15;

/// All labeled records of all sources, source after source. Embeddings stay where they are.
pub(crate) struct Sources<'a> {
    /// The encoder that all of them were embedded with.
    pub encoder: EncoderId,
    /// The label list that all of them declare.
    pub label_names: Vec<String>,
    /// Each source's name and number of labeled records.
    pub ids: Vec<SourceId>,
    /// Where each source's embeddings are.
    embeddings: Vec<&'a SourceRecords>,
    width: usize,
    /// Each record's row in its source.
    row_of: Vec<usize>,
    /// Each record's label, by its place in `label_names`.
    pub labels: Vec<u32>,
    /// Each record's source, by its place in `ids`.
    pub source_of: Vec<usize>,
}

/// Which records train and which are held out to validate; both in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split {
    /// Records that train.
    pub train: Vec<usize>,
    /// Records held out.
    pub validation: Vec<usize>,
}

impl<'a> Sources<'a> {
    /// Puts the sources together.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when there is none, two share a name, or they disagree on encoder or labels,
    /// lack labels, or hold a number that is not finite.
    pub fn gather(sources: &'a [Source]) -> Result<Self> {
        let Some(first) = sources.first() else {
            return Err(TrainerError::training("there is no source", "give at least one --source"));
        };
        let (header, width) = (first.records.header(), first.records.width());
        if header.label_names.len() < 2 {
            return Err(TrainerError::training(
                format!("the source declares {} labels", header.label_names.len()),
                "embed it with --label-column and two or more --labels",
            ));
        }
        let (mut embeddings, mut row_of, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        let (mut ids, mut source_of) = (Vec::<SourceId>::new(), Vec::new());
        for source in sources {
            let other = source.records.header();
            if other.encoder.digest != header.encoder.digest || other.label_names != header.label_names {
                return Err(TrainerError::training(
                    format!("the sources {} and {} differ in encoder or labels", first.name, source.name),
                    "embed them with one encoder and one --labels list",
                ));
            }
            source.records.check_finite(&format!("the source {}", source.name))?;
            if source.records.width() != width {
                return Err(TrainerError::training(
                    "the sources differ in width",
                    "embed them with one encoder",
                ));
            }
            for (name, rows) in source.parts() {
                if ids.iter().any(|id| id.name == name) {
                    return Err(TrainerError::training(
                        format!("two sources are called {name}"),
                        "name them apart with --source NAME=FILE",
                    ));
                }
                let (rows, own) = labeled_among(
                    source.records.require_labels()?,
                    rows.into_iter(),
                    &format!("the source {name}"),
                )?;
                embeddings.push(&source.records);
                source_of.extend(std::iter::repeat_n(ids.len(), rows.len()));
                labels.extend(own);
                ids.push(SourceId { name, records: rows.len() });
                row_of.extend(rows);
            }
        }
        Ok(Self {
            encoder: header.encoder.clone(),
            label_names: header.label_names.clone(),
            ids,
            embeddings,
            width,
            row_of,
            labels,
            source_of,
        })
    }

    /// How many labeled records.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// How many labels are declared.
    pub fn n_labels(&self) -> usize {
        self.label_names.len()
    }

    /// How many numbers an embedding has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The embeddings of some records, `[records, width]`.
    ///
    /// # Errors
    /// [`cryptotl_model::ModelError::Io`] when they are in a file that cannot be read.
    pub fn select(&self, records: &[usize]) -> Result<Array2<f32>> {
        let mut out = Array2::zeros((records.len(), self.width()));
        for (out, &record) in out.rows_mut().into_iter().zip(records) {
            self.embeddings[self.source_of[record]].copy_embedding(self.row_of[record], out)?;
        }
        Ok(out)
    }

    /// What scores are trained to give for some records, `[records, scores]`; see [`targets`].
    pub fn targets(&self, records: &[usize]) -> Array2<f64> {
        let labels: Vec<u32> = records.iter().map(|&record| self.labels[record]).collect();
        targets(&labels, self.n_labels())
    }

    /// The records among these that statistics are fitted to, in ascending order: all of up to 32,768, or so many that are drawn,
    /// always the same.
    pub fn for_statistics(among: &[usize]) -> Vec<usize> {
        if among.len() <= MOST_FOR_STATISTICS {
            return among.to_vec();
        }
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let drawn = sample(&mut rng, among.len(), MOST_FOR_STATISTICS);
        let mut drawn: Vec<usize> = drawn.into_iter().map(|place| among[place]).collect();
        drawn.sort_unstable();
        drawn
    }

    /// What the records are, to tell whether a training's state belongs to them.
    ///
    /// # Errors
    /// As for [`Sources::select`].
    pub fn digest(&self) -> Result<Digest> {
        /// Records that are put into bytes at a time.
        const BLOCK: usize = 4096;
        let names: Vec<&[u8]> = self.ids.iter().map(|id| id.name.as_bytes()).collect();
        let all: Vec<usize> = (0..self.len()).collect();
        all.chunks(BLOCK).try_fold(Digest::of_parts(names), |before, records| {
            let embeddings: Vec<u8> = self.select(records)?.iter().flat_map(|x| x.to_le_bytes()).collect();
            let strata: Vec<u8> =
                records.iter().flat_map(|&r| (self.stratum(r) as u64).to_le_bytes()).collect();
            Ok(Digest::of_parts([before.as_bytes().as_slice(), &embeddings, &strata]))
        })
    }

    /// The number of the stratum a record belongs to: a label of a source.
    fn stratum(&self, record: usize) -> usize {
        self.n_labels() * self.source_of[record] + self.labels[record] as usize
    }

    /// A stratified split: the same share of each label of each source is held out, and at least one record of
    /// a label of which there are two.
    ///
    /// # Errors
    /// [`TrainerError::Training`] when there are too few records of a label.
    pub fn split(&self, share: f64, rng: &mut ChaCha8Rng) -> Result<Split> {
        let mut strata = vec![Vec::new(); self.n_labels() * self.ids.len()];
        (0..self.len()).for_each(|record| strata[self.stratum(record)].push(record));
        let (mut train, mut validation) = (Vec::new(), Vec::new());
        for mut rows in strata {
            rows.shuffle(rng);
            let most = rows.len().saturating_sub(1);
            let held_out = ((rows.len() as f64 * share).round() as usize).max(1).min(most);
            validation.extend(rows.drain(..held_out));
            train.extend(rows);
        }
        let lacks = |rows: &[usize]| {
            (0..self.n_labels() as u32).find(|label| rows.iter().all(|&r| self.labels[r] != *label))
        };
        if let Some(label) = lacks(&validation).or_else(|| lacks(&train)) {
            return Err(TrainerError::training(
                format!(
                    "there are too few records of the label {} for a validation split",
                    self.label_names[label as usize]
                ),
                "give sources with at least a few dozen records of each label together",
            ));
        }
        train.sort_unstable();
        validation.sort_unstable();
        Ok(Split { train, validation })
    }

    /// How much each record counts, so that what `balance` names counts equally among the records at `among`;
    /// the mean over these is 1. Records elsewhere count as their like.
    pub fn weights(&self, balance: Balance, among: &[usize]) -> Array1<f64> {
        let group = |record: usize| match balance {
            Balance::Records => 0,
            Balance::Labels => self.labels[record] as usize,
            Balance::Sources => self.source_of[record],
            Balance::LabelsOfSources => self.stratum(record),
        };
        let mut counts = vec![0usize; self.n_labels() * self.ids.len()];
        among.iter().for_each(|&record| counts[group(record)] += 1);
        let groups = counts.iter().filter(|c| **c > 0).count();
        let share = among.len() as f64 / groups.max(1) as f64;
        (0..self.len()).map(|record| share / counts[group(record)].max(1) as f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryptotl_model::{Records, RecordsFile, RecordsHeader, SourceColumn};

    fn records(n: usize, ones: usize) -> Records {
        Records {
            header: RecordsHeader {
                encoder: EncoderId { name: "tiny".into(), digest: Digest::of(b"tiny") },
                label_names: vec!["no".into(), "yes".into()],
                extraction: None,
                population: None,
            },
            ids: (0..n).map(|i| i.to_string()).collect(),
            embeddings: Array2::from_shape_fn((n, 2), |(i, j)| (i + j) as f32),
            features: None,
            labels: Some((0..n).map(|i| u32::from(i < ones)).collect()),
            persons: None,
            sources: None,
        }
    }

    fn named(name: &str, records: Records) -> Source {
        Source { name: name.into(), records: records.into() }
    }

    fn source(name: &str, n: usize, ones: usize) -> Source {
        named(name, records(n, ones))
    }

    #[test]
    fn each_label_of_each_source_gives_its_share() {
        let both = [source("a", 100, 30), source("b", 20, 10)];
        let sources = Sources::gather(&both).unwrap();
        let split = sources.split(0.2, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let count = |rows: &[usize], stratum| rows.iter().filter(|r| sources.stratum(**r) == stratum).count();
        assert_eq!([0, 1, 2, 3].map(|s| count(&split.validation, s)), [14, 6, 2, 2]);
        assert_eq!([0, 1, 2, 3].map(|s| count(&split.train, s)), [56, 24, 8, 8]);
        assert_eq!(split.train.len() + split.validation.len(), 120);
        let again = sources.split(0.2, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        assert_eq!(split, again);
    }

    #[test]
    fn what_is_balanced_counts_equally() {
        let both = [source("a", 100, 30), source("b", 20, 10)];
        let sources = Sources::gather(&both).unwrap();
        let all: Vec<usize> = (0..120).collect();
        let total = |weights: &Array1<f64>, keep: &dyn Fn(usize) -> bool| -> f64 {
            all.iter().filter(|r| keep(**r)).map(|r| weights[*r]).sum()
        };
        for balance in [Balance::Records, Balance::Labels, Balance::Sources, Balance::LabelsOfSources] {
            let weights = sources.weights(balance, &all);
            assert!((weights.mean().unwrap() - 1.0).abs() < 1e-12, "{balance:?}");
            let first_source = total(&weights, &|r| r < 100);
            let ones = total(&weights, &|r| sources.labels[r] == 1);
            let both = matches!(balance, Balance::Sources | Balance::LabelsOfSources);
            assert_eq!((first_source - 60.0).abs() < 1e-9, both, "{balance:?}");
            let labels = matches!(balance, Balance::Labels | Balance::LabelsOfSources);
            assert_eq!((ones - 60.0).abs() < 1e-9, labels, "{balance:?}");
        }
    }

    #[test]
    fn records_are_found_in_their_sources_and_statistics_have_a_limit() {
        let (mut first, second) = (records(5, 2), records(4, 2));
        first.labels.as_mut().unwrap()[1] = cryptotl_model::UNLABELED;
        let both = [named("a", first.clone()), named("b", second.clone())];
        let sources = Sources::gather(&both).unwrap();
        assert_eq!((sources.len(), sources.width()), (8, 2));
        // The second row of the first source has no label.
        let found = sources.select(&[1, 4, 7]).unwrap();
        let expected = [first.embeddings.row(2), second.embeddings.row(0), second.embeddings.row(3)];
        assert!(found.rows().into_iter().zip(expected).all(|(found, expected)| found == expected));

        let few: Vec<usize> = (3..100).collect();
        assert_eq!(Sources::for_statistics(&few), few);
        let many: Vec<usize> = (0..200_000).map(|i| 2 * i).collect();
        let drawn = Sources::for_statistics(&many);
        assert_eq!((drawn.len(), &drawn), (MOST_FOR_STATISTICS, &Sources::for_statistics(&many)));
        assert!(drawn.is_sorted() && drawn.iter().all(|record| record % 2 == 0));
        let mean = drawn.iter().sum::<usize>() as f64 / drawn.len() as f64;
        assert!((mean / 200_000.0 - 1.0).abs() < 0.02, "{mean}");
    }

    #[test]
    fn a_table_with_a_column_of_sources_is_as_good_as_a_table_for_each() {
        let (first, second) = (records(60, 20), records(40, 10));
        // All rows of both in one table, one of each in turn, and two of no source in between.
        let rows: Vec<(usize, usize)> =
            (0..60).flat_map(|i| [(0, i), (1, i)]).filter(|&(s, i)| s == 0 || i < 40).collect();
        let of = |s: usize| if s == 0 { &first } else { &second };
        let label = |&(s, i): &(usize, usize)| of(s).labels.as_ref().unwrap()[i];
        let mut table = first.select(&vec![0; rows.len()]);
        table.labels = Some(rows.iter().map(label).collect());
        for (to, &(s, i)) in rows.iter().enumerate() {
            table.embeddings.row_mut(to).assign(&of(s).embeddings.row(i));
        }
        let of_record = rows.iter().map(|&(s, _)| Some(s as u32)).collect();
        table.sources = Some(SourceColumn { names: vec!["films".into(), "shops".into()], of_record });
        let both = [named("all", table.clone())];
        let apart = [named("all/films", first), named("all/shops", second)];
        let (together, apart) = (Sources::gather(&both).unwrap(), Sources::gather(&apart).unwrap());
        assert_eq!(together.ids, apart.ids);
        assert_eq!((&together.labels, &together.source_of), (&apart.labels, &apart.source_of));
        let all: Vec<usize> = (0..together.len()).collect();
        assert_eq!(together.select(&all).unwrap(), apart.select(&all).unwrap());
        assert_eq!(together.digest().unwrap(), apart.digest().unwrap());

        // What the column does not name is of the table itself.
        let column = table.sources.as_mut().unwrap();
        column.of_record[..4].fill(None);
        column.of_record[60..64].fill(None);
        let both = [named("all", table.clone())];
        let names: Vec<String> = Sources::gather(&both).unwrap().ids.into_iter().map(|id| id.name).collect();
        assert_eq!(names, ["all/films", "all/shops", "all"]);
        table.labels.as_mut().unwrap().fill(0);
        let one_label = [named("all", table)];
        let error = Sources::gather(&one_label).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("the source all/films does not have records of two labels"), "{error}");
    }

    #[test]
    fn embeddings_may_stay_in_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.safetensors");
        let mut table = records(5000, 1700);
        table.labels.as_mut().unwrap()[7] = 99;
        let of_record = (0..5000).map(|i| [Some(0), Some(1), None][i % 3]).collect();
        table.sources = Some(SourceColumn { names: vec!["films".into(), "shops".into()], of_record });
        table.write(&path).unwrap();
        let [inside, outside] = [
            [named("all", Records::read(&path).unwrap())],
            [Source {
                name: "all".into(),
                records: SourceRecords::InFile(RecordsFile::open(&path).unwrap()),
            }],
        ];
        let (inside, outside) = (Sources::gather(&inside).unwrap(), Sources::gather(&outside).unwrap());
        assert_eq!((&inside.ids, &inside.labels), (&outside.ids, &outside.labels));
        assert_eq!(inside.len(), 4999, "one label is none of the declared");
        assert_eq!(inside.digest().unwrap(), outside.digest().unwrap());
        assert_eq!(inside.select(&[4998, 0, 2500]).unwrap(), outside.select(&[4998, 0, 2500]).unwrap());

        // A file that is cut short after it was opened is an error, not a panic.
        std::fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
        assert!(
            outside.select(&[4998]).unwrap_err().to_string().contains("cannot read"),
            "{:?}",
            outside.select(&[4998])
        );
        table.embeddings[[4999, 1]] = f32::NAN;
        table.write(&path).unwrap();
        let broken = SourceRecords::InFile(RecordsFile::open(&path).unwrap());
        let broken = [Source { name: "all".into(), records: broken }];
        let error = Sources::gather(&broken).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("the source all holds NaN"), "{error}");
        let small = SourceRecords::read(&path).unwrap();
        assert!(matches!(small, SourceRecords::InMemory(_)));
    }

    #[test]
    fn of_three_labels_each_is_held_out_and_balanced() {
        let mut with_three = records(120, 30);
        with_three.header.label_names.push("maybe".into());
        let other = with_three.clone();
        let labels = with_three.labels.as_mut().unwrap();
        labels[110..].fill(2);
        let both = [named("a", with_three), named("b", other.clone())];
        let sources = Sources::gather(&both).unwrap();
        let split = sources.split(0.2, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let held_out = |s| split.validation.iter().filter(|r| sources.stratum(**r) == s).count();
        assert_eq!([0, 1, 2, 3, 4, 5].map(held_out), [16, 6, 2, 18, 6, 0]);
        let all: Vec<usize> = (0..sources.len()).collect();
        let weights = sources.weights(Balance::Labels, &all);
        let of =
            |label| all.iter().filter(|r| sources.labels[**r] == label).map(|r| weights[*r]).sum::<f64>();
        assert!([0, 1, 2].iter().all(|label| (of(*label) - 80.0).abs() < 1e-9));
        let targets = sources.targets(&all);
        assert_eq!((targets.dim(), targets.sum()), ((240, 3), 240.0));
        assert_eq!(targets.row(115).to_vec(), [0.0, 0.0, 1.0]);

        // One source may lack a label, all of them together may not.
        let without = [named("a", other)];
        let none = Sources::gather(&without).unwrap();
        let error = none.split(0.2, &mut ChaCha8Rng::seed_from_u64(1)).unwrap_err().to_string();
        assert!(error.contains("label maybe"), "{error}");
    }

    #[test]
    fn sources_that_cannot_be_told_apart_or_split_are_refused() {
        for (sources, fact) in [
            (vec![], "there is no source"),
            (vec![source("a", 9, 3), source("a", 9, 3)], "two sources are called a"),
            (vec![source("a", 9, 9)], "of two labels"),
        ] {
            let error = Sources::gather(&sources).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(fact), "{error}");
        }
        let few = [source("a", 2, 1)];
        let few = Sources::gather(&few).unwrap();
        let error = few.split(0.2, &mut ChaCha8Rng::seed_from_u64(1)).unwrap_err().to_string();
        assert!(error.contains("too few records of the label"), "{error}");
    }
}
