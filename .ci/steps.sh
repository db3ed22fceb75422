# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=bash
# How .ci/run and .ci/long run their steps.  To be sourced, in the root of the tree,
# with $me (the script's name) set.
#
# A step ends in one of three ways: it passed, it FAILED, or it "could not fetch"
# (exit code 75): an archive or a registry did not give what the step is made of,
# which says nothing about the tree.

summary=() failed=() unfetched=()

# step NAME COMMAND...: runs it, whatever became of the steps before.
step()
{
	local name=$1 start=$SECONDS rc=0 word
	shift
	echo "=== $name"
	"$@" </dev/null || rc=$?
	case $rc in
		0) word=passed ;;
		75) word='could not fetch' unfetched+=("$name") ;;
		*) word="FAILED ($rc)" failed+=("$name") ;;
	esac
	took=$((SECONDS - start))
	summary+=("$(printf '%-15s %5d s  %s' "$word" $took "$name")")
	echo "=== $name: $word"
	return $rc
}

# from_registry COMMAND...: a test whose clients come from package registries.  It
# could not fetch if it says so, or if what a registry's client says is the last
# word; "not ok" for any other reason is a failure.
from_registry()
{
	local log rc words
	log=$(mktemp)
	"$@" 2>&1 | tee "$log"
	rc=${PIPESTATUS[0]}
	words='^not ok - missing:|^(# )?go: .*(dial tcp|no such host|i/o timeout)'
	words+='|npm (ERR!|error) .*(network|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|registry)'
	words+='|Could not find a version that satisfies|NewConnectionError|Temporary failure resolving'
	if ((rc != 0)) && grep -qE "$words" "$log" &&
		! grep '^not ok' "$log" | grep -qv '^not ok - missing:'; then
		rc=75
	fi
	rm -f "$log"
	return "$rc"
}

packages()
{
	test/packages || return 75
	local tool missing=''
	for tool in mmdebstrap ip shellcheck pg_bsd_indent luacheck; do
		command -v $tool >/dev/null || missing+=" $tool"
	done
	[[ -n $missing ]] || return 0
	apt-get -q update
	DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 \
		install -y --no-install-recommends \
		mmdebstrap iproute2 shellcheck pg-bsd-indent lua-check || return 75
}

build()
{
	make -s all test/gate/gate.so && make -s -C test/encode
}
