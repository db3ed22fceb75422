/*-------------------------------------------------------------------------
 *
 * gate.c
 *	  Makes relays wait, sleep or fail behind a statement.  For tests; never
 *	  installed.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A file "gate" in the data directory says what to do, and a piece of SQL: each
 * statement of a relay whose text has that piece is done, and then
 *
 *	wait		the file becomes "gate.reached"; it goes on when that is gone
 *	sleep MS	it goes on after so long
 *	fail		it ends with an error
 *
 * No lock is taken, and no relation of outbox is changed, as the relay would
 * notice either.  OutboxTest::Gate writes the file.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/fd.h"

#define GATE	"gate"
#define REACHED "gate.reached"
#define NAP_US	5000

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static ExecutorFinish_hook_type next_finish = NULL;

static bool
read_line(FILE *file, char *line, int size)
{
	if (fgets(line, size, file) == NULL)
		return false;
	line[strcspn(line, "\n")] = '\0';
	return true;
}

/*
 * What is to be done behind this statement; false for nothing.
 */
static bool
read_gate(const char *statement, char *what, int size)
{
	char		piece[256];
	FILE	   *file = AllocateFile(GATE, "r");
	bool		found;

	if (file == NULL)
		return false;
	found = read_line(file, what, size) &&
		read_line(file, piece, sizeof(piece)) &&
		strstr(statement, piece) != NULL;
	FreeFile(file);
	return found;
}

static void
wait_at_gate(void)
{
	struct stat st;

	if (rename(GATE, REACHED) != 0)
		elog(ERROR, "could not rename \"%s\": %m", GATE);
	while (stat(REACHED, &st) == 0)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(NAP_US);
	}
}

static void
gate_finish(QueryDesc *desc)
{
	char		what[32];
	int			ms;

	if (next_finish != NULL)
		next_finish(desc);
	else
		standard_ExecutorFinish(desc);

	if (MyBgworkerEntry == NULL ||
		strcmp(MyBgworkerEntry->bgw_type, "outbox relay") != 0 ||
		!read_gate(desc->sourceText, what, sizeof(what)))
		return;
	if (strcmp(what, "wait") == 0)
		wait_at_gate();
	else if (strcmp(what, "fail") == 0)
		elog(ERROR, "failed at the gate");
	else if (sscanf(what, "sleep %d", &ms) == 1)
		pg_usleep(ms * 1000L);
	else
		elog(ERROR, "a gate can't \"%s\"", what);
}

void
_PG_init(void)
{
	next_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = gate_finish;
}
