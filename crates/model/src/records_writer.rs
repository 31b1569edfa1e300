//! A records file written part by part, for more records than fit into memory.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};

use safetensors::tensor::Dtype;

use crate::destination::{Destination, WriteTo};
use crate::error::{ModelError, Result};
use crate::format::{check_size, start_of_file};
use crate::output_file::{OutputFile, folder_of};
use crate::records::{Records, RecordsHeader, SourceColumn, Strings, UNKNOWN};

/// How many bytes of embeddings are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// A records file that grows. What it gives is, byte for byte, what [`Records::write`] gives for all parts
/// together.
///
/// Identifiers, labels, persons and sources stay in memory, some tens of bytes a record; embeddings, which are
/// the bulk, wait in a file without a name in the folder of the output.
pub struct RecordsWriter {
    header: RecordsHeader,
    to: Destination,
    width: usize,
    embeddings: BufWriter<File>,
    ids: Strings,
    labels: Option<Vec<u32>>,
    persons: Option<Vec<u32>>,
    /// The names so far, and each record's.
    sources: Option<(Vec<String>, Vec<u32>)>,
}

impl RecordsWriter {
    /// Starts a file that will appear at a place, of records like those of `first`, which are its first.
    ///
    /// # Errors
    /// [`ModelError::Io`] when the folder is missing or full, and [`ModelError::Mismatch`] when `first` has
    /// server features, which are not written part by part.
    pub fn create(to: &(impl WriteTo + ?Sized), first: &Records) -> Result<Self> {
        let to = to.destination(Records::FILE)?;
        first.header.check_labels()?;
        let waiting =
            tempfile::tempfile_in(folder_of(to.path())).map_err(|e| ModelError::io("write", to.path(), e))?;
        let mut writer = Self {
            header: first.header.clone(),
            to,
            width: first.embeddings.ncols(),
            embeddings: BufWriter::new(waiting),
            ids: Strings::default(),
            labels: first.labels.as_ref().map(|_| Vec::new()),
            persons: first.persons.as_ref().map(|_| Vec::new()),
            sources: first.sources.as_ref().map(|_| Default::default()),
        };
        writer.push(first)?;
        Ok(writer)
    }

