/*
 * repeat.c
 *	  One prepared statement, so many times over one connection.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * usage: repeat CONNINFO TIMES PARAMETER STATEMENT
 *
 * Prints the backend's process number.
 */
#include <stdio.h>
#include <stdlib.h>

#include <libpq-fe.h>

static PGresult *
checked(PGconn *pg, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
	{
		fprintf(stderr, "repeat: %s", PQerrorMessage(pg));
		exit(1);
	}
	return result;
}

int
main(int argc, char **argv)
{
	PGconn	   *pg;

	if (argc != 5)
	{
		fputs("usage: repeat CONNINFO TIMES PARAMETER STATEMENT\n", stderr);
		return 1;
	}
	pg = PQconnectdb(argv[1]);
	PQclear(checked(pg, PQprepare(pg, "s", argv[4], 0, NULL)));
	for (long i = 0; i < atol(argv[2]); i++)
	{
		const char *value = argv[3];

		PQclear(checked(pg, PQexecPrepared(pg, "s", 1, &value, NULL, NULL, 0)));
	}
	printf("%d\n", PQbackendPID(pg));
	PQfinish(pg);
	return 0;
}
