# Copyright (c) 2026, the outbox developers
#
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
#   need_go 1.N                      "go" is at least that one, from PATH or from
#                                    the module proxy
#   free_port                        one that nobody listens on
#   finish                           the exit code: were all ok?

. "$OUTBOX_TREE/test/lib/servers.sh"

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

# Toolchains are modules, and a Go that is too old can download them, too; one
# before 1.21 does not know that it could run them.
go_toolchain=go1.25.14

go_is()
{
	local version
	version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return
	printf '%s\n' "go$2" "$version" | sort -CV
}

need_go()
{
	local go root
	go=$(command -v go || echo /usr/local/go/bin/go)
	[[ -x $go ]] || missing 'go (test/packages interop installs it)'
	export GOPATH=$OUTBOX_CACHE/../go GOTOOLCHAIN=local GOFLAGS='-modcacherw -buildvcs=false'
	GOPATH=$(mkdir -p "$GOPATH" && cd "$GOPATH" && pwd)
	export GOCACHE=$GOPATH/cache
	if ! go_is "$go" "$1"; then
		echo "# $("$go" version) is older than $1"
		root=$(cd / && "$go" mod download -json "golang.org/toolchain@v0.0.1-$go_toolchain.$(
			"$go" env GOOS)-$("$go" env GOARCH)" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
		[[ -n $root ]] || missing "Go $1 or later, also not in the module proxy"
		chmod -R u+x "$root/bin" "$root/pkg/tool"
		go=$root/bin/go
		go_is "$go" "$1" || missing "Go $1 or later"
	fi
	PATH=$(dirname "$go"):$PATH
}

finish()
{
	((failures == 0)) || exit 1
	exit 0
}
