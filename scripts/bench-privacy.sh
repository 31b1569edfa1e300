#!/bin/sh
# The benchmark of private heads on public data; a finished stage is not done again. Run by `make bench-privacy`.
#
# Rewrites the tables of docs/benchmarks-privacy.md and the band that `cryptotl plan` prints. BENCH_SEEDS (default: 20) are
# the draws of records and DP noise a cell; BENCH_OUTPUT (default: target/bench-privacy) is where the rows go.
set -eu
cd "$(dirname "$0")/.."
cryptotl=target/release/cryptotl
texts=assets/vader
rows=${BENCH_OUTPUT:-target/bench-privacy}
seeds=${BENCH_SEEDS:-20}
targets="amazon tweets nyt"
mkdir -p demo "$rows"

step() { # step OUTPUT WORDS COMMAND...: runs COMMAND unless OUTPUT is there
    output=$1
    words=$2
    shift 2
    if [ -e "$output" ]; then
        echo "done before: $words ($output)" >&2
    else
        echo "==> $words" >&2
        "$@" >&2
    fi
}

embed() { # embed SET SPLIT
    step "demo/$1.$2.embedded.safetensors" "embed the $2 texts of $1" \
        "$cryptotl" embed --encoder assets/all-MiniLM-L6-v2 --input "$texts/$1.$2.tsv" \
        --text-column text --label-column label --labels negative,positive --id-column id \
        --output "demo/$1.$2.embedded.safetensors"
}

pretrain() { # pretrain MODEL SOURCE...
    model=$1
    shift
    flags=""
    for source in "$@"; do
        flags="$flags --source demo/$source.train.embedded.safetensors"
    done
    # shellcheck disable=SC2086 # the flags are meant to split
    step "demo/$model.public.safetensors" "pretrain $model on $*" \
        "$cryptotl" pretrain --config models/default.toml $flags --output "demo/$model.safetensors"
}

extract() { # extract MODEL SET SPLIT OUTPUT
    step "$4" "extract server features of $2 ($3) under encryption" \
        "$cryptotl" extract --model "demo/$1.safetensors" --input "demo/$2.$3.embedded.safetensors" --output "$4"
}

bench() { # bench OUTPUT MODEL TARGET TRAIN TEST FLAGS...
    output=$1 model=$2 target=$3 train=$4 test=$5
    shift 5
    step "$output" "measure private heads of $target ($output)" \
        "$cryptotl" bench privacy --data-is-public --model "demo/$model.public.safetensors" --target "$target" \
        --train "$train" --test "$test" --output "$output" "$@"
}

embed movie train
for target in $targets; do
    embed "$target" train
    embed "$target" test
done

# One public source, as in the demo: all methods at all sizes and budgets.
pretrain lower-movie movie
for target in $targets; do
    train=demo/$target.train.features.safetensors
    test=demo/$target.test.features.safetensors
    extract lower-movie "$target" train "$train"
    extract lower-movie "$target" test "$test"
    bench "$rows/$target.movie.json" lower-movie "$target" "$train" "$test" --seeds "$seeds" \
        --sizes 100,300,1000,0 --epsilons 0.1,0.25,0.5,1,2,4,8 --inputs embedding-and-features \
        --methods dp-fc,dp-gd,objective-perturbation,output-perturbation,dp-sgd
    bench "$rows/$target.movie-inputs.json" lower-movie "$target" "$train" "$test" --seeds "$seeds" \
        --sizes 100,300,1000,0 --epsilons 0.1,0.25,0.5,1,2,4,8 --inputs embedding,features
done

# Three public sources, the target never among them: what the model owner's layers add to few private records.
for target in $targets; do
    others=$(for set in movie $targets; do [ "$set" = "$target" ] || echo "$set"; done)
    # shellcheck disable=SC2086 # the names are meant to split
    pretrain "lower-except-$target" $others
    train=demo/$target.train.except.features.safetensors
    test=demo/$target.test.except.features.safetensors
    extract "lower-except-$target" "$target" train "$train"
    extract "lower-except-$target" "$target" test "$test"
    bench "$rows/$target.except.json" "lower-except-$target" "$target" "$train" "$test" --seeds "$seeds" \
        --sizes 100,300,0 --epsilons 1,4
done

python3 scripts/bench_privacy_page.py "$rows" docs/benchmarks-privacy.md crates/cli/src/command/plan/accuracy.json
