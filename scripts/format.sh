#!/usr/bin/env bash
# Formats every C++ and CUDA source of ours in place; with --check, changes nothing and fails if it would.
#   scripts/format.sh [--check]
source "$(dirname "$0")/lib/setup.sh"

check=false
case "${1:-}" in
  "") ;;
  --check) check=true ;;
  *) die "usage: scripts/format.sh [--check]" ;;
esac
command -v clang-format >/dev/null || die "clang-format is not installed (Debian: apt-get install clang-format)"

mapfile -t files < <(git ls-files -co --exclude-standard '*.h' '*.cc' '*.cu' '*.cuh')
[ "${#files[@]}" -gt 0 ] || die "no source files found; is this a git checkout?"
if $check; then
  if ! clang-format --dry-run -Werror "${files[@]}"; then
    die "the files above are not formatted; scripts/format.sh mends them"
  fi
  note "format: ${#files[@]} files are as clang-format wants them"
else
  clang-format -i "${files[@]}"
fi
