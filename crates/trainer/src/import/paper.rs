//! The text file of weights that the paper's program writes and reads.
//!
//! ```text
//! Conv1d layer with 1 filters of size 9:
//! Filter 0
//! <9 numbers, one a line>
//! Dense layer of dimension (768, 768):
//! Columns 0
//! <768 numbers: the weights from every input to output 0>
//! ...
//! Bias
//! <768 numbers>
//! Dense layer of dimension (766, 766):
//! ...
//! ```
//!
//! The program has the rest of the network built in: the cubic between the dense layers, and after it an average
//! over neighbors, whose number follows from the widths. Its inputs are scaled to 0 to 1.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use cryptotl_model::network::MAX_WIDTH;
use cryptotl_model::{Layer, Network, Polynomial, input_file};
use ndarray::{Array1, Array2};

use super::{Imported, ScalerKind};
use crate::config::HeadConfig;
use crate::error::{Result, TrainerError};

/// The longest line that is read; the program's are far shorter.
const MAX_LINE_BYTES: u64 = 256;

/// Reads a file of the paper's program.
///
/// # Errors
/// [`TrainerError::Weights`] with the line and what stands there, for anything but the paper's network.
pub fn read(path: &Path, name: &str) -> Result<Imported> {
    let file = input_file::open(path).map_err(|e| TrainerError::io(path, e))?;
    let mut lines = Lines { reader: BufReader::new(file), path, number: 0, line: String::new() };
    let kernels = lines.convolution()?;
    let (first_weight, first_bias) = lines.dense()?;
    let (second_weight, second_bias) = lines.dense()?;
    if let Some(line) = lines.next()? {
        let fact = format!("`{line}` follows the second dense layer");
        return Err(lines.refuse(fact, "give a file with one convolution and two dense layers"));
    }
    let (width, pooled) = (first_weight.nrows(), second_weight.ncols());
    if pooled > width {
        let fact = format!("the second dense layer takes {pooled} numbers and the first gives {width}");
        return Err(
            lines.refuse(fact, "the layer between them averages neighbors and gives no more than it takes")
        );
    }
    let layers = vec![
        Layer::Conv1d { kernels, bias: None },
        Layer::Dense { weight: first_weight.clone(), bias: first_bias },
        Layer::Activation(Polynomial::cubic_relu()),
        Layer::AvgPool1d { size: width - pooled + 1 },
        Layer::Dense { weight: second_weight, bias: second_bias },
    ];
    Ok(Imported {
        name: name.to_owned(),
        network: Network::new(first_weight.ncols(), layers)?,
        scaler: ScalerKind::MinMax,
        input_bound: 1.0,
        head: HeadConfig::default(),
    })
}

struct Lines<'a> {
    reader: BufReader<File>,
    path: &'a Path,
    number: usize,
    line: String,
}

