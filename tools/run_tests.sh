#!/usr/bin/env bash
# Install what is missing (see install.sh) and run the test suite:
#   bash tools/run_tests.sh [arguments of pytest, paths relative to the repository]
# Up to four files are tested at a time, one per core; -n 0 tests one after the other. The exit code
# is pytest's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/install.sh

echo "Running the tests: 9 minutes or more on 2 cores for the whole suite."
cores="$(nproc)"
start=$SECONDS
code=0
# more threads than this slow tests down whose tensors are tiny
OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" .venv/bin/python -m pytest \
    -n "$((cores < 4 ? cores : 4))" --dist loadfile "$@" || code=$?
took=$((SECONDS - start))
echo "The tests took $((took / 60)) min $((took % 60)) s; pytest's exit code is $code."
exit "$code"
