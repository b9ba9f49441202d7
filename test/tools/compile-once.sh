#!/bin/sh
# A C++ compiler for a copy of native/: what this checkout has compiled from the same sources is
# copied, everything else is done by g++.
kept=$(cd "$(dirname "$0")/../../native" && pwd)
out='' before='' sources=''
for word; do
  if [ "$before" = -o ]; then out=$word; fi
  case $word in *.cc) sources="$sources $word" ;; esac
  before=$word
done
same=no
if [ -n "$sources" ] && [ -f "$kept/$out" ]; then
  same=yes
  for source in $sources; do cmp -s "$source" "$kept/$source" || same=no; done
fi
if [ "$same" = yes ]; then cp "$kept/$out" "$out"; else exec g++ "$@"; fi
