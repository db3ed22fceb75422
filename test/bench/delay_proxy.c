/*
 * delay_proxy.c
 *	  A server that is further away: bytes arrive later, at any rate.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * usage: delay_proxy LISTEN_SOCKET SERVER_SOCKET MICROSECONDS
 *
 * Each chunk that is read, from either side, is written to the other so many
 * microseconds later: two times that is the round trip.  Chunks wait in memory,
 * so that many may be on their way: a long pipe, not a narrow one.  Prints "ready"
 * and ends by SIGTERM.
 */
#define _GNU_SOURCE				/* ppoll */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES		(64 * 1024)
#define MAX_CHUNKS		1024	/* on their way in one direction */
#define MAX_PAIRS		32

typedef struct Chunk
{
	long long	due_ns;
	size_t		length;
	size_t		written;
	char		data[CHUNK_BYTES];
} Chunk;

typedef struct Direction
{
	int			from;
	int			to;
	bool		ended;
	Chunk	   *chunks[MAX_CHUNKS];	/* a ring */
	int			first;
	int			count;
} Direction;

static Direction directions[2 * MAX_PAIRS];
static int	direction_count;
static long long delay_ns;
static Chunk *spare[MAX_CHUNKS];
static int	spare_count;

static void
fail(const char *what)
{
	fprintf(stderr, "delay_proxy: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long long
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int
unix_socket(const char *path, bool listening)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int			fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (listening)
	{
		if (bind(fd, (struct sockaddr *) &address, sizeof(address)) != 0 || listen(fd, 16) != 0)
			fail(path);
	}
	else if (connect(fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		fail(path);
	return fd;
}

static Chunk *
get_chunk(void)
{
	Chunk	   *chunk = spare_count > 0 ? spare[--spare_count] : malloc(sizeof(Chunk));

	if (chunk == NULL)
		fail("memory");
	return chunk;
}

static void
put_chunk(Chunk *chunk)
{
	if (spare_count < MAX_CHUNKS)
		spare[spare_count++] = chunk;
	else
		free(chunk);
}

/*
 * A pair of sockets that is gone leaves its place to the next.
 */
static void
add_pair(int client, const char *server_path)
{
	int			server = unix_socket(server_path, false);
	int			at = 0;

	while (at < direction_count && directions[at].from >= 0)
		at += 2;
	if (at == 2 * MAX_PAIRS)
		fail("connections");
	if (at == direction_count)
		direction_count += 2;
	fcntl(client, F_SETFL, O_NONBLOCK);
	fcntl(server, F_SETFL, O_NONBLOCK);
	directions[at] = (Direction) {.from = client, .to = server};
	directions[at + 1] = (Direction) {.from = server, .to = client};
}

static void
drop_pair(int at)
{
	close(directions[at].from);
	close(directions[at].to);
	for (int i = at; i < at + 2; i++)
	{
		Direction  *d = &directions[i];

		while (d->count-- > 0)
		{
			put_chunk(d->chunks[d->first]);
			d->first = (d->first + 1) % MAX_CHUNKS;
		}
		d->from = -1;
		d->count = 0;
	}
}

static void
take(Direction *d)
{
	Chunk	   *chunk = get_chunk();
	ssize_t		n = read(d->from, chunk->data, CHUNK_BYTES);

	if (n > 0)
	{
		chunk->due_ns = now_ns() + delay_ns;
		chunk->length = n;
		chunk->written = 0;
		d->chunks[(d->first + d->count++) % MAX_CHUNKS] = chunk;
		return;
	}
	put_chunk(chunk);
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		d->ended = true;
}

/*
 * Writes what is due; returns when the next is: at once is 0, nothing is -1.
 */
static long long
give(Direction *d)
{
	while (d->count > 0)
	{
		Chunk	   *chunk = d->chunks[d->first];
		long long	wait = chunk->due_ns - now_ns();
		ssize_t		n;

		if (wait > 0)
			return wait;
		n = write(d->to, chunk->data + chunk->written, chunk->length - chunk->written);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0)
		{
			d->ended = true;
			return -1;
		}
		chunk->written += n;
		if (chunk->written == chunk->length)
		{
			put_chunk(chunk);
			d->first = (d->first + 1) % MAX_CHUNKS;
			d->count--;
		}
	}
	return -1;
}

/*
 * Both ways of one pair.  Returns when to look again, or -1.
 */
static long long
move_bytes(int at, struct pollfd *polls)
{
	long long	soonest = -1;

	for (int i = at; i < at + 2; i++)
	{
		Direction  *d = &directions[i];
		long long	wait;

		if (polls[i].revents & (POLLIN | POLLHUP | POLLERR))
			take(d);
		wait = give(d);
		if (wait > 0 && (soonest < 0 || wait < soonest))
			soonest = wait;
		polls[i] = (struct pollfd) {d->from, 0, 0};
		if (!d->ended && d->count < MAX_CHUNKS)
			polls[i].events |= POLLIN;
		/* whose writes are held up by a full socket is looked at soon */
		if (wait == 0)
			soonest = soonest < 0 || soonest > 20000 ? 20000 : soonest;
	}
	if ((directions[at].ended && directions[at].count == 0) ||
		(directions[at + 1].ended && directions[at + 1].count == 0))
	{
		drop_pair(at);
		polls[at].fd = polls[at + 1].fd = -1;
	}
	return soonest;
}

int
main(int argc, char **argv)
{
	struct pollfd polls[2 * MAX_PAIRS + 1];
	int			listener;

	if (argc != 4)
	{
		fputs("usage: delay_proxy LISTEN_SOCKET SERVER_SOCKET MICROSECONDS\n", stderr);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	unlink(argv[1]);
	listener = unix_socket(argv[1], true);
	delay_ns = atoll(argv[3]) * 1000;
	memset(polls, 0, sizeof(polls));
	puts("ready");
	fflush(stdout);
	for (;;)
	{
		long long	soonest = -1;
		struct timespec timeout;

		for (int at = 0; at < direction_count; at += 2)
			if (directions[at].from >= 0)
			{
				long long	wait = move_bytes(at, polls);

				if (wait >= 0 && (soonest < 0 || wait < soonest))
					soonest = wait;
			}
		polls[direction_count] = (struct pollfd) {listener, POLLIN, 0};
		timeout = (struct timespec) {soonest / 1000000000, soonest % 1000000000};
		if (ppoll(polls, direction_count + 1, soonest < 0 ? NULL : &timeout, NULL) < 0 &&
			errno != EINTR)
			fail("poll");
		if (polls[direction_count].revents & POLLIN)
		{
			int			client = accept(listener, NULL, NULL);
			int			had = direction_count;

			polls[had].revents = 0;
			if (client >= 0)
				add_pair(client, argv[2]);
			if (direction_count > had)
				polls[had] = polls[had + 1] = (struct pollfd) {-1, 0, 0};
		}
	}
}
