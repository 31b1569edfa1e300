#!/bin/sh
# Writes completions and manual pages to where shells and man look for them.
# usage: install_pages.sh PROGRAM FOLDER      (the folder is the prefix, such as ~/.local)
set -eu
program=$1
share=$2/share
completions() {
    install -d "$share/$2"
    "$program" generate completions "$1" > "$share/$2/$3"
}
completions bash bash-completion/completions cryptotl
completions zsh zsh/site-functions _cryptotl
completions fish fish/vendor_completions.d cryptotl.fish
"$program" generate man "$share/man/man1"
