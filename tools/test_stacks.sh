#!/usr/bin/env bash
# Test mmspd with the oldest and with the newest supported packages, in environments that are
# deleted afterwards:
#   bash tools/test_stacks.sh [oldest] [newest]
# Each needs 9 GB of disk space, a download of 3 GB, and about 20 minutes on two cores. PYTHON_OLDEST
# and PYTHON_NEWEST name the interpreters (default: python3.10 and python3.13). The exit code is 0 if
# all tests pass. The last lines of each stack state the versions and the result.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONNOUSERSITE=1 OMP_NUM_THREADS=1

# the lower bounds of pyproject.toml, with the torchvision of the oldest PyTorch
oldest=(torch==2.8.0 torchvision==0.23.0 numpy==1.26.4 mmengine==0.10.5 timm==1.0.22 pillow==11.3.0)
# other users of these packages, which MMagic itself would hold back
newest=(torch torchvision numpy diffusers transformers huggingface-hub)

test_stack() {
    local name="$1" python="$2" code=0
    shift 2
    local bin="$folder/$name/bin"
    echo "== $name: $("$python" --version), $* =="
    "$python" -m venv "$folder/$name" &&
        "$bin/pip" install -q --progress-bar off ".[all,tests]" "$@" &&
        "$bin/mmspd" doctor --fix &&
        "$bin/pip" uninstall -q -y mmspd || return 1 # the tests import the checkout
    "$bin/pip" list --format=freeze | grep -iE \
        '^(torch|torchvision|numpy|mm.*|timm|opencv.*|pillow|setuptools|diffusers|transformers|huggingface.hub)='
    PATH="$bin:$PATH" PYTHONPATH="$PWD" "$bin/python" -m pytest -q -n 2 --dist loadfile -W ignore \
        -p no:cacheprovider tests || code=$?
    rm -rf "${folder:?}/$name"
    return "$code"
}

(($#)) || set -- oldest newest
for stack in "$@"; do
    [[ "$stack" =~ ^(oldest|newest)$ ]] || {
        echo "error: There is no stack $stack; use oldest or newest." >&2
        exit 2
    }
done
failed=0
for stack in "$@"; do
    case "$stack" in
    oldest) test_stack oldest "${PYTHON_OLDEST:-python3.10}" "${oldest[@]}" || failed=1 ;;
    newest) test_stack newest "${PYTHON_NEWEST:-python3.13}" "${newest[@]}" || failed=1 ;;
    esac
done
exit "$failed"
