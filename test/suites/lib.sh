# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=bash
# For the suites of other projects.  To be sourced; brings test/interop/lib.sh along.
#
#   go_results LOG WORDS EXPECTED    what "go test -v" has said: an "ok" with the
#                                    counts if no test failed that is not in the
#                                    file EXPECTED, whose lines are "NAME why"
#
# shellcheck source=test/interop/lib.sh
. "$OUTBOX_TREE/test/interop/lib.sh"

# go_names LOG WORD: names of the tests that PASSed, FAILed or were SKIPped.  Of
# subtests those count that have none of their own.
go_names()
{
	sed -n "s/^ *--- \(PASS\|FAIL\|SKIP\): \([^ ]*\) .*/\1 \2/p" "$1" |
		awk -v word="$2" '
			{ result[$2] = $1; name = $2
			  while (sub(/\/[^\/]*$/, "", name)) parent[name] = 1 }
			END { for (name in result)
				if (result[name] == word && !(name in parent)) print name }' | sort
}

go_results()
{
	local log=$1 words=$2 expected=$3 name failed=0 known=0
	for name in $(go_names "$log" FAIL); do
		if [[ -f $expected ]] && grep -q "^$name " "$expected"; then
			echo "# expected to fail: $(grep "^$name " "$expected")"
			known=$((known + 1))
		else
			failed=$((failed + 1))
			not_ok "$words: $name"
		fi
	done
	go_names "$log" SKIP | sed 's/^/# skipped by itself: /'
	name="$words: $(go_names "$log" PASS | wc -l) passed, $failed failed,"
	name+=" $known failed as expected, $(go_names "$log" SKIP | wc -l) skipped"
	if ((failed == 0)) && grep -q '^\(PASS\|FAIL\|ok\)' "$log" && ! grep -q '^panic:' "$log"; then
		ok "$name"
	else
		not_ok "$name"
		tail -n 60 "$log" | sed 's/^/# /'
	fi
}
