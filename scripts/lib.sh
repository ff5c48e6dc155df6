# shellcheck shell=bash
# What the scripts share. Sourced, never run; changes into the repository.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT" || exit 1

# The name of the script that sources this, for its messages.
SELF=$(basename "$0")

say() { printf '%s: %s\n' "$SELF" "$*"; }

warn() { printf '%s: %s\n' "$SELF" "$*" >&2; }

# die FACT [HINT...]
die() {
    printf '%s: %s\n' "$SELF" "$1" >&2
    shift
    local hint
    for hint in "$@"; do printf '  %s\n' "$hint" >&2; done
    exit 1
}

# at_least VERSION WANTED
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]; }

# run_logged LOG COMMAND...: keeps the output in a file, and shows its end when the command fails.
run_logged() {
    local log=$1
    shift
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 || {
        local status=$?
        tail -n 30 "$log" >&2
        warn "\"$*\" failed with status $status; all of its output is in $log"
        return "$status"
    }
}

# Sets SUDO to what makes one command run as root: nothing as root, sudo where it asks for no password. Fails otherwise.
# shellcheck disable=SC2034
SUDO=()
read_sudo() {
    SUDO=()
    ((EUID == 0)) && return 0
    command -v sudo >/dev/null && sudo -n true 2>/dev/null || return 1
    # shellcheck disable=SC2034
    SUDO=(sudo)
}

# Sets PG, the pg_config, and exports MODEL and MODEL_DIR, the model that is measured and the folder that has it.
choose_model() {
    PG=${PG_CONFIG:-pg_config}
    command -v "$PG" >/dev/null || die "PG_CONFIG=$PG: there is no such program." "Run \"make setup\", or set PG_CONFIG."
    export MODEL=${MODEL:-clip-search/emoji}
    local installed
    installed=$("$PG" --sharedir)/clip_search/models
    MODEL_DIR=$(readlink -m "${MODEL_DIR:-$installed}")
    export MODEL_DIR
}

need_model() {
    [[ -f $MODEL_DIR/$MODEL/config.json ]] || die "there is no model $MODEL in $MODEL_DIR." "Set MODEL and MODEL_DIR."
}

# python_with FOLDER REQUIREMENTS: sets PYTHON, one with these packages from PyPI, installed into FOLDER if they are not there yet.
python_with() {
    local folder=$1 wanted=$2 id
    PYTHON=$folder/venv/bin/python
    id=$(cat "$wanted" <(python3 --version) | sha256sum)
    [[ $(cat "$folder/.installed" 2>/dev/null) != "$id" ]] || return 0
    rm -rf "$folder"
    python3 -m venv "$folder/venv" || die "there is no venv for Python." "apt install python3-venv"
    run_logged "$folder/pip.log" "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps \
        --only-binary=:all: --requirement "$wanted" || die "the packages of $wanted could not be installed."
    echo "$id" >"$folder/.installed"
}
