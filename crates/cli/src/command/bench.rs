//! `bench privacy`: accuracy against budget on public data. A benchmark, never a release.

use std::fmt;

use cryptotl_model::format::write_atomically;
use cryptotl_model::{HeadInputs, PublicModel, Records};
use cryptotl_privacy::Epsilon;
use cryptotl_trainer::benchmark::{Benchmark, BenchmarkRow, run as run_benchmark};
use serde::Serialize;

use crate::cli::BenchPrivacyArgs;
use crate::exit::{Code, Failure, Result};
use crate::kinds::{self, MAX_TABLE_BYTES};
use crate::output::Output;
use crate::progress::Bar;

#[derive(Serialize)]
#[serde(transparent)]
struct Table(Vec<BenchmarkRow>);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "A benchmark on data declared public, not a release: no budget was charged.")?;
        writeln!(
            f,
            "{:10} {:24} {:20} {:>6} {:>8} {:>10} {:>9} {:>6}",
            "target", "inputs", "method", "n", "epsilon", "GDP figure", "accuracy", "+-"
        )?;
        let number = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.2}"));
        let lines = self.0.iter().map(|row| {
            let (epsilon, gdp) = (number(row.epsilon), number(row.epsilon_gdp));
            format!(
                "{:10} {:24} {:20} {:>6} {epsilon:>8} {gdp:>10} {:>9.4} {:>6.4}",
                row.target, row.inputs, row.method, row.n, row.mean_accuracy, row.std
            )
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

/// Runs the verb.
pub fn run(args: BenchPrivacyArgs, output: &Output) -> Result<()> {
    let to = args.output.as_ref().map(|path| output.file(path, kinds::PRIVACY_TABLE)).transpose()?;
    if args.seeds == 0 || args.epsilons.is_empty() {
        return Err(Failure::new(Code::Usage, "there is nothing to run; give --seeds and --epsilons"));
    }
    let (public, _) = PublicModel::read(&args.model)?;
    let (train, test) = (Records::read(&args.train)?, Records::read(&args.test)?);
    for records in [&train, &test] {
        if records.header.encoder.digest != public.encoder.digest {
            return Err(Failure::failed(
                "the records and the model have different encoders",
                "run `cryptotl embed` with the model's encoder",
            ));
        }
        records.check_finite("a records file of the benchmark")?;
    }
    let epsilons =
        args.epsilons.iter().map(|e| Epsilon::new(*e)).collect::<std::result::Result<Vec<_>, _>>()?;
    let has_features = train.features.is_some() && test.features.is_some();
    let inputs: Vec<HeadInputs> = match &args.inputs[..] {
        [] => HeadInputs::ALL.into_iter().filter(|inputs| has_features || !inputs.needs_features()).collect(),
        named => named.to_vec(),
    };
    let methods: Vec<_> = args.methods.iter().filter_map(|choice| choice.method()).collect();
    let sizes: Vec<_> = args.sizes.iter().map(|&n| Some(n).filter(|n| *n > 0)).collect();
    if to.is_some() {
        check_rows(&args, &public, inputs.len() * (methods.len() + 2) * sizes.len() * epsilons.len())?;
    }
    let benchmark = Benchmark {
        target: &args.target,
        train: &train,
        test: &test,
        public: &public,
        inputs: &inputs,
        methods: &methods,
        sizes: &sizes,
        epsilons: &epsilons,
        delta_exponent: 1.1,
        seeds: args.seeds,
    };
    let bar = Bar::new("benchmark");
    let table = Table(run_benchmark(&benchmark, &|p| bar.show(p.done, p.total))?);
    drop(bar);
    if let Some(to) = &to {
        let json = serde_json::to_vec_pretty(&table).map_err(|e| Failure::new(Code::Bug, e))?;
        write_atomically(to, &json)?;
    }
    output.result(&table)
}

/// Refuses a table that `audit --table` would not read, before it is measured.
fn check_rows(args: &BenchPrivacyArgs, public: &PublicModel, rows: usize) -> Result<()> {
    let names = args.target.len() + public.sources.iter().map(|source| source.name.len() + 1).sum::<usize>();
    // A row's numbers and keys take less than half a kilobyte; a name may be written with six bytes for one.
    let bytes = (rows as u64).saturating_mul(512 + 6 * names as u64);
    match bytes <= MAX_TABLE_BYTES {
        true => Ok(()),
        false => Err(Failure::new(
            Code::Usage,
            format!(
                "{rows} rows would take about {bytes} bytes, and a table of more than {MAX_TABLE_BYTES} is not read; give \
                 fewer sizes, methods or epsilons, or leave --output out"
            ),
        )),
    }
}
