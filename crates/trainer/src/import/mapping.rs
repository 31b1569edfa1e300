//! Safetensors files of PyTorch or Keras weights, with a mapping file that says which tensor is which layer's.
//!
//! ```toml
//! version = 1
//! name = "reviews"
//! layout = "pytorch"        # or "keras": dense weights are [inputs, outputs], kernels [taps, 1, filters]
//! scaler = "standard"       # or "min-max" or "none": what the network's inputs were
//! input_bound = 4.0
//! layers = [
//!     { kind = "conv1d", kernels = "features.0.weight" },
//!     { kind = "dense", weight = "fc1.weight", bias = "fc1.bias" },
//!     { kind = "activation", polynomial = "cubic-relu" },
//!     { kind = "avg-pool1d", size = 3 },
//!     { kind = "dense", weight = "fc2.weight", bias = "fc2.bias" },
//! ]
//! ignore = ["top.weight", "top.bias"]
//! ```

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use cryptotl_model::format::{MAX_FILE_BYTES, MAX_HEADER_BYTES};
use cryptotl_model::{Layer, Network, input_file};
use ndarray::{Array1, Array2};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::{Imported, ScalerKind};
use crate::config::{HeadConfig, PolynomialConfig};
use crate::error::{Result, TrainerError};

/// A mapping file. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The version of this format, 1.
    pub version: u32,
    /// A name that travels with the model.
    pub name: String,
    /// Whose weights these are.
    pub layout: Layout,
    /// What the network's inputs were in its training.
    pub scaler: ScalerKind,
    /// Inputs are clamped to this magnitude.
    pub input_bound: f64,
    /// The layers, first to last.
    pub layers: Vec<MappedLayer>,
    /// Tensors that are left out on purpose.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// What travels with the model for the data owner's head.
    #[serde(default)]
    pub head: HeadConfig,
}

/// How a library orders a weight's dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Dense weights are `[outputs, inputs]`, kernels `[filters, 1, taps]`.
    Pytorch,
    /// Dense weights are `[inputs, outputs]`, kernels `[taps, 1, filters]`.
    Keras,
}

/// One layer, by the names of its tensors.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MappedLayer {
    /// A one-dimensional convolution that keeps the width.
    Conv1d {
        /// The kernels' tensor.
        kernels: String,
        /// The bias's tensor, where there is one.
        bias: Option<String>,
    },
    /// A dense layer.
    Dense {
        /// The weight's tensor.
        weight: String,
        /// The bias's tensor, where there is one.
        bias: Option<String>,
    },
    /// A polynomial activation.
    Activation {
        /// `cubic-relu` or ascending coefficients.
        polynomial: PolynomialConfig,
    },
    /// The mean of neighbors, stride 1.
    AvgPool1d {
        /// How many neighbors.
        size: usize,
    },
}

/// Reads a weights file as its mapping file says.
///
/// # Errors
/// [`TrainerError::Weights`] naming the key or the tensor that is missing, unexpected, of another shape or element
/// type, or not finite.
pub fn read(weights: &Path, mapping: &Path) -> Result<Imported> {
    let mapping = read_mapping(mapping)?;
    let bytes = read_capped(weights, MAX_FILE_BYTES)?;
    // The library's own cap on the header is far larger.
    let header = bytes.first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first));
    if header > MAX_HEADER_BYTES {
        let fact = format!("its header claims {header} bytes");
        return Err(TrainerError::weights(weights, fact, "give a safetensors file"));
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|e| {
        TrainerError::weights(weights, format!("it is not safetensors ({e})"), "give a safetensors file")
    })?;
    let mut tensors = Tensors { path: weights, file: &file, taken: BTreeSet::new() };
    let layers = mapping
        .layers
        .iter()
        .map(|layer| tensors.layer(layer, mapping.layout))
        .collect::<Result<Vec<_>>>()?;
    tensors.finish(&mapping.ignore)?;
    let input_width = layers.iter().find_map(|layer| match layer {
        Layer::Dense { weight, .. } => Some(weight.ncols()),
        _ => None,
    });
    let Some(input_width) = input_width else {
        let fact = "the mapping names no dense layer";
        return Err(TrainerError::weights(weights, fact, "a lower network has at least one"));
    };
    // A convolution before the first dense layer gives that many numbers for each of its inputs.
    let filters = layers.iter().take_while(|layer| !matches!(layer, Layer::Dense { .. }));
    let filters: usize =
        filters.map(|l| if let Layer::Conv1d { kernels, .. } = l { kernels.nrows() } else { 1 }).product();
    let network = Network::new(input_width / filters.max(1), layers).map_err(|e| {
        TrainerError::weights(weights, e.to_string(), "check the mapping's layers and layout")
    })?;
    Ok(Imported {
        name: mapping.name,
        network,
        scaler: mapping.scaler,
        input_bound: mapping.input_bound,
        head: mapping.head,
    })
}

