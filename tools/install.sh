#!/usr/bin/env bash
# Create or update the environment .venv in the repository:
#   bash tools/install.sh
# All packages come from PyPI, or from the index in the configuration of pip. The script writes only
# to .venv. Python 3.11 is preferred. To use another Python (3.10 to 3.13), set PYTHON to its path.
set -euo pipefail
if (($#)); then
    echo "error: install.sh has no arguments; remove $*." >&2
    exit 2
fi
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
venv="$root/.venv"
needed_gb=9

fail() {
    echo "error: $*" >&2
    exit 1
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

choose_python() {
    local candidate
    if [[ -n "${PYTHON:-}" ]]; then
        version_of "$PYTHON" >/dev/null || fail "PYTHON=$PYTHON does not start; set PYTHON to the path of a Python 3.10 to 3.13."
        echo "$PYTHON"
        return
    fi
    for candidate in python3.11 python3.12 python3.13 python3.10 python3 python; do
        if version_of "$candidate" | grep -qE '^3\.1[0-3]$'; then
            echo "$candidate"
            return
        fi
    done
    fail "No Python 3.10 to 3.13 was found; install python3.11 or set PYTHON=/path/to/python."
}

fingerprint() {
    { "$venv/bin/python" -VV && cat requirements/constraints.txt pyproject.toml tools/install.sh; } |
        sha256sum | cut -d' ' -f1
}

# step TEXT COMMAND...: print TEXT, run COMMAND with its output in a file, explain a failure
step() {
    local start=$SECONDS text="$1"
    shift
    echo "  $text ..."
    if ! "$@" >>"$venv/install.log" 2>&1; then
        tail -n 5 "$venv/install.log" >&2
        if grep -qE 'NewConnectionError|name resolution|Connection (refused|reset)|timed out|ProxyError' \
            "$venv/install.log"; then
            fail "PyPI cannot be reached; check the network, or set PIP_INDEX_URL or HTTPS_PROXY."
        fi
        fail "'$text' failed; read the output in $venv/install.log."
    fi
    echo "    $((SECONDS - start)) s"
}

make_venv() {
    local python
    python="$(choose_python)"
    version_of "$python" | grep -qE '^3\.1[0-3]$' ||
        fail "$python is Python $(version_of "$python"), but mmspd needs 3.10 to 3.13; set PYTHON=/path/to/python."
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot create virtual environments; install the package python$(version_of "$python")-venv (Debian, Ubuntu)."
    local free_gb
    free_gb="$(df -Pk "$root" | awk 'NR == 2 {print int($4 / 1048576)}')"
    ((free_gb >= needed_gb)) ||
        fail "$root has $free_gb GB of free space, but the environment needs $needed_gb GB; delete other files."
    "$python" -m venv "$venv" || fail "$python could not create $venv; delete this folder and try again."
}

install_tested_set() {
    step "torch and torchvision with their CUDA libraries (about 3 GB)" \
        "${pip[@]}" -c requirements/constraints.txt torch torchvision
    step "all other packages in the tested versions" \
        "${pip[@]}" --no-deps -r requirements/constraints.txt
}

# Python 3.10 and 3.13 lack some tested versions, so install the newest available versions.
install_by_ranges() {
    echo "  The tested versions need Python 3.11 or 3.12. Installing the newest versions for this Python."
    step "all requirements (about 3 GB)" "${pip[@]}" -e ".[all,tests]"
    step "MMagic, mmcv-lite and one build of OpenCV" "$venv/bin/mmspd" doctor --fix
}

# the user's settings of pip must not install packages outside of .venv
unset PIP_USER PIP_TARGET PIP_PREFIX PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONNOUSERSITE=1

if [[ -e "$venv" ]] && ! version_of "$venv/bin/python" >/dev/null; then
    fail "The Python of $venv does not start; delete this folder and try again."
fi
if [[ -x "$venv/bin/python" && "$(cat "$venv/mmspd-installed" 2>/dev/null)" == "$(fingerprint)" ]]; then
    echo "The environment $venv is up to date."
    exit 0
fi
[[ -x "$venv/bin/python" ]] || make_venv

start=$SECONDS
echo "Installing into $venv (Python $(version_of "$venv/bin/python"), from PyPI)."
echo "This takes 2 to 10 minutes, mostly for downloads. The next run ends at once if nothing has changed."
: >"$venv/install.log"
rm -f "$venv/mmspd-installed"
pip=("$venv/bin/python" -m pip install --no-input --progress-bar off)
case "$(version_of "$venv/bin/python")" in
3.11 | 3.12) install_tested_set ;;
*) install_by_ranges ;;
esac
step "mmspd in editable mode" "${pip[@]}" --no-deps --no-build-isolation -e .
step "a test import" "$venv/bin/python" -c 'import mmspd.apis, mmspd.engine, mmpretrain, mmseg'
fingerprint >"$venv/mmspd-installed"
echo "Installed in $(((SECONDS - start) / 60)) min $(((SECONDS - start) % 60)) s. To activate the environment, run: source $venv/bin/activate"
