#!/usr/bin/env bash
# What the machine itself must have: Node, Debian packages, a usable /dev/fuse, the mount helper.
#
#   system.sh [--check] GROUP...     see to all of GROUPs; groups: build run test bench long kubernetes
#
# As root it installs and repairs; as an ordinary user, or with --check, it names all that is missing,
# and the command with which an administrator gives it, and fails. Costs a few milliseconds when there is
# nothing to do.
set -euo pipefail

declare -A packages=(
  [build]='make g++ libzstd-dev libxxhash-dev libcurl4-openssl-dev librust-blake3-dev'
  [run]='fuse3'
  [test]='git git-lfs python3 python3-zstandard ceph-mon ceph-osd radosgw ceph-common attr util-linux util-linux-extra e2fsprogs docker.io docker-registry busybox-static curl tmux zsh fish'
  [bench]='rclone s3fs restic borgbackup time fio curl gcc'
  [long]='linux-source-6.1 xz-utils'
  [kubernetes]='containerd runc containernetworking-plugins iproute2 nftables busybox-static docker-registry openssl gcc procps util-linux'
)
declare -A purpose=([build]='to build' [run]='to mount' [test]='to test' [bench]='to compare with' [long]='for the long tests' [kubernetes]='for a test cluster')

say() { echo "setup: $*" >&2; }
check=
if [ "${1:-}" = --check ]; then check=1; shift; fi
may_install() { [ -z "$check" ] && [ "$(id -u)" -eq 0 ]; }

node_is_usable() {
  local version
  if ! command -v node >/dev/null; then
    say 'Node is missing: 20.19 or newer is needed, with npm'
    return 1
  fi
  version=$(node -p 'process.versions.node')
  if ! printf '20.19.0\n%s\n' "$version" | sort -CV; then
    say "Node $version is too old: 20.19 or newer is needed ($(command -v node))"
    say 'try: npm install -g node@22'
    return 1
  fi
  command -v npm >/dev/null || { say 'npm is missing; it comes with Node'; return 1; }
}

# Prints those of the packages given that are not installed. Any C++ compiler will do.
# dpkg-query fails when it does not know one of them.
absent() {
  local name installed
  installed=$(dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null | sed -n 's/^[a-z]i *//p' || true)
  for name in "$@"; do
    if grep -qxF -- "$name" <<<"$installed"; then continue; fi
    if [ "$name" = g++ ] && command -v c++ >/dev/null; then continue; fi
    echo "$name"
  done
}

apt() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q "$@" </dev/null >&2; }

install() {
  say "installing $*"
  # Package lists may be absent or old: they are fetched when a package is unknown or gone.
  if apt-cache show "$@" >/dev/null 2>&1 && apt install -y --no-install-recommends "$@"; then return; fi
  apt update && apt install -y --no-install-recommends "$@"
}

fuse_opens() { { : <>/dev/fuse; } 2>/dev/null; }

# Makes /dev/fuse usable by everybody, as distributions do; only root gets here.
repair_fuse() {
  if [ ! -c /dev/fuse ]; then
    if command -v modprobe >/dev/null; then modprobe fuse 2>/dev/null || true; fi
    if [ ! -c /dev/fuse ]; then mknod /dev/fuse c 10 229 || true; fi
  fi
  if [ -c /dev/fuse ] && [ "$(stat -c %a /dev/fuse)" != 666 ]; then chmod 666 /dev/fuse || true; fi
  if fuse_opens; then return 0; fi
  say '/dev/fuse cannot be opened: the kernel lacks FUSE, or this container was started without the device'
  say 'start the container with: --device /dev/fuse --cap-add SYS_ADMIN'
  return 1
}

# For `mount -t fuse.pachmount` and /etc/fstab. mount looks in /sbin only, and gives no PATH to find
# Node by. The last set-up of several on a machine counts.
helper=/sbin/mount.fuse.pachmount
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
give_helper() {
  local text
  text=$(printf '#!/bin/sh\n# Written by %q.\nexec %q %q "$@"' \
    "$checkout/native/system.sh" "$(command -v node)" "$checkout/bin/mount.fuse.pachmount")
  if [ "$(cat "$helper" 2>/dev/null)" = "$text" ]; then return 0; fi
  say "writing $helper, for mount -t fuse.pachmount and /etc/fstab"
  { printf '%s\n' "$text" >"$helper.new" && chmod 755 "$helper.new" && mv "$helper.new" "$helper"; } 2>/dev/null ||
    say "$helper can't be written; pachmount works without it"
}

groups_wanted=("$@")
failed=0
node_is_usable || failed=1

missing=()
if command -v dpkg-query >/dev/null; then
  for group in "${groups_wanted[@]}"; do
    # shellcheck disable=SC2086  # a list of words
    mapfile -t gone < <(absent ${packages[$group]})
    if [ ${#gone[@]} -gt 0 ]; then
      missing+=("${gone[@]}")
      may_install || say "missing ${purpose[$group]}: ${gone[*]}"
    fi
  done
else
  say "not a Debian system: install these yourself: $(for g in "${groups_wanted[@]}"; do echo -n "${packages[$g]} "; done)"
fi
if [ ${#missing[@]} -gt 0 ] && may_install; then
  install "${missing[@]}" || { say "apt-get could not install: ${missing[*]}"; failed=1; }
  missing=()
fi

fuse_missing=
case " ${groups_wanted[*]} " in
  *' run '*)
    if may_install; then
      repair_fuse || failed=1
      if command -v node >/dev/null; then give_helper; fi
    elif [ ! -e /dev/fuse ]; then
      fuse_missing='missing to mount: the device /dev/fuse'
    elif [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
      fuse_missing="missing to mount: the right to open /dev/fuse ($(stat -c 'mode %a, owner %U' /dev/fuse))"
    elif ! fuse_opens; then
      fuse_missing='missing to mount: /dev/fuse is there, but the kernel refuses to open it'
    elif [ ! -e "$helper" ]; then
      say 'for mount -t fuse.pachmount and /etc/fstab, which pachmount does not need, an administrator runs:'
      say "  sudo $checkout/native/system.sh run"
    fi
    ;;
esac
if [ -n "$fuse_missing" ]; then say "$fuse_missing"; fi

if [ ${#missing[@]} -gt 0 ] || [ -n "$fuse_missing" ]; then
  if [ -n "$check" ]; then
    say 'an administrator installs them with:'
  else
    say 'an administrator gives all of it with:'
    say "  sudo make -C $checkout setup-root FOR='${groups_wanted[*]}'"
    if [ ${#missing[@]} -gt 0 ]; then say 'which installs:'; fi
  fi
  if [ ${#missing[@]} -gt 0 ]; then
    say "  sudo apt-get install --no-install-recommends ${missing[*]}"
  fi
  failed=1
fi
exit "$failed"
