#!/usr/bin/env bash
# Launch several processes of a tool. dist_train.sh and dist_test.sh call this script:
#   dist_launch.sh TOOL COUNT FILE... GPUS [more arguments of TOOL]   (COUNT is the number of FILEs)
set -euo pipefail
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
tool="$1"
count="$2"
shift 2
files=("${@:1:count}")
gpus="${*:count+1:1}"

refuse() {
    sed -n '2,5s/^# \{0,1\}//p' "$tools/dist_${tool%.py}.sh" >&2
    echo "error: $*" >&2
    exit 2
}

if [[ $# -le $count || ! $gpus =~ ^[1-9][0-9]*$ ]]; then
    refuse "dist_${tool%.py}.sh needs a number of processes, not '$gpus'; give 1 or more as GPUS."
fi
for file in "${files[@]}"; do
    # the tool checks names, such as mimounet_sp_gopro, mmspd::spd/unet_gopro.py and official
    [[ -e $file || $file == *::* || ! $file =~ [./] ]] || refuse "The file '$file' does not exist; check the path."
done
if [[ "${NNODES:-1}" != 1 && -z "${MASTER_ADDR:-}" ]]; then
    refuse "MASTER_ADDR is not set; set it to the address of the first machine."
fi
shift $((count + 1))

python="${PYTHON:-python}"
if [[ -z "${PYTHON:-}" && -x "$tools/../.venv/bin/python" && -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ]]; then
    python="$tools/../.venv/bin/python"
fi

if [[ "${NNODES:-1}" == 1 ]]; then
    # --standalone uses a free port, so that several runs can share a machine
    rendezvous=(--standalone)
else
    rendezvous=(--nnodes "$NNODES" --node-rank "${NODE_RANK:-0}"
        --master-addr "$MASTER_ADDR"
        --master-port "${PORT:-29500}")
fi
exec "$python" -m torch.distributed.run "${rendezvous[@]}" --nproc-per-node "$gpus" \
    "$tools/$tool" "${files[@]}" --launcher pytorch "$@"
