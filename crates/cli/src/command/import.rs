//! `import`: makes the two halves of a model from a network that was trained elsewhere.

use std::fmt;

use cryptotl_trainer::SourceQuality;
use cryptotl_trainer::import::{import, mapping, paper};
use serde::Serialize;

use super::pretrain::{halves, overall_accuracy, read_sources};
use crate::cli::ImportArgs;
use crate::exit::Result;
use crate::output::Output;
use crate::progress::Bar;

#[derive(Serialize)]
struct Made {
    name: String,
    layers: Vec<&'static str>,
    input_width: usize,
    feature_width: usize,
    zero_shot_validation_accuracy: f64,
    zero_shot: Vec<SourceQuality>,
    lower: String,
    public: String,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = self.layers.join(", ");
        writeln!(
            f,
            "imported `{}`, {} to {} numbers: {layers}",
            self.name, self.input_width, self.feature_width
        )?;
        let accuracy = self.zero_shot_validation_accuracy;
        writeln!(f, "validation accuracy {accuracy:.3} (zero-shot head on the embedding)")?;
        writeln!(f, "secret half {}", self.lower)?;
        write!(f, "public half {}", self.public)
    }
}

/// Runs the verb.
pub fn run(args: ImportArgs, output: &Output) -> Result<()> {
    let (lower_to, public_to) = halves(&args.output, output)?;
    let imported = match &args.mapping {
        Some(mapping_path) => mapping::read(&args.weights, mapping_path)?,
        None => paper::read(&args.weights, "paper")?,
    };
    let sources = read_sources(&args.source)?;
    let bar = Bar::new("statistics");
    let (lower, public, zero_shot) = import(&imported, &sources)?;
    drop(bar);
    lower.write(&lower_to)?;
    public.write(&public_to)?;
    output.result(&Made {
        name: public.name,
        layers: lower.network.layers().iter().map(|layer| layer.kind()).collect(),
        input_width: lower.network.input_width(),
        feature_width: public.feature_width,
        zero_shot_validation_accuracy: overall_accuracy(&zero_shot),
        zero_shot,
        lower: args.output.display().to_string(),
        public: public_to.path().display().to_string(),
    })
}
