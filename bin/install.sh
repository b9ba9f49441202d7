#!/bin/sh
# Run by npm where the package is installed: compiles what is native, and keeps the machine code of
# the commands for this version of Node. npm shows the output only when this fails.
set -e
cd "$(dirname "$0")/.."
bash native/system.sh --check build
make -C native -j"$(getconf _NPROCESSORS_ONLN)"
# In a checkout there may be no bundle yet: `make build` keeps its code.
if [ -e dist/bundle/main.cjs ]; then node bin/keep-code.mjs; fi
