# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=bash
# How every example begins: sourced by its "run", in bash.
#
# First everything is installed and built in a copy of the tree, and "run" starts
# again from there, not as root (test/lib/tree.sh says why).  Then, in its own
# directory, it has a throwaway PostgreSQL with an empty database and a
# throwaway Redis (test/lib/servers.sh), which end with it.  What it starts in
# the background ends, too.  test/interop/lib.sh has need_go and the like.
#
#   say WORDS                what comes now
#   show STATEMENTS          SQL and its answer
#   wait_for WORDS COMMAND...
#                            until the command succeeds; or the example fails
#   expect GOT WANTED WORDS  the example fails if these differ
#
# The words of a test in test/interop/lib.sh (is, eventually, finish) are those of the
# story here: a sentence for each thing that is as it should be, or the end.

set -eu
umask 022
pg_config=${PG_CONFIG:-pg_config}
me=examples/$(basename "$(cd "$(dirname "$0")" && pwd)")/run
cd "$(dirname "$0")/../.."
. test/lib/tree.sh

if [[ -z ${OUTBOX_EXAMPLE-} ]]; then
	test/packages interop
	cache_directory
	copy_and_install example
	rc=0
	in_the_copy OUTBOX_EXAMPLE=1 OUTBOX_CACHE="$cache/example" OUTBOX_TREE="$work" \
		"$work/$me" "$@" || rc=1
	rm -rf "$work"
	exit $rc
fi

. test/interop/lib.sh

ok() { printf '    %s\n' "$*"; }
not_ok() { fail "$*"; }

say() { printf '\n-- %s\n' "$*"; }

fail()
{
	echo "$me: $*" >&2
	tail -n 20 "$servers"/*.log ./*.log >&2 2>/dev/null || true
	exit 1
}

show()
{
	sed 's/^/    /' <<<"$1"
	psql -qAt -v ON_ERROR_STOP=1 -c "$1" | sed 's/^/    => /'
}

wait_for()
{
	local words=$1 n=0
	shift
	until "$@"; do
		n=$((n + 1))
		((n < 600)) || fail "waited in vain: $words"
		sleep 0.05
	done
}

expect() { [[ $1 == "$2" ]] || fail "$3: $1, not $2"; }

finish_example()
{
	# shellcheck disable=SC2046 # several numbers
	kill $(jobs -p) 2>/dev/null || true
	wait
	servers_stop
}
trap finish_example EXIT

cd "$(dirname "$me")"
mkdir -p "$OUTBOX_CACHE"
HOME=$OUTBOX_CACHE
servers_start || fail 'could not start the servers'
