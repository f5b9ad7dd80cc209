# shellcheck shell=bash disable=SC2034
# Shared by the scripts (sourced, not run): where the tree is, what is missing, how to build.
# Sourcing it turns on -euo pipefail and moves to the root of the tree.

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
note() { printf '   %s\n' "$*"; }
die() {
  printf '\nerror: %s\n' "$*" >&2
  exit 1
}

# Cores that this process may use; never zero.
cores() { nproc 2>/dev/null || echo 1; }

# The packages of scripts/packages.txt, comments taken off.
wanted_packages() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$root/scripts/packages.txt" | awk '{print $1}'; }

package_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

# Runs apt-get as root, with sudo where we are not root.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif ! command -v sudo >/dev/null; then
    die "installing packages needs root, and there is no sudo here. As root, run:
  apt-get update && apt-get install $missing"
  elif [ -t 0 ]; then
    sudo "$@"
  else
    sudo -n "$@" # nobody is there to type a password
  fi
}

# install_packages [EXTRA...]: installs what is missing of packages.txt and EXTRA. Touches neither apt nor the
# network when nothing is.
install_packages() {
  missing=""
  if ! command -v dpkg-query >/dev/null; then
    note "no dpkg here: not a Debian or Ubuntu machine. Going on with what is installed;"
    note "scripts/packages.txt lists what is needed, and CMake names what it cannot find."
    return
  fi
  local package
  for package in $(wanted_packages) "$@"; do
    package_installed "$package" || missing="$missing $package"
  done
  missing=${missing# }
  [ -n "$missing" ] || return 0

  say "Installing what is missing: $missing"
  local quiet=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120)
  as_root "${quiet[@]}" update || die "apt-get update failed; is the network up? Missing: $missing"
  # shellcheck disable=SC2086  # the list is meant to split
  as_root "${quiet[@]}" install -y --no-install-recommends $missing </dev/null >/dev/null ||
    die "apt-get could not install: $missing"
  for package in $missing; do
    package_installed "$package" || die "package $package is still missing after apt-get install"
  done
}

# build_preset PRESET [CMAKE_ARGUMENTS...]: configures and builds into build/PRESET.
build_preset() {
  local preset=$1
  shift
  mkdir -p build
  cmake --preset "$preset" "$@" >"build/configure-$preset.log" 2>&1 || {
    cat "build/configure-$preset.log" >&2
    die "configuring the preset '$preset' failed (see above)"
  }
  cmake --build --preset "$preset" -j "$(cores)"
}

# make_venv NAME PACKAGES...: a Python environment under build/venv/NAME with PACKAGES from PyPI; prints its python.
make_venv() {
  local folder="$root/build/venv/$1"
  shift
  if [ ! -e "$folder/.complete" ]; then
    rm -rf "$folder"
    mkdir -p "$root/build/venv"
    python3 -m venv "$folder" >&2 || die "python3 -m venv failed; install python3-venv"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2 ||
      die "pip could not install: $*"
    touch "$folder/.complete"
  fi
  echo "$folder/bin/python"
}

# Open MPI refuses to start as root unless told twice; more ranks than cores must be allowed by name.
# Use: "${mpirun[@]}" -np 2 PROGRAM ...
mpirun=(mpirun --oversubscribe)
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# json_field FILE NAME: the value of the first field NAME in a JSON file (strings without their quotes).
json_field() { sed -n "s/^.*\"$2\": *\"\{0,1\}\([^\",}]*\).*$/\1/p" "$1" | head -n 1; }
