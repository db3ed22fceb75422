# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=bash
# For interop tests of workers that run in the background.  To be sourced;
# brings lib.sh along.
#
#   venv PACKAGE==VERSION...   a Python environment with just these, first in PATH
#   modules PACKAGE@VERSION... what node finds here are these
#   worker COMMAND...          start it; what it says goes to worker.log.  It ends
#                              with the test, all its children too
#   processed [PATTERN]        the lines of file "processed" that match.  A worker
#                              adds one for each job that it has run
#   seen NUMBER [PATTERN]      are there that many of them?
#   show                       print them
#
# shellcheck source=test/interop/lib.sh
. "$OUTBOX_TREE/test/interop/lib.sh"

workers=()
trap stop_workers EXIT
: >processed

# A worker has a process group of its own, and some are slow to go.
stop_workers()
{
	local pid
	for pid in "${workers[@]}"; do
		kill -TERM -- "-$pid" 2>/dev/null
	done
	for pid in "${workers[@]}"; do
		timeout 10 tail --pid="$pid" -f /dev/null
		kill -KILL -- "-$pid" 2>/dev/null
	done
	((failures == 0)) || [[ ! -e worker.log ]] || sed 's/^/# worker: /' worker.log | tail -n 100
}

venv()
{
	local dir log
	dir=$OUTBOX_CACHE/venv-$(echo "$*" | tr -c 'A-Za-z0-9.\n' _)
	if [[ ! -e $dir/complete ]]; then
		log=$OUTBOX_CACHE/pip.log
		rm -rf "$dir"
		python3 -m venv "$dir" >"$log" 2>&1 && "$dir/bin/pip" install -q "$@" >>"$log" 2>&1 ||
			{ sed 's/^/# /' "$log"; missing "$* from the Python package index"; }
		touch "$dir/complete"
	fi
	PATH=$dir/bin:$PATH
}

modules()
{
	local dir
	dir=$OUTBOX_CACHE/npm-$(echo "$*" | tr -c 'A-Za-z0-9.\n' _)
	if [[ ! -e $dir/complete ]]; then
		mkdir -p "$dir" && echo '{"private": true}' >"$dir/package.json" &&
			npm --prefix "$dir" install --no-audit --no-fund --ignore-scripts "$@" \
				>"$OUTBOX_CACHE/npm.log" 2>&1 ||
			{ sed 's/^/# /' "$OUTBOX_CACHE/npm.log"; missing "$* from the npm registry"; }
		touch "$dir/complete"
	fi
	ln -sfn "$dir/node_modules" node_modules
}

worker()
{
	setsid "$@" >>worker.log 2>&1 </dev/null &
	workers+=($!)
}

processed() { grep -e "${1-}" processed; }
seen() { (($(processed "${2-}" | wc -l) == $1)); }
show() { sed 's/^/# processed: /' processed; }
