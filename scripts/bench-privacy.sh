#!/bin/sh
# The benchmark of private heads on public data; a finished stage is not done again. Run by `make bench-privacy`.
#
# Rewrites the tables of docs/benchmarks-privacy.md and the band that `cryptotl plan` prints. BENCH_SEEDS (default: 20) are
# the draws of records and DP noise a cell; BENCH_OUTPUT (default: target/bench-privacy) is
# where models and rows go.
set -eu
cd "$(dirname "$0")/.."
cryptotl=${CRYPTOTL:-target/release/cryptotl}
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
    step "$rows/$model.public.safetensors" "pretrain $model on $*" \
        "$cryptotl" pretrain --config models/default.toml $flags --output "$rows/$model.safetensors"
}

extract() { # extract MODEL SET SPLIT
    step "$rows/$1.$2.$3.safetensors" "extract server features of $2 ($3) by $1, under encryption" \
        "$cryptotl" extract --model "$rows/$1.safetensors" --input "demo/$2.$3.embedded.safetensors" \
        --output "$rows/$1.$2.$3.safetensors"
}

bench() { # bench TABLE MODEL TARGET FLAGS...
    table=$1 model=$2 target=$3
    shift 3
    step "$rows/$target.$table.json" "measure private heads of $target ($table)" \
        "$cryptotl" bench privacy --data-is-public --model "$rows/$model.public.safetensors" --target "$target" \
        --train "$rows/$model.$target.train.safetensors" --test "$rows/$model.$target.test.safetensors" \
        --seeds "$seeds" --output "$rows/$target.$table.json" "$@"
}

embed movie train
for target in $targets; do
    embed "$target" train
    embed "$target" test
done

# Three public sources, the target never among them, as in the demo: all methods at all sizes and budgets.
for target in $targets; do
    others=$(for set in movie $targets; do [ "$set" = "$target" ] || echo "$set"; done)
    # shellcheck disable=SC2086 # the names are meant to split
    pretrain "except-$target" $others
    extract "except-$target" "$target" train
    extract "except-$target" "$target" test
    bench methods "except-$target" "$target" --sizes 100,300,1000,0 --epsilons 0.1,0.25,0.5,1,2,4,8 \
        --inputs embedding-and-features --methods dp-fc,dp-gd,objective-perturbation,output-perturbation,dp-sgd
    bench inputs "except-$target" "$target" --sizes 100,300,1000,0 --epsilons 0.1,0.25,0.5,1,2,4,8 \
        --inputs embedding,features
done

# One public source.
pretrain one-source movie
for target in $targets; do
    extract one-source "$target" train
    extract one-source "$target" test
    bench one-source one-source "$target" --sizes 100,300,1000,0 --epsilons 0.1,0.25,0.5,1,2,4,8
done

# A larger encoder, if `make assets-mpnet` has fetched it: another embedding of the same texts.
if [ -d assets/all-mpnet-base-v2 ]; then
    for set in movie $targets; do
        for split in train test; do
            [ "$set.$split" = movie.test ] && continue
            step "$rows/mpnet.$set.$split.embedded.safetensors" "embed the $split texts of $set with all-mpnet-base-v2" \
                "$cryptotl" embed --encoder assets/all-mpnet-base-v2 --input "$texts/$set.$split.tsv" \
                --text-column text --label-column label --labels negative,positive --id-column id \
                --output "$rows/mpnet.$set.$split.embedded.safetensors"
        done
    done
    for target in $targets; do
        flags=""
        for set in movie $targets; do
            [ "$set" = "$target" ] || flags="$flags --source $rows/mpnet.$set.train.embedded.safetensors"
        done
        # shellcheck disable=SC2086 # the flags are meant to split
        step "$rows/mpnet-except-$target.public.safetensors" "pretrain on the larger embedding, without $target" \
            "$cryptotl" pretrain --config models/default.toml $flags --output "$rows/mpnet-except-$target.safetensors"
        step "$rows/$target.encoder.json" "measure private heads of $target (encoder)" \
            "$cryptotl" bench privacy --data-is-public --model "$rows/mpnet-except-$target.public.safetensors" \
            --target "$target" --train "$rows/mpnet.$target.train.embedded.safetensors" \
            --test "$rows/mpnet.$target.test.embedded.safetensors" --seeds "$seeds" --output "$rows/$target.encoder.json" \
            --inputs embedding --methods auto --sizes 100,300,1000,0 --epsilons 0.1,0.25,0.5,1,2,4,8
    done
fi

python3 scripts/bench_privacy_page.py "$rows" docs/benchmarks-privacy.md crates/cli/src/command/plan/accuracy.json
