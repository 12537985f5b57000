#!/usr/bin/env bash
# Train on several devices of one machine, or of several:
#   bash tools/dist_train.sh CONFIG GPUS [arguments of train.py]
# On a machine without accelerators, GPUS processes run on the CPU.
# To use several machines, set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_launch.sh" train.py 1 "$@"
