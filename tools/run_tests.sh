#!/usr/bin/env bash
# Install or update the environment (see install.sh) and run the test suite:
#   bash tools/run_tests.sh [arguments of pytest, with paths relative to the repository]
# Up to four test files run in parallel, one per core. With -n 0, the test files run one after the
# other. The exit code is the exit code of pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/install.sh

echo "Running the tests: the whole suite takes about 8 minutes on 2 cores."
cores="$(env -u OMP_NUM_THREADS nproc)"
start=$SECONDS
code=0
# more threads make tests with tiny tensors slower
OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" .venv/bin/python -m pytest \
    -n "$((cores < 4 ? cores : 4))" --dist loadfile "$@" || code=$?
took=$((SECONDS - start))
echo "The tests took $((took / 60)) min $((took % 60)) s. The exit code of pytest is $code."
exit "$code"
