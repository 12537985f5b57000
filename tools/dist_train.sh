#!/usr/bin/env bash
# Train on several devices of one or more machines:
#   bash tools/dist_train.sh CONFIG GPUS [arguments of train.py]
# On a machine without accelerators, GPUS is the number of processes on the CPU.
# To use several machines, set NNODES, NODE_RANK, MASTER_ADDR and PORT on each machine.
set -euo pipefail
exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_launch.sh" train.py 1 "$@"
