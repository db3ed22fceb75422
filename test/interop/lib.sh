# shellcheck shell=bash
# For interop tests in bash.  To be sourced.
#
#   ok WORDS / not_ok WORDS          say so
#   is GOT WANTED WORDS              one of both
#   eventually WORDS COMMAND...      until the command succeeds, 30 seconds at most
#   sql STATEMENTS                   psql, unaligned, tuples only
#   redis WORDS...                   redis-cli
#   missing WORDS                    what is needed isn't there: a failure, at once
#   need PROGRAM...                  each of them
#   go_at_least 1.N                  a Go of that age, from PATH or from the
#                                    module proxy, becomes "go"
#   finish                           the exit code: were all ok?

failures=0

ok() { echo "ok - $*"; }
not_ok() { echo "not ok - $*"; failures=$((failures + 1)); }

is()
{
	if [[ $1 == "$2" ]]; then ok "$3"; else
		not_ok "$3"
		printf '#  got: %s\n# want: %s\n' "$1" "$2"
	fi
}

eventually()
{
	local words=$1 end=$((SECONDS + 30))
	shift
	until "$@"; do
		((SECONDS < end)) || { not_ok "$words"; return 1; }
		sleep 0.05
	done
	ok "$words"
}

sql() { psql -qAt -v ON_ERROR_STOP=1 -c "$1"; }
redis() { redis-cli -s "$REDIS_SOCKET" "$@"; }

missing()
{
	echo "not ok - missing: $*"
	exit 1
}

need()
{
	local program
	for program; do
		command -v "$program" >/dev/null ||
			missing "$program (test/packages interop installs it)"
	done
}

finish()
{
	((failures == 0)) || exit 1
	exit 0
}
