# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=sh disable=SC2154 # who sources this sets pg_config
# A throwaway PostgreSQL that preloads outbox and a throwaway Redis, for the
# scripts that show unmodified clients at work (test/interop, examples).  To be
# sourced by a POSIX sh that isn't root, with $pg_config set.
#
#   servers_start     both, in a new directory $servers; exports where they are
#   redis_stop        as an outage: nothing answers, nothing is forgotten
#   redis_start       there again, on the same socket and port
#   servers_stop      both end, and the directory goes
#   free_port         prints one that nobody listens on
#
# The ports are free ones, unless OUTBOX_PGPORT and OUTBOX_REDIS_PORT are set.
#
# PGHOST is a directory with the socket; PostgreSQL and Redis listen on
# 127.0.0.1 too, on ports that were free, as not every client speaks to
# sockets.  Redis keeps what it has in an append-only file, so that it is still
# there after an outage.

free_port()
{
	perl -MIO::Socket::INET -e '
		print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport'
}

redis_start()
{
	"${OUTBOX_REDIS_SERVER:-redis-server}" --bind 127.0.0.1 --port "$REDIS_PORT" \
		--unixsocket "$REDIS_SOCKET" --dir "$servers" --logfile "$servers/redis.log" \
		--save '' --appendonly yes --daemonize yes --pidfile "$servers/redis.pid" \
		>/dev/null || return
	n=0
	until [ "$(redis-cli -s "$REDIS_SOCKET" ping 2>/dev/null)" = PONG ]; do
		n=$((n + 1))
		[ $n -lt 400 ] || { tail -n 20 "$servers/redis.log" >&2; return 1; }
		sleep 0.05
	done
}

redis_stop()
{
	pid=$(cat "$servers/redis.pid") || return
	redis-cli -s "$REDIS_SOCKET" shutdown >/dev/null 2>&1 || true
	while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
}

postgresql_start()
{
	bin=$("$pg_config" --bindir)
	"$bin/initdb" -D "$servers/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
		--no-sync >/dev/null || return
	cat >>"$servers/data/postgresql.conf" <<-CONF
		listen_addresses = '127.0.0.1'
		port = $PGPORT
		unix_socket_directories = '$servers'
		fsync = off
		max_worker_processes = 16
		shared_preload_libraries = 'outbox'
		outbox.redis_url = 'unix://$REDIS_SOCKET'
	CONF
	"$bin/pg_ctl" -D "$servers/data" -l "$servers/postgresql.log" -w start >/dev/null ||
		{ tail -n 20 "$servers/postgresql.log" >&2; return 1; }
}

servers_start()
{
	servers=$(mktemp -d /tmp/outbox-servers.XXXXXX) || return
	PGHOST=$servers PGPORT=${OUTBOX_PGPORT:-$(free_port)} PGUSER=postgres PGDATABASE=postgres
	REDIS_SOCKET=$servers/redis.sock REDIS_HOST=127.0.0.1 REDIS_PORT=${OUTBOX_REDIS_PORT:-$(free_port)}
	REDIS_URL=redis://$REDIS_HOST:$REDIS_PORT/0 PSQLRC=/dev/null
	export PGHOST PGPORT PGUSER PGDATABASE PSQLRC
	export REDIS_SOCKET REDIS_HOST REDIS_PORT REDIS_URL
	redis_start && postgresql_start
}

servers_stop()
{
	[ -n "${servers:-}" ] || return 0
	"$("$pg_config" --bindir)/pg_ctl" -D "$servers/data" -m immediate stop \
		>/dev/null 2>&1 || true
	redis_stop 2>/dev/null || true
	rm -rf "$servers"
}
