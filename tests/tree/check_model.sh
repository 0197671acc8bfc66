#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Checks the hand-over's model with spin: without errors as it is, and with an error found for each
# rule that is broken on purpose.
#
#	check_model.sh MODEL.pml
set -eu

command -v spin >/dev/null || {
	echo "SKIPPED: spin is not installed"
	exit 77
}
model=$(realpath "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# Prints spin's number of errors for the model with the given switches.
errors() {
	spin "$@" -a "$model" >spin.log
	cc -O2 -DSAFETY -w -o pan pan.c
	./pan -m100000 >pan.log
	if grep -q 'max search depth too small\|out of memory' pan.log; then
		cat pan.log >&2
		exit 1
	fi
	sed -n 's/.*errors: \([0-9]*\)$/\1/p' pan.log
}

found=$(errors)
grep 'states, stored\|errors:' pan.log
[ "$found" = 0 ] || {
	grep -i 'assertion\|invalid' pan.log
	exit 1
}
sed -n 's/.*-D\(BREAK_[A-Z_]*\).*/\1/p' "$model" >rules
[ -s rules ]
while read -r rule; do
	[ "$(errors "-D$rule")" != 0 ] || {
		echo "$rule breaks the protocol, and the model does not show it"
		exit 1
	}
	echo "$rule: found"
done <rules