fn read_mapping(path: &Path) -> Result<Mapping> {
    let refuse = |fact: String| TrainerError::weights(path, fact, "see docs/formats.md for mapping files");
    let bytes = read_capped(path, input_file::MAX_CONFIG_BYTES)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| refuse("it is not UTF-8".into()))?;
    let mapping: Mapping = toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        refuse(format!("line {line}: {}", e.message()))
    })?;
    if mapping.version != 1 {
        return Err(refuse(format!("it has version {}, this program reads version 1", mapping.version)));
    }
    if !(mapping.input_bound > 0.0 && mapping.input_bound <= 64.0) {
        return Err(refuse("input_bound must be above 0 and at most 64".into()));
    }
    mapping.head.check().map_err(|rule| refuse(rule.into()))?;
    Ok(mapping)
}

fn read_capped(path: &Path, most: u64) -> Result<Vec<u8>> {
    let file = input_file::open(path).map_err(|e| TrainerError::io(path, e))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| TrainerError::io(path, e))?;
    if bytes.len() as u64 > most {
        return Err(TrainerError::weights(
            path,
            format!("it is larger than {most} bytes"),
            "give a smaller file",
        ));
    }
    Ok(bytes)
}

/// The file's tensors, each to be taken once.
struct Tensors<'a> {
    path: &'a Path,
    file: &'a SafeTensors<'a>,
    taken: BTreeSet<String>,
}

