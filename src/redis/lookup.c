/*-------------------------------------------------------------------------
 *
 * lookup.c
 *	  Look the name of a host up, without waiting.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * getaddrinfo() blocks for as long as name servers are silent: by default for
 * five seconds, for each server, twice, for each domain of the search list.  The
 * resolver's options make that shorter and don't end it, and concern DNS only,
 * while names also come from LDAP, mDNS or systemd.  And whatever the time is, it
 * would be taken from everything else that the relay does, at each attempt to
 * connect.  So getaddrinfo() runs in a thread.
 *
 * That thread is all there is of threads here.  It calls nothing of PostgreSQL,
 * takes no signal, and shares one struct with the relay.  The write end of a pipe
 * is closed when it is done, on which the relay waits as on a socket.  What is
 * abandoned before is freed by the thread, so nobody waits for it.  If the relay
 * ends meanwhile, so does the thread.
 *
 * An answer that comes late is used all the same: a lookup outlives the attempt to
 * connect, and the next attempt goes on with it.  So a name costs one thread at a
 * time, however often it is tried.  There is a limit for all names together.
 *
 * An address needs no thread.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/lookup.h"

#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "storage/fd.h"

/* a result that is older than this is not used for another connection */
#define MAX_AGE_MS		15000

/* threads at once */
#define MAX_THREADS		32

/* enough for whatever libraries look names up */
#define STACK_SIZE		(1024 * 1024)

struct RedisLookup
{
	/* written before there is a thread */
	char	   *name;
	char		port[12];
	OutboxTime	begun_at;
	int			done_fd[2];		/* a pipe; the thread closes the write end */

	/* under the mutex */
	bool		done;
	bool		abandoned;
	int			error;			/* of getaddrinfo() */
	struct addrinfo *addresses;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int	threads = 0;		/* under the mutex */

static void
free_lookup(RedisLookup *lookup)
{
	if (lookup->addresses != NULL)
		freeaddrinfo(lookup->addresses);
	free(lookup->name);
	free(lookup);
}

static int
look_up(RedisLookup *lookup, int flags)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags
	};

	return getaddrinfo(lookup->name, lookup->port, &hints, &lookup->addresses);
}

static void *
thread_main(void *arg)
{
	RedisLookup *lookup = arg;
	int			fd = lookup->done_fd[1];
	int			error = look_up(lookup, 0);
	bool		abandoned;

	pthread_mutex_lock(&mutex);
	lookup->error = error;
	lookup->done = true;
	abandoned = lookup->abandoned;
	threads--;
	pthread_mutex_unlock(&mutex);
	/* from here on it is the relay's, unless that has abandoned it */
	if (abandoned)
		free_lookup(lookup);
	close(fd);
	return NULL;
}

/*
 * Start the thread, with all signals blocked: they are for the relay.
 */
static bool
start_thread(RedisLookup *lookup)
{
	pthread_attr_t attr;
	pthread_t	thread;
	sigset_t	all;
	sigset_t	old;
	bool		started;

	if (pthread_attr_init(&attr) != 0)
		return false;
	(void) pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void) pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	(void) pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_mutex_lock(&mutex);
	started = threads < MAX_THREADS &&
		pthread_create(&thread, &attr, thread_main, lookup) == 0;
	threads += started;
	pthread_mutex_unlock(&mutex);
	(void) pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return started;
}

/*
 * The pipe counts as two files for as long as the lookup is ours.  A thread that
 * is left alone keeps one end a while longer.
 */
static bool
open_pipe(RedisLookup *lookup)
{
	if (!AcquireExternalFD())
		return false;
	if (!AcquireExternalFD())
	{
		ReleaseExternalFD();
		return false;
	}
	if (pipe(lookup->done_fd) < 0)
	{
		ReleaseExternalFD();
		ReleaseExternalFD();
		return false;
	}
	for (int i = 0; i < 2; i++)
		(void) fcntl(lookup->done_fd[i], F_SETFD, FD_CLOEXEC);
	return true;
}

static void
close_our_end(RedisLookup *lookup)
{
	if (lookup->done_fd[0] == PGINVALID_SOCKET)
		return;
	close(lookup->done_fd[0]);
	lookup->done_fd[0] = PGINVALID_SOCKET;
	ReleaseExternalFD();
	ReleaseExternalFD();
}

RedisLookup *
outbox_lookup_begin(const char *name, int port, RedisTrouble *trouble)
{
	RedisLookup *lookup = calloc(1, sizeof(RedisLookup));

	if (lookup == NULL || (lookup->name = strdup(name)) == NULL)
	{
		free(lookup);
		outbox_trouble(trouble, "out of memory", NULL);
		return NULL;
	}
	snprintf(lookup->port, sizeof(lookup->port), "%d", port);
	lookup->begun_at = outbox_now();
	lookup->done_fd[0] = PGINVALID_SOCKET;
	lookup->error = look_up(lookup, AI_NUMERICHOST);
	lookup->done = lookup->error == 0;
	if (lookup->done)
		return lookup;
	if (!open_pipe(lookup))
	{
		lookup->done_fd[0] = PGINVALID_SOCKET;
		outbox_trouble(trouble, "too many open files", NULL);
	}
	else if (start_thread(lookup))
		return lookup;
	else
	{
		close(lookup->done_fd[1]);
		close_our_end(lookup);
		outbox_trouble(trouble, "too many host names are looked up already",
					   "Do the name servers answer?");
	}
	free_lookup(lookup);
	return NULL;
}

bool
outbox_lookup_is_of(const RedisLookup *lookup, const char *name, int port)
{
	return strcmp(lookup->name, name) == 0 && atoi(lookup->port) == port &&
		outbox_now() < outbox_in_ms(lookup->begun_at, MAX_AGE_MS);
}

pgsocket
outbox_lookup_socket(const RedisLookup *lookup)
{
	return lookup->done_fd[0];
}

bool
outbox_lookup_is_done(RedisLookup *lookup)
{
	bool		done;

	pthread_mutex_lock(&mutex);
	done = lookup->done;
	pthread_mutex_unlock(&mutex);
	return done;
}

const struct addrinfo *
outbox_lookup_result(RedisLookup *lookup, RedisTrouble *trouble)
{
	char		text[OUTBOX_TROUBLE_SIZE];

	if (lookup->error == 0)
		return lookup->addresses;
	snprintf(text, sizeof(text), "host name \"%s\" is not known: %s",
			 lookup->name, gai_strerror(lookup->error));
	outbox_trouble(trouble, text, NULL);
	return NULL;
}

void
outbox_lookup_abandon(RedisLookup *lookup)
{
	bool		done;

	close_our_end(lookup);
	pthread_mutex_lock(&mutex);
	done = lookup->done;
	lookup->abandoned = true;
	pthread_mutex_unlock(&mutex);
	if (done)
		free_lookup(lookup);
}
