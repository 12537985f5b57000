#!/usr/bin/env bash
# Install the project, train and evaluate a small model, and draw pictures of its results:
#   bash tools/quickstart.sh
# It needs Python 3.10 to 3.13 (preferably 3.11) and access to PyPI. The same command continues an
# interrupted run from its last checkpoint. Finished training is not repeated. To train again,
# delete work_dirs/quickstart.
set -euo pipefail
if (($#)); then
    echo "error: quickstart.sh has no arguments; remove $*." >&2
    exit 2
fi
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
start=$SECONDS
work_dir=work_dirs/quickstart

say() {
    printf '\n[%d:%02d] %s\n' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) "$*"
}

say "1/4 Environment (2 to 10 minutes the first time, mostly for downloads)"
bash tools/install.sh
python="$root/.venv/bin/python"

# these values override the user's environment
export QUICKSTART_ROOT=data/quickstart
unset MMSPD_TEACHER
export PYTHONWARNINGS=ignore

say "2/4 Data: photos from installed packages, with the blur of a panning camera (seconds)"
"$python" tools/quickstart_data.py "$QUICKSTART_ROOT"

say "3/4 Training a small MIMO-UNet with the semantic prior (6 to 9 minutes on two CPU cores)"
"$python" tools/train.py configs/spd/quickstart.py --resume

say "4/4 Evaluation on photos that were not used for training (half a minute)"
checkpoint="$(cat "$work_dir/last_checkpoint")"
"$python" tools/test.py configs/spd/quickstart.py "$checkpoint"
"$python" tools/quickstart_report.py configs/spd/quickstart.py "$checkpoint" \
    --out-dir "$work_dir/pictures" | tee "$work_dir/report.txt"

say "Done. Log: $work_dir/*/*.log, checkpoint: $checkpoint, report: $work_dir/report.txt"