impl Tensors<'_> {
    fn refuse(&self, fact: String) -> TrainerError {
        TrainerError::weights(self.path, fact, "check the mapping's names and layout")
    }

    fn layer(&mut self, layer: &MappedLayer, layout: Layout) -> Result<Layer> {
        Ok(match layer {
            MappedLayer::Conv1d { kernels, bias } => {
                let kernels = self.kernels(kernels, layout)?;
                let bias = bias.as_ref().map(|bias| self.vector(bias)).transpose()?;
                Layer::Conv1d { kernels, bias }
            }
            MappedLayer::Dense { weight, bias } => {
                let (shape, numbers) = self.take(weight)?;
                let [rows, columns] = shape[..] else {
                    return Err(self.refuse(format!("tensor `{weight}` is not a matrix but {shape:?}")));
                };
                let matrix =
                    Array2::from_shape_vec((rows, columns), numbers).expect("safetensors checked it");
                let weight = match layout {
                    Layout::Pytorch => matrix,
                    Layout::Keras => matrix.reversed_axes().as_standard_layout().into_owned(),
                };
                let bias = match bias {
                    Some(bias) => self.vector(bias)?,
                    None => Array1::zeros(weight.nrows()),
                };
                Layer::Dense { weight, bias }
            }
            MappedLayer::Activation { polynomial } => Layer::Activation(polynomial.polynomial()),
            MappedLayer::AvgPool1d { size } => Layer::AvgPool1d { size: *size },
        })
    }

    /// `[filters, taps]`.
    fn kernels(&mut self, name: &str, layout: Layout) -> Result<Array2<f64>> {
        let (shape, numbers) = self.take(name)?;
        let dimensions = match (layout, &shape[..]) {
            (Layout::Pytorch, [filters, 1, taps]) => Some((*filters, *taps)),
            (Layout::Keras, [taps, 1, 1]) => Some((1, *taps)),
            (Layout::Keras, [_, 1, filters]) => {
                return Err(self.refuse(format!(
                    "tensor `{name}` has {filters} filters, whose outputs Keras orders by position and this \
                     program by filter"
                )));
            }
            _ => None,
        };
        let Some(dimensions) = dimensions else {
            return Err(
                self.refuse(format!("tensor `{name}` is not the kernels of one channel but {shape:?}"))
            );
        };
        Ok(Array2::from_shape_vec(dimensions, numbers).expect("safetensors checked it"))
    }

    fn vector(&mut self, name: &str) -> Result<Array1<f64>> {
        let (shape, numbers) = self.take(name)?;
        if shape.len() != 1 {
            return Err(self.refuse(format!("tensor `{name}` is not a vector but {shape:?}")));
        }
        Ok(Array1::from_vec(numbers))
    }

    fn take(&mut self, name: &str) -> Result<(Vec<usize>, Vec<f64>)> {
        let Ok(tensor) = self.file.tensor(name) else {
            let names = self.file.names().into_iter().take(20).map(ToString::to_string).collect::<Vec<_>>();
            return Err(self.refuse(format!("it has no tensor `{name}`, but {}", names.join(", "))));
        };
        if !self.taken.insert(name.to_owned()) {
            return Err(self.refuse(format!("tensor `{name}` is named twice")));
        }
        let numbers: Vec<f64> = match tensor.dtype() {
            Dtype::F32 => {
                tensor.data().as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
            }
            Dtype::F64 => tensor.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            other => {
                return Err(
                    self.refuse(format!("tensor `{name}` has element type {other:?}, not F32 or F64"))
                );
            }
        };
        if numbers.iter().any(|x| !x.is_finite()) {
            return Err(self.refuse(format!("tensor `{name}` holds NaN or infinity")));
        }
        Ok((tensor.shape().to_vec(), numbers))
    }

    /// Fails when a tensor is neither used nor ignored.
    fn finish(&self, ignore: &[String]) -> Result<()> {
        let named = |name: &str| self.taken.contains(name) || ignore.iter().any(|ignored| ignored == name);
        let mut left: Vec<String> = self.file.names().into_iter().map(ToString::to_string).collect();
        left.retain(|name| !named(name));
        left.sort_unstable();
        match left.first() {
            None => Ok(()),
            Some(name) => Err(TrainerError::weights(
                self.path,
                format!("tensor `{name}` is not in the mapping"),
                "give it a layer, or list it under `ignore`",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alteration::alterations;
    use ndarray::array;
    use proptest::prelude::*;
    use safetensors::tensor::TensorView;

    const MAPPING: &str = r#"
        version = 1
        name = "small"
        layout = "pytorch"
        scaler = "standard"
        input_bound = 4.0
        layers = [
            { kind = "conv1d", kernels = "c.weight", bias = "c.bias" },
            { kind = "dense", weight = "a.weight", bias = "a.bias" },
            { kind = "activation", polynomial = [0.0, 1.0, 0.5] },
            { kind = "dense", weight = "b.weight" },
        ]
        ignore = ["top"]
    "#;

    type Named<'a> = (&'a str, Vec<usize>, Vec<f32>);

    fn pytorch() -> Vec<Named<'static>> {
        vec![
            ("c.weight", vec![2, 1, 3], vec![1.0, 2.0, 3.0, 0.5, 0.25, -1.0]),
            ("c.bias", vec![2], vec![0.5, -0.5]),
            ("a.weight", vec![3, 4], (0..12).map(|i| i as f32 / 4.0 - 1.0).collect()),
            ("a.bias", vec![3], vec![1.0, 0.0, -1.0]),
            ("b.weight", vec![1, 3], vec![0.5, -2.0, 1.0]),
            ("top", vec![1], vec![9.0]),
        ]
    }

    fn read_both(tensors: &[Named], mapping: &str) -> Result<Imported> {
        let folder = tempfile::tempdir().unwrap();
        read_both_at(tensors, mapping, &folder.path().join("w.safetensors"), &folder.path().join("map.toml"))
    }

    fn read_both_at(tensors: &[Named], mapping: &str, weights: &Path, map: &Path) -> Result<Imported> {
        let bytes: Vec<Vec<u8>> =
            tensors.iter().map(|(_, _, x)| x.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
        let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
            (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        std::fs::write(weights, safetensors::serialize(views, None).unwrap()).unwrap();
        std::fs::write(map, mapping).unwrap();
        read(weights, map)
    }

    #[test]
    fn pytorch_weights_become_the_network_that_pytorch_runs() {
        let imported = read_both(&pytorch(), MAPPING).unwrap();
        let network = &imported.network;
        assert_eq!((network.input_width(), network.output_width()), (2, 1));
        let (x, y) = (2.0, -1.0);
        let convolved =
            [2.0 * x + 3.0 * y + 0.5, x + 2.0 * y + 0.5, 0.25 * x - y - 0.5, 0.5 * x + 0.25 * y - 0.5];
        let weight = |i: usize, j: usize| (4 * i + j) as f64 / 4.0 - 1.0;
        let bias = [1.0, 0.0, -1.0];
        let hidden = [0, 1, 2].map(|i| (0..4).map(|j| weight(i, j) * convolved[j]).sum::<f64>() + bias[i]);
        let hidden = hidden.map(|z| z + 0.5 * z * z);
        let expected = 0.5 * hidden[0] - 2.0 * hidden[1] + hidden[2];
        let got = network.forward(array![[x, y]].view()).unwrap()[[0, 0]];
        assert!((got - expected).abs() < 1e-12, "{got} and {expected}");
    }

    #[test]
    fn keras_weights_are_the_same_network_transposed() {
        let single = MAPPING.replace(", bias = \"c.bias\"", "");
        let mut ours = pytorch();
        ours.retain(|t| t.0 != "c.bias");
        ours[0] = ("c.weight", vec![1, 1, 3], vec![1.0, 2.0, 3.0]);
        ours[1] = ("a.weight", vec![3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut keras = ours.clone();
        keras[0] = ("c.weight", vec![3, 1, 1], vec![1.0, 2.0, 3.0]);
        keras[1] = ("a.weight", vec![2, 3], vec![1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        keras[3] = ("b.weight", vec![3, 1], vec![0.5, -2.0, 1.0]);
        let expected = read_both(&ours, &single).unwrap();
        assert_eq!(read_both(&keras, &single.replace("pytorch", "keras")).unwrap(), expected);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let changed = |i: usize, shape: Vec<usize>, x: Vec<f32>| {
            let mut tensors = pytorch();
            tensors[i] = (tensors[i].0, shape, x);
            tensors
        };
        let without = |name: &str| pytorch().into_iter().filter(|t| t.0 != name).collect::<Vec<_>>();
        for (tensors, mapping, fact) in [
            (pytorch(), MAPPING.replace("\"top\"", ""), "tensor `top` is not in the mapping"),
            (without("a.bias"), MAPPING.into(), "no tensor `a.bias`, but"),
            (pytorch(), MAPPING.replace("a.bias", "c.bias"), "tensor `c.bias` is named twice"),
            (
                pytorch(),
                MAPPING.replace("pytorch", "keras"),
                "tensor `c.weight` has 3 filters, whose outputs Keras orders",
            ),
            (pytorch(), MAPPING.replace("pytorch", "onnx"), "line 4: unknown variant `onnx`"),
            (pytorch(), MAPPING.replace("version = 1", "version = 2"), "it has version 2"),
            (pytorch(), MAPPING.replace("4.0", "nan"), "input_bound"),
            (pytorch(), MAPPING.replace("kind = \"dense\"", "kind = \"gru\""), "unknown variant `gru`"),
            (pytorch(), MAPPING.to_owned() + "[head]\nfeature_share = 0.0", "head.feature_share"),
            (
                changed(2, vec![12], vec![0.0; 12]),
                MAPPING.into(),
                "tensor `a.weight` is not a matrix but [12]",
            ),
            (changed(2, vec![4, 3], vec![0.0; 12]), MAPPING.into(), "do not fit an input of"),
            (changed(3, vec![3], vec![0.0, f32::NAN, 0.0]), MAPPING.into(), "`a.bias` holds NaN"),
            (changed(0, vec![2, 1, 4], vec![0.0; 8]), MAPPING.into(), "odd number of taps"),
        ] {
            let error = read_both(&tensors, &mapping).unwrap_err().to_string();
            assert!(error.contains(fact), "{error} lacks {fact}");
        }
    }

    proptest! {
        #[test]
        fn altered_files_are_a_network_or_refused(of_weights in alterations(), of_map in alterations(), both in any::<bool>()) {
            let folder = tempfile::tempdir().unwrap();
            let (weights, map) = (folder.path().join("w.safetensors"), folder.path().join("map.toml"));
            read_both_at(&pytorch(), MAPPING, &weights, &map).unwrap();
            let bytes = std::fs::read(&weights).unwrap();
            std::fs::write(&weights, of_weights.of(&bytes)).unwrap();
            if both {
                std::fs::write(&map, of_map.of(MAPPING.as_bytes())).unwrap();
            }
            match read(&weights, &map) {
                Ok(imported) => {
                    let row = ndarray::Array2::from_elem((1, imported.network.input_width()), 0.5);
                    prop_assert!(imported.network.forward(row.view()).is_ok());
                }
                Err(error) => prop_assert!(error.to_string().contains("; "), "{error} has no remedy"),
            }
        }
    }

    #[test]
    fn a_hostile_weights_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (weights, map) = (folder.path().join("w"), folder.path().join("m"));
        std::fs::write(&map, MAPPING).unwrap();
        for bytes in [&b""[..], b"short", &[0xff; 64], &u64::MAX.to_le_bytes(), b"\x02\0\0\0\0\0\0\0{}"] {
            std::fs::write(&weights, bytes).unwrap();
            let error = read(&weights, &map).unwrap_err().to_string();
            assert!(error.contains("safetensors") || error.contains("no tensor"), "{error}");
        }
        std::fs::write(&map, vec![b'#'; (1 << 20) + 1]).unwrap();
        assert!(read(&weights, &map).unwrap_err().to_string().contains("larger than"));
    }
}
