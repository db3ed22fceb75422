/*-------------------------------------------------------------------------
 *
 * server_commands.c
 *	  The commands that the Redis at hand has.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Which commands there are depends on the server, its version and its modules.
 * So none of them is written down here: the relay asks the server when it
 * connects (deliver/commands.lua) and keeps the answer for those who create and
 * alter queues.  A hash stands for a name; should two names have the same one,
 * then a command is not refused early, but with the first message.
 *
 * The answer may be older than the server: a module is loaded, another server
 * takes over.  It is only to find mistakes early; what Redis says to a message
 * counts.
 *
 *-------------------------------------------------------------------------
 */
#include "server_commands.h"

#include "common/hashfn.h"

static uint32
hash_name(const char *name, size_t len)
{
	unsigned char lower[OUTBOX_COMMAND_NAME];

	for (size_t i = 0; i < len; i++)
		lower[i] = pg_ascii_tolower((unsigned char) name[i]);
	return hash_bytes(lower, (int) len);
}

/*
 * Read one line.  False if it is not what commands.lua writes.
 */
static bool
read_line(const char *line, OutboxServerCommand *command)
{
	size_t		len = strcspn(line, " \n");
	char	   *end = unconstify(char *, line + len);
	long		numbers[5];

	if (len == 0 || len >= OUTBOX_COMMAND_NAME)
		return false;
	for (int i = 0; i < lengthof(numbers); i++)
	{
		if (*end != ' ')
			return false;
		numbers[i] = strtol(end + 1, &end, 10);
		if (numbers[i] < PG_INT16_MIN || numbers[i] > PG_INT16_MAX)
			return false;
	}
	if (*end != '\n' && *end != '\0')
		return false;
	command->hash = hash_name(line, len);
	command->arity = numbers[0];
	command->noscript = numbers[1] != 0;
	command->first_key = numbers[2];
	command->last_key = numbers[3];
	command->key_step = numbers[4];
	return true;
}

void
outbox_keep_server_commands(OutboxSlot *slot, const char *answer)
{
	OutboxServerCommands *known = &slot->server_commands;
	int			n = 0;

	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	while (answer != NULL && *answer != '\0')
	{
		if (n == OUTBOX_MAX_COMMANDS || !read_line(answer, &known->command[n]))
		{
			n = 0;
			break;
		}
		n++;
		answer += strcspn(answer, "\n");
		answer += *answer == '\n';
	}
	known->count = n;
	LWLockRelease(outbox_shared->lock);
}

OutboxCommandKnown
outbox_find_server_command(Oid database, const char *name,
						   OutboxServerCommand *found)
{
	OutboxSlot *slot = outbox_find_slot(database);
	OutboxCommandKnown result = OUTBOX_COMMAND_MISSING;
	size_t		len = strlen(name);
	uint32		hash;

	if (slot == NULL)
		return OUTBOX_COMMANDS_NOT_KNOWN;
	if (len >= OUTBOX_COMMAND_NAME)
		return OUTBOX_COMMAND_MISSING;
	hash = hash_name(name, len);
	LWLockAcquire(outbox_shared->lock, LW_SHARED);
	if (slot->server_commands.count == 0)
		result = OUTBOX_COMMANDS_NOT_KNOWN;
	for (int i = 0; i < slot->server_commands.count; i++)
		if (slot->server_commands.command[i].hash == hash)
		{
			*found = slot->server_commands.command[i];
			result = OUTBOX_COMMAND_FOUND;
		}
	LWLockRelease(outbox_shared->lock);
	return result;
}
