#!/bin/sh
# Installs the headless Chromium in which a test looks at the report, where apt-get can. Without one that test is
# skipped, and says so; with CI set it fails instead.
set -eu

for browser in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable headless_shell; do
    if [ -n "$browser" ] && command -v "$browser" > /dev/null; then
        exit 0
    fi
done

missing() {
    echo "browser: $1; the report's page will not be looked at" >&2
    exit 0
}
command -v apt-get > /dev/null || missing "there is no Chromium and no apt-get"
if [ "$(id -u)" = 0 ]; then
    sudo=""
elif command -v sudo > /dev/null; then
    sudo=sudo
else
    missing "there is no Chromium, and installing it needs root"
fi
echo "browser: installing chromium" >&2
$sudo apt-get update -qq > /dev/null || missing "apt-get update failed"
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core > /dev/null ||
    missing "apt-get could not install chromium"
