# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=sh
# What the leg scripts share: where trees are cached, which suite holds which
# PostgreSQL, and how a tree is made.  To be sourced, by a POSIX sh.
#
# A leg is a chroot of a later Debian, named after the PostgreSQL major that
# it brings, because no one release carries them all.  The mirror is whatever
# this machine's apt already uses: asked for when needed, written nowhere.

cache=${OUTBOX_LEGS:-/var/cache/outbox-legs}

die()
{
	echo "$0: $*" >&2
	exit 1
}

# What an archive does not give is told apart from a test that fails, by the exit
# code: .ci/run knows it.
could_not_fetch()
{
	echo "$0: could not fetch $*" >&2
	exit 75
}

need_root_and()
{
	[ "$(id -u)" = 0 ] || die "must be run as root"
	for tool; do
		command -v "$tool" >/dev/null || die "$tool is missing, please install it"
	done
}

# The Debian archive that apt uses here.
mirror()
{
	set -- indextargets --format '$(REPO_URI)' \
		'Created-By: Packages' 'Origin: Debian' 'Label: Debian'
	m=${OUTBOX_MIRROR:-$(apt-get "$@" | head -n 1)}
	if [ -z "$m" ]; then
		apt-get update >&2
		m=$(apt-get "$@" | head -n 1)
	fi
	[ -n "$m" ] || could_not_fetch "anything: apt knows no Debian mirror here, set OUTBOX_MIRROR"
	echo "${m%/}"
}

# make_tree DIR VARIANT PACKAGES SUITE [SUITE...]: what DIR was made from is
# noted in it, so that half a tree is never used, nor one that lacks a package
# asked for since.  Proxies and date checks are taken over from this machine's
# apt.
make_tree()
{
	dir=$1 variant=$2 packages=$3 suite=$4
	shift 3
	of="$variant $packages $*"
	[ "$(cat "$dir/.made-of" 2>/dev/null)" != "$of" ] || return 0
	need_root_and mmdebstrap flock
	mkdir -p "$cache"
	exec 9>"$dir.lock"
	flock 9
	[ "$(cat "$dir/.made-of" 2>/dev/null)" != "$of" ] || return 0
	m=$(mirror)
	conf=$(mktemp)
	apt-config dump Acquire | grep -E '::(Check-|https?::|Retries|ForceIPv)' >"$conf" || :
	for s; do
		set -- "$@" "deb $m $s main"
		shift
	done
	rm -rf --one-file-system "$dir" "$dir.new"
	rc=0
	mmdebstrap --quiet --mode=root --variant="$variant" --include="$packages" \
		--aptopt="$conf" --aptopt='Acquire::Languages "none"' \
		--aptopt='APT::Install-Recommends "false"' \
		--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		"$suite" "$dir.new" "$@" >&2 </dev/null || rc=$?
	rm -f "$conf"
	[ $rc = 0 ] || could_not_fetch "what $dir is made of"
	echo "$of" >"$dir.new/.made-of"
	mv "$dir.new" "$dir"
}
