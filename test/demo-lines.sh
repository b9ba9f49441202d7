# For demos: what is done is printed as one would type it, and must end and print as it should. Sourced; `dir` is
# where what was printed last lies.

say() { printf '\n# %s\n' "$*"; }
fail() {
  echo "demo: $*" >&2
  exit 1
}
# run EXPECTED COMMAND [PATTERN]: prints and runs a command line. EXPECTED is its exit code, and
# PATTERN what it must print.
run() {
  local expected=$1 status=0
  printf '$ %s\n' "$2"
  if [ $# -eq 2 ]; then
    eval "$2" </dev/null || status=$?
  else
    { eval "$2"; } </dev/null 2>&1 | tee "$dir/printed" || status=$?   # without braces bash makes it 1
    grep -qE -- "$3" "$dir/printed" || fail "that printed nothing like: $3"
  fi
  [ "$status" -eq "$expected" ] || fail "that ended with $status instead of $expected"
}