    /// Appends records. Their source names are those of the parts before, and any number of new ones behind them.
    ///
    /// # Errors
    /// [`ModelError::Io`] when the disk is full, and [`ModelError::Mismatch`] when these records have other
    /// columns or another header than the first.
    pub fn push(&mut self, records: &Records) -> Result<()> {
        let same_columns = records.labels.is_some() == self.labels.is_some()
            && records.persons.is_some() == self.persons.is_some()
            && records.sources.is_some() == self.sources.is_some()
            && records.embeddings.ncols() == self.width
            && records.features.is_none();
        let same_names = match (&self.sources, &records.sources) {
            (Some((names, _)), Some(more)) => more.names.starts_with(names),
            _ => true,
        };
        if !same_columns || !same_names || records.header != self.header {
            return Err(ModelError::mismatch(
                "the parts of a records file do not have the same columns",
                "report this as a bug",
            ));
        }
        if let Some(sources) = &records.sources {
            SourceColumn::check_names(&sources.names)?;
        }
        records.ids.iter().for_each(|id| self.ids.push(id));
        // A file that no reader takes is given up where it grows too large, not when all the work is done.
        check_size::<RecordsHeader>(self.ids.bytes.len() as u64)?;
        Records::check_size(self.ids.ends.len(), self.width)?;
        if let (Some(all), Some(labels)) = (&mut self.labels, &records.labels) {
            all.extend_from_slice(labels);
        }
        if let (Some(all), Some(persons)) = (&mut self.persons, &records.persons) {
            all.extend(persons.iter().map(|person| person.unwrap_or(UNKNOWN)));
        }
        if let (Some((names, all)), Some(sources)) = (&mut self.sources, &records.sources) {
            names.clone_from(&sources.names);
            all.extend(sources.of_record.iter().map(|source| source.unwrap_or(UNKNOWN)));
        }
        for number in &records.embeddings {
            self.embeddings
                .write_all(&number.to_le_bytes())
                .map_err(|e| ModelError::io("write", self.to.path(), e))?;
        }
        Ok(())
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// [`ModelError::Io`] when it cannot be written.
    pub fn finish(self) -> Result<()> {
        let Self { header, to, width, embeddings, ids, labels, persons, sources } = self;
        let io = |e| ModelError::io("write", to.path(), e);
        let n = ids.ends.len();
        let (names, sources) = sources.map(|(names, all)| (Strings::of(&names), all)).unzip();
        let mut tensors = vec![("ids.ends", Dtype::U64, vec![n])];
        tensors.extend(names.as_ref().map(|s| ("source-names.ends", Dtype::U64, vec![s.ends.len()])));
        tensors.push(("embeddings", Dtype::F32, vec![n, width]));
        for (name, codes) in [("labels", &labels), ("persons", &persons), ("sources", &sources)] {
            tensors.extend(codes.as_ref().map(|_| (name, Dtype::U32, vec![n])));
        }
        tensors.push(("ids.bytes", Dtype::U8, vec![ids.bytes.len()]));
        tensors.extend(names.as_ref().map(|s| ("source-names.bytes", Dtype::U8, vec![s.bytes.len()])));

        let mut file = OutputFile::create(&to)?;
        file.write(&start_of_file(&header, &tensors)?)?;
        let strings = [Some(ids), names];
        for end in strings.iter().flatten().flat_map(|strings| &strings.ends) {
            file.write(&end.to_le_bytes())?;
        }
        let mut waiting = embeddings.into_inner().map_err(|e| io(e.into_error()))?;
        waiting.rewind().map_err(io)?;
        let mut waiting = BufReader::with_capacity(COPY_BYTES, waiting);
        let mut part = vec![0; COPY_BYTES];
        loop {
            let n = waiting.read(&mut part).map_err(io)?;
            if n == 0 {
                break;
            }
            file.write(&part[..n])?;
        }
        for codes in [labels, persons, sources].into_iter().flatten() {
            for code in codes {
                file.write(&code.to_le_bytes())?;
            }
        }
        for strings in strings.iter().flatten() {
            file.write(&strings.bytes)?;
        }
        file.commit()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::digest::Digest;
    use crate::records::{EncoderId, SourceColumn, UNLABELED};

    fn records(n: usize, width: usize, has_labels: bool, has_persons: bool) -> Records {
        let encoder = EncoderId { name: "tiny".into(), digest: Digest::of(b"tiny") };
        Records {
            header: RecordsHeader {
                encoder,
                label_names: vec!["no".into(), "yes".into()],
                extraction: None,
                population: None,
            },
            ids: (0..n).map(|i| "\u{e4}b".repeat(i % 4)).collect(),
            embeddings: Array2::from_shape_fn((n, width), |(i, j)| (i * 31 + j) as f32 / 7.0),
            features: None,
            labels: has_labels.then(|| (0..n).map(|i| [0, 1, UNLABELED][i % 3]).collect()),
            persons: has_persons.then(|| (0..n).map(|i| [Some(i as u32), None][i % 2]).collect()),
            sources: None,
        }
    }

    proptest! {
        #[test]
        fn parts_give_the_bytes_of_the_whole(
            n in 0usize..40, width in 1usize..5, cut in 0usize..40, labels: bool, persons: bool, sources: bool,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
            let mut all = records(n, width, labels, persons);
            // A source is new wherever the number of a record is a square.
            let names = (0..n).map(|i| i.isqrt()).max().map_or(0, |last| last + 1);
            all.sources = sources.then(|| SourceColumn {
                names: (0..names).map(|i| format!("source {i}")).collect(),
                of_record: (0..n).map(|i| (i % 5 != 4).then_some(i.isqrt() as u32)).collect(),
            });
            all.write(&whole).unwrap();
            let rows: Vec<usize> = (0..n).collect();
            let (first, second) = rows.split_at(cut.min(n));
            // The first part knows only the names that it needs.
            let mut start = all.select(first);
            if let Some(sources) = &mut start.sources {
                sources.names.truncate(first.last().map_or(0, |last| last.isqrt() + 1));
            }
            let mut writer = RecordsWriter::create(&parts, &start).unwrap();
            writer.push(&all.select(second)).unwrap();
            prop_assert!(!parts.exists());
            writer.finish().unwrap();
            prop_assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&parts).unwrap());
            prop_assert_eq!(Records::read(&parts).unwrap(), all);
        }
    }

    #[test]
    fn parts_of_other_columns_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r");
        let mut writer = RecordsWriter::create(&path, &records(2, 3, true, false)).unwrap();
        let mut with_sources = records(2, 3, true, false);
        with_sources.sources = Some(SourceColumn { names: vec!["a".into()], of_record: vec![None; 2] });
        let others = [records(2, 4, true, false), records(2, 3, false, false), records(2, 3, true, true)];
        for other in others.into_iter().chain([with_sources.clone()]) {
            assert!(writer.push(&other).unwrap_err().to_string().contains("same columns"));
        }
        drop(writer);
        let mut writer = RecordsWriter::create(&path, &with_sources).unwrap();
        with_sources.sources.as_mut().unwrap().names[0] = "b".into();
        assert!(writer.push(&with_sources).unwrap_err().to_string().contains("same columns"));
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    }
}