impl Lines<'_> {
    /// The next line without its end, or `None` at the end of the file.
    fn next(&mut self) -> Result<Option<&str>> {
        self.line.clear();
        self.number += 1;
        let read = (&mut self.reader).take(MAX_LINE_BYTES).read_line(&mut self.line);
        match read {
            Ok(0) => Ok(None),
            Ok(_) if self.line.len() as u64 == MAX_LINE_BYTES => {
                Err(self.refuse("a line is longer than any number".into(), "give the program's text file"))
            }
            Ok(_) => Ok(Some(self.line.trim_end())),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                Err(self.refuse("it is not text".into(), "give the program's text file"))
            }
            Err(e) => Err(TrainerError::io(self.path, e)),
        }
    }

    fn refuse(&self, fact: String, remedy: &str) -> TrainerError {
        TrainerError::weights(self.path, format!("line {}: {fact}", self.number), remedy)
    }

    fn expected(&self, what: &str) -> TrainerError {
        let found: String = self.line.trim_end().chars().filter(|c| !c.is_control()).take(40).collect();
        let found = if found.is_empty() { "nothing".to_owned() } else { format!("`{found}`") };
        self.refuse(format!("{found} where {what} is expected"), "give the program's text file, whole")
    }

    /// The numbers in a line that reads as `parts`, with a number between each two of them.
    fn heading<const N: usize>(&mut self, parts: [&str; N], what: &str) -> Result<Vec<usize>> {
        let numbers = self.next()?.and_then(|line| {
            let mut rest = line.strip_prefix(parts[0])?;
            let mut numbers = Vec::new();
            for part in &parts[1..] {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                numbers.push(rest[..end].parse().ok()?);
                rest = rest[end..].strip_prefix(part)?;
            }
            rest.is_empty().then_some(numbers)
        });
        numbers.ok_or_else(|| self.expected(what))
    }

    fn numbered(&mut self, word: &str, number: usize) -> Result<()> {
        let what = format!("`{word} {number}`");
        let found = self.heading([&format!("{word} "), ""], &what)?;
        if found == [number] { Ok(()) } else { Err(self.expected(&what)) }
    }

    fn numbers(&mut self, n: usize) -> Result<Vec<f64>> {
        let mut numbers = Vec::with_capacity(n);
        for _ in 0..n {
            let number = self.next()?.and_then(|line| line.parse::<f64>().ok()).filter(|x| x.is_finite());
            numbers.push(number.ok_or_else(|| self.expected("a finite number"))?);
        }
        Ok(numbers)
    }

    fn checked_width(&self, width: usize) -> Result<usize> {
        if (1..=MAX_WIDTH).contains(&width) {
            return Ok(width);
        }
        let remedy = format!("widths go from 1 to {MAX_WIDTH}");
        Err(self.refuse(format!("a layer of width {width}"), &remedy))
    }

    fn convolution(&mut self) -> Result<Array2<f64>> {
        let what = "`Conv1d layer with 1 filters of size N:`";
        let sizes = self.heading(["Conv1d layer with ", " filters of size ", ":"], what)?;
        let (filters, taps) = (sizes[0], sizes[1]);
        if filters != 1 {
            // The program's C++ half orders their outputs by filter, the Keras half that writes the file by position.
            let fact = format!("{filters} filters, and the file does not say how their outputs are ordered");
            return Err(
                self.refuse(fact, "import the network's Keras or PyTorch weights with a mapping file")
            );
        }
        if taps % 2 == 0 || taps > MAX_WIDTH {
            return Err(self.refuse(format!("a filter of {taps} taps"), "use an odd number of taps"));
        }
        self.numbered("Filter", 0)?;
        let numbers = self.numbers(taps)?;
        Ok(Array2::from_shape_vec((1, taps), numbers).expect("as many as asked for"))
    }

    /// Weight `[outputs, inputs]` and bias.
    fn dense(&mut self) -> Result<(Array2<f64>, Array1<f64>)> {
        let what = "`Dense layer of dimension (N, M):`";
        let sizes = self.heading(["Dense layer of dimension (", ", ", "):"], what)?;
        let (inputs, outputs) = (self.checked_width(sizes[0])?, self.checked_width(sizes[1])?);
        let mut weight = Array2::zeros((outputs, inputs));
        for (output, mut row) in weight.rows_mut().into_iter().enumerate() {
            self.numbered("Columns", output)?;
            row.assign(&Array1::from_vec(self.numbers(inputs)?));
        }
        if self.next()? != Some("Bias") {
            return Err(self.expected("`Bias`"));
        }
        Ok((weight, Array1::from_vec(self.numbers(outputs)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alteration::alterations;
    use ndarray::array;
    use proptest::prelude::*;

    /// What the program would write for these layers.
    fn text(kernel: &[f32], denses: &[(Array2<f32>, Array1<f32>)]) -> String {
        let mut text = format!("Conv1d layer with 1 filters of size {}:\nFilter 0\n", kernel.len());
        kernel.iter().for_each(|x| text += &format!("{x}\n"));
        for (inputs_by_outputs, bias) in denses {
            text += &format!("Dense layer of dimension {:?}:\n", inputs_by_outputs.dim());
            for (j, column) in inputs_by_outputs.columns().into_iter().enumerate() {
                text += &format!("Columns {j}\n");
                column.iter().for_each(|x| text += &format!("{x:e}\n"));
            }
            text += "Bias\n";
            bias.iter().for_each(|x| text += &format!("{x}\n"));
        }
        text
    }

    fn small() -> String {
        let first = array![[1.0f32, 0.5, -1.0], [0.25, 2.0, 0.0]];
        let second = array![[3.0f32], [-1.0]];
        text(&[0.5, 1.0, -0.25], &[(first, array![0.0f32, 1.0, -1.0]), (second, array![0.125f32])])
    }

    fn read_text(text: &str) -> Result<Imported> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.txt");
        std::fs::write(&path, text).unwrap();
        read(&path, "small")
    }

    #[test]
    fn the_papers_network_is_read_as_its_program_runs_it() {
        let network = read_text(&small()).unwrap().network;
        assert_eq!((network.input_width(), network.output_width(), network.layers().len()), (2, 1, 5));
        // By hand: x = (2, 4) convolves to (1*2 - 0.25*4, 0.5*2 + 1*4) = (1, 5).
        let hidden =
            [1.0 + 0.25 * 5.0, 0.5 + 2.0 * 5.0 + 1.0, -2.0].map(|z| Polynomial::cubic_relu().evaluate(z));
        let pooled = [(hidden[0] + hidden[1]) / 2.0, (hidden[1] + hidden[2]) / 2.0];
        let expected = 3.0 * pooled[0] - pooled[1] + 0.125;
        let got = network.forward(array![[2.0, 4.0]].view()).unwrap()[[0, 0]];
        assert!((got - expected).abs() < 1e-12, "{got} and {expected}");
    }

    proptest! {
        #[test]
        fn an_altered_file_is_a_network_or_refused(alteration in alterations()) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("weights.txt");
            std::fs::write(&path, alteration.of(small().as_bytes())).unwrap();
            match read(&path, "small") {
                Ok(imported) => {
                    let row = ndarray::Array2::from_elem((1, imported.network.input_width()), 0.5);
                    prop_assert!(imported.network.forward(row.view()).is_ok());
                }
                Err(error) => prop_assert!(error.to_string().contains("; "), "{error} has no remedy"),
            }
        }
    }

    #[test]
    fn what_is_not_the_papers_network_is_refused_with_its_line() {
        let small = small();
        assert!(read_text(&small.replace('\n', "\r\n")).is_ok());
        for (from, to, fact) in [
            ("Conv1d", "Conv2d", "line 1: `Conv2d layer with 1 filters of size 3:` where"),
            ("with 1 filters", "with 2 filters", "line 1: 2 filters, and the file does not say"),
            ("size 3", "size 4", "line 1: a filter of 4 taps"),
            ("size 3", "size 99999999999999999999", "where `Conv1d layer"),
            ("Filter 0", "Filter 1", "line 2: `Filter 1` where `Filter 0` is expected"),
            ("(2, 3)", "(2, 9999999)", "a layer of width 9999999"),
            ("(2, 3)", "(2, 2)", "`Columns 2` where `Bias` is expected"),
            ("(2, 1)", "(9, 1)", "where a finite number is expected"),
            ("0.125", "nan", "`nan` where a finite number is expected"),
            ("0.125", "0.125\nDense", "`Dense` follows the second dense layer"),
            ("0.125\n", "", "nothing where a finite number is expected"),
        ] {
            let error = read_text(&small.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(fact), "{error}");
        }
        let error = read_text(&small[..small.len() / 2]).unwrap_err().to_string();
        assert!(error.contains("is expected"), "{error}");
        let error = read_text(&"7".repeat(5000)).unwrap_err().to_string();
        assert!(error.contains("longer than any number"), "{error}");
        let wide =
            text(&[1.0], &[(array![[1.0f32]], array![0.0f32]), (array![[1.0f32], [1.0]], array![0.0f32])]);
        let error = read_text(&wide).unwrap_err().to_string();
        assert!(error.contains("takes 2 numbers and the first gives 1"), "{error}");
    }
}
