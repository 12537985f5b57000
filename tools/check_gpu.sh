#!/usr/bin/env bash
# Check mmspd on a GPU and measure its speed, in a limited time and without a network:
#   bash tools/check_gpu.sh [MINUTES, default 9] [FOLDER, default work_dirs/check_gpu]
# First `mmspd doctor --train`, then the tests marked cuda, then the benchmarks, whose last part is
# a training. Each step has a time limit. If a step fails, the others go on. FOLDER gets the log of
# each step, summary.txt, and the results of the benchmarks. The exit code is 0 if all steps passed.
# Environment: PYTHON (default: that of .venv), DEVICE (default: cuda; cpu tries the script out),
# WHEELS (a folder with the wheels of the packages that PYTHON lacks; they are installed into a
# temporary folder).
set -uo pipefail
if (($# > 2)) || [[ ! "${1:-9}" =~ ^[1-9][0-9]*$ ]]; then
    echo "error: check_gpu.sh takes a whole number of minutes and a folder; correct the call." >&2
    exit 2
fi
minutes="${1:-9}"
out="$(realpath -m "${2:-work_dirs/check_gpu}")"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-$PWD/.venv/bin/python}"
device="${DEVICE:-cuda}"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONWARNINGS=ignore
mkdir -p "$out" || exit 2
: >"$out/summary.txt"
end=$((SECONDS + 60 * minutes))
failed=0

# step NAME LIMIT COMMAND...: run COMMAND for at most LIMIT seconds, with its output in NAME.log
step() {
    local name="$1" limit="$2" start=$SECONDS room=$((end - SECONDS)) code
    shift 2
    : >"$out/$name.log"
    if ((room < 10)); then
        echo "$name: left out, because no time is left" | tee -a "$out/summary.txt"
        failed=1
        return
    fi
    timeout -k 10 "$((limit < room ? limit : room))" "$@" >"$out/$name.log" 2>&1
    code=$?
    echo "$name: exit code $code after $((SECONDS - start)) s" | tee -a "$out/summary.txt"
    if ((code)); then
        failed=1
        tail -n 20 "$out/$name.log"
    fi
}

if [[ -n "${WHEELS:-}" ]]; then
    site="$(mktemp -d)"
    trap 'rm -rf "$site"' EXIT
    step wheels 120 "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir \
        --target "$site" "$WHEELS"/*.whl
    export PYTHONPATH="$site:$PYTHONPATH"
fi
step doctor 120 "$python" tools/doctor.py --train
tail -n 1 "$out/doctor.log"
# the tests get half of the time
step tests $((30 * minutes)) "$python" -m pytest -q -p no:cacheprovider -W ignore --durations=20 \
    -m "cuda and not slow" --device "$device" tests/device
tail -n 1 "$out/tests.log"
left=$((end - SECONDS))
box=$((left > 40 ? left - 20 : left)) # the suite may end up to 20 s later
step benchmarks "$left" "$python" tools/benchmark/suite.py --device "$device" \
    --minutes "$(awk "BEGIN {print $box / 60}")" --out "$out/benchmarks"
cat "$out/benchmarks.log" "$out/summary.txt"
exit "$failed"
