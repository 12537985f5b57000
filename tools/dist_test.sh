#!/usr/bin/env bash
# Evaluate on several devices of one or more machines:
#   bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of test.py]
# dist_train.sh describes several machines and machines without accelerators.
set -euo pipefail
exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_launch.sh" test.py 2 "$@"
