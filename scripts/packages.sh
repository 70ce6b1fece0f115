# The packages phial needs, by their Debian 12 names, and how to get them. Sourced by ./quickstart
# and ./check; docs/DEPENDENCIES.md says what each is for.
# shellcheck shell=bash disable=SC2034

build_packages=(g++ cmake ninja-build pkg-config libsimdjson-dev nlohmann-json3-dev libfmt-dev
  libcli11-dev libedit-dev libutf8proc-dev libonig-dev libprotozero-dev libgtest-dev libgmock-dev python3)
check_packages=(ccache libbenchmark-dev clang-14 libclang-rt-14-dev clang-format-14
  g++-12-aarch64-linux-gnu qemu-user googletest)
pip_package=python3-pip
peers_packages=(python3-venv python3-pip)

# What a system that does not know these names must have instead.
build_tools=(c++ cmake ninja pkg-config python3)

say() { printf '%s\n' "$*" >&2; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

is_debian() { command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }

# Those of the given packages that are not installed, one a line.
missing_packages() {
  local package
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      printf '%s\n' "$package"
  done
}

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  else
    sudo "$@"
  fi
}

# install_packages NAME...: installs those that are missing; anything but an apt system is told what
# is needed, and passes when the tools in build_tools are there.
install_packages() {
  local missing log
  if ! is_debian; then
    say "This system has no apt, so nothing is installed. What is needed, by Debian's names:"
    say "  $*"
    missing=()
    local tool
    for tool in "${build_tools[@]}"; do
      command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [[ ${#missing[@]} -eq 0 ]] || die "not found: ${missing[*]}; install them and run this again"
    return 0
  fi
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -gt 0 ]] || return 0
  say "Installing ${#missing[@]} missing package(s): ${missing[*]}"
  if [[ $EUID -ne 0 ]] && ! command -v sudo >/dev/null; then
    die "not root and no sudo here. As root, run: apt-get install ${missing[*]}"
  fi
  log=$(mktemp)
  if ! as_root apt-get -qq update >"$log" 2>&1 ||
    ! as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get -qq -y --no-install-recommends install "${missing[@]}" >>"$log" 2>&1; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    die "apt-get failed (above). Is the network there? By hand: apt-get install ${missing[*]}"
  fi
  rm -f "$log"
}
