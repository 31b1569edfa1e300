#!/bin/sh
# The main job on real text, stage by stage; a finished stage is not done again. Run by `make demo`.
#
# DEMO_TARGETS (default: amazon) are the private targets of the table. A target's model is trained on DEMO_SOURCES
# (default: all four sets), of which the target itself is left out.
set -eu
cd "$(dirname "$0")/.."
targets=$(echo "${DEMO_TARGETS:-amazon}" | tr ',' ' ')
all_sources=$(echo "${DEMO_SOURCES:-movie,amazon,tweets,nyt}" | tr ',' ' ')
cryptotl=${CRYPTOTL:-target/release/cryptotl}
texts=assets/vader
mkdir -p demo

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

# A public upper bound on the records of a set, as with data that are private in earnest: a round number above what is published
# about it, and never the count of the table. The four corpora were published with 10,605, 3,708, 4,200 and 5,190 texts
# (Hutto and Gilbert, ICWSM 2014), of which some four in five are for training: 8,484, 2,966, 3,360 and 4,152.
public_size() { # public_size SET
    case $1 in
        movie) echo 10000 ;;
        *) echo 5000 ;;
    esac
}

embed() { # embed SET SPLIT
    step "demo/$1.$2.embedded.safetensors" "embed the $2 texts of $1" \
        "$cryptotl" embed --encoder assets/all-MiniLM-L6-v2 --input "$texts/$1.$2.tsv" \
        --text-column text --label-column label --labels negative,positive --id-column id --population "$1" \
        --output "demo/$1.$2.embedded.safetensors"
}

for target in $targets; do
    sources=""
    source_flags=""
    for source in $all_sources; do
        [ "$source" = "$target" ] && continue
        embed "$source" train
        sources="$sources${sources:+ }$source"
        source_flags="$source_flags --source demo/$source.train.embedded.safetensors"
    done
    model=demo/lower-$(echo "$sources" | tr ' ' '-')
    # shellcheck disable=SC2086 # the flags are meant to split
    step "$model.public.safetensors" "pretrain the public model on $sources" \
        "$cryptotl" pretrain --config models/default.toml $source_flags --output "$model.safetensors"
    step "$model.plan" "compile the plan and measure its encryption error on public records" \
        "$cryptotl" plan --model "$model.safetensors" --packing bulk \
        --source "demo/$(echo "$sources" | cut -d ' ' -f 1).train.embedded.safetensors" --output "$model.plan"
    # What an earlier run made with another model is made again; the ledger stays, and remembers.
    if [ "$(cat "demo/$target.sources" 2> /dev/null)" != "$sources" ]; then
        for stale in train.features.safetensors test.features.safetensors head.safetensors labels.jsonl table.json; do
            rm -f "demo/$target.$stale"
        done
        echo "$sources" > "demo/$target.sources"
    fi
    for split in train test; do
        embed "$target" "$split"
        step "demo/$target.$split.features.safetensors" "extract server features of $target ($split) under encryption" \
            "$cryptotl" extract --model "$model.safetensors" --input "demo/$target.$split.embedded.safetensors" \
            --output "demo/$target.$split.features.safetensors"
    done
    step "demo/$target.ledger" "open the ledger of $target" \
        "$cryptotl" ledger init --ledger "demo/$target.ledger" --policy privacy-configs/demo.toml \
        --population "$target" --public-size "$(public_size "$target")"
    step "demo/$target.head.safetensors" "fine-tune a private head at epsilon 1" \
        "$cryptotl" finetune --features "demo/$target.train.features.safetensors" \
        --model "$model.public.safetensors" --ledger "demo/$target.ledger" --epsilon 1 \
        --output "demo/$target.head.safetensors"
    step "demo/$target.labels.jsonl" "classify the test texts" \
        "$cryptotl" classify --head "demo/$target.head.safetensors" \
        --input "demo/$target.test.features.safetensors" --output "demo/$target.labels.jsonl"
    step "demo/$target.table.json" "measure accuracy against the budget (a benchmark on public data)" \
        "$cryptotl" bench privacy --data-is-public --model "$model.public.safetensors" --target "$target" \
        --train "demo/$target.train.features.safetensors" --test "demo/$target.test.features.safetensors" \
        --output "demo/$target.table.json"
    "$cryptotl" audit --head "demo/$target.head.safetensors" --ledger "demo/$target.ledger" \
        --model "$model.public.safetensors" --plan "$model.plan" --policy privacy-configs/demo.toml \
        --table "demo/$target.table.json" --output "demo/audit.$target" >&2
    "$cryptotl" verify "demo/$target.head.safetensors" "demo/$target.head.README.md" "demo/audit.$target/report.json" \
        "demo/audit.$target/report.html" "$model.public.safetensors" "$model.plan" --ledger "demo/$target.ledger" >&2
done

# One table for all targets, and one place for the first target's report.
python3 - demo $targets << 'PYTHON'
import json, pathlib, shutil, sys
demo, targets = pathlib.Path(sys.argv[1]), sys.argv[2:]
rows = [row for t in targets for row in json.loads((demo / f"{t}.table.json").read_text())]
(demo / "table.json").write_text(json.dumps(rows, indent=1) + "\n")
shutil.copy(demo / f"audit.{targets[0]}" / "report.html", demo / "report.html")
print("Benchmark on public data (no release, no charge); mean accuracy over seeds:")
print(f"{'target':8} {'inputs':24} {'method':20} {'epsilon':>8} {'(GDP)':>6} {'accuracy':>9} {'+-':>6}")
for r in rows:
    number = lambda key: "-" if r[key] is None else f"{r[key]:.2f}"
    print(f"{r['target']:8} {r['inputs']:24} {r['method']:20} {number('epsilon'):>8} {number('epsilon_gdp'):>6}"
          f" {r['mean_accuracy']:9.4f} {r['std']:6.4f}")
PYTHON
echo
echo "The privacy report is demo/report.html, the table demo/table.json."
echo "With your own texts: $cryptotl embed --help, then the verbs that this script runs."
