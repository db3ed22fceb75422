# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=sh disable=SC2154,SC2086 # who sources this sets pg_config and me; $make and $as are words
# What the scripts share that test an installed outbox: a copy of the tree,
# built and installed, and commands that run there without being root.  To be
# sourced by a POSIX sh, in the root of the tree, with $pg_config and $me (the
# script's name) set.
#
# PostgreSQL refuses to run as root, and a checkout may lie where nobody else
# can reach it.  So the tree is copied, built and installed from the copy, and
# all else happens there: as user postgres when called by root, else as the
# caller, who needs sudo for the installation only.

make="make -s --no-print-directory PG_CONFIG=$pg_config"

die()
{
	echo "$me: $*" >&2
	exit 2
}

need()
{
	for tool; do
		command -v "$tool" >/dev/null ||
			die "$tool is missing (test/packages installs what the tests need)"
	done
}

# copy_and_install NAME: into the new directory $work, which becomes the
# current one.
copy_and_install()
{
	need make "$pg_config"
	work=$(mktemp -d "/tmp/outbox-$1.XXXXXX")
	chmod 755 "$work"
	tar -cf - --exclude=./.git --exclude=./tmp_check . | tar -xf - -C "$work"
	cd "$work" || exit
	$make
	echo "$me: installing outbox into this machine's $("$pg_config" --version)," \
		'where "make uninstall" removes it' >&2
	if [ -w "$("$pg_config" --pkglibdir)" ]; then $make install; else sudo $make install; fi
	as=''
	if [ "$(id -u)" = 0 ]; then
		chown -R postgres: "$work"
		as='runuser -u postgres -- env USER=postgres LOGNAME=postgres'
	fi
}

# in_the_copy COMMAND...: the same locale everywhere, thus the same encoding and
# order of text; nothing of the caller's connection settings; nothing from a
# terminal.
in_the_copy()
{
	$as env -u PGHOST -u PGPORT -u PGUSER -u PGDATABASE -u PGPASSWORD -u PGSERVICE \
		LC_ALL=C.UTF-8 HOME="$work" TMPDIR=/tmp "$@" </dev/null
}

# cache_directory: sets $cache, where what comes from registries stays between
# runs.  The copy belongs to user postgres, and so does that.
cache_directory()
{
	if [ -n "${OUTBOX_INTEROP_CACHE-}" ]; then
		cache=$OUTBOX_INTEROP_CACHE
	elif [ "$(id -u)" = 0 ]; then
		cache=/var/cache/outbox-interop
	else
		cache=${XDG_CACHE_HOME:-$HOME/.cache}/outbox-interop
	fi
	mkdir -p "$cache"
	[ "$(id -u)" != 0 ] || chown postgres: "$cache"
}
