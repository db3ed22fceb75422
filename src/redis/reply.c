/*-------------------------------------------------------------------------
 *
 * reply.c
 *	  A reply of Redis.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A reply is a struct of hiredis.  No file outside this folder knows its
 * members.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/reply.h"

#include <hiredis/hiredis.h>

int
outbox_reply_type(const OutboxReply *reply)
{
	switch (reply->type)
	{
		case REDIS_REPLY_ERROR:
			return OUTBOX_REPLY_ERROR;
		case REDIS_REPLY_STATUS:
			return OUTBOX_REPLY_STATUS;
		case REDIS_REPLY_STRING:
			return OUTBOX_REPLY_STRING;
		case REDIS_REPLY_INTEGER:
			return OUTBOX_REPLY_INTEGER;
		case REDIS_REPLY_ARRAY:
			return OUTBOX_REPLY_ARRAY;
		case REDIS_REPLY_NIL:
			return OUTBOX_REPLY_NIL;
	}
	return OUTBOX_REPLY_OTHER;
}

int64
outbox_reply_integer(const OutboxReply *reply)
{
	return reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
}

bool
outbox_reply_is_error(const OutboxReply *reply)
{
	return reply->type == REDIS_REPLY_ERROR;
}

bool
outbox_reply_is_array(const OutboxReply *reply)
{
	return reply->type == REDIS_REPLY_ARRAY;
}

const char *
outbox_reply_string(const OutboxReply *reply)
{
	if (reply->type == REDIS_REPLY_STRING ||
		reply->type == REDIS_REPLY_STATUS ||
		reply->type == REDIS_REPLY_ERROR)
		return reply->str;
	return "";
}

size_t
outbox_reply_size(const OutboxReply *reply)
{
	return reply->type == REDIS_REPLY_STRING ? reply->len :
		strlen(outbox_reply_string(reply));
}

size_t
outbox_reply_length(const OutboxReply *reply)
{
	return reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
}

const OutboxReply *
outbox_reply_element(const OutboxReply *reply, size_t n)
{
	Assert(n < outbox_reply_length(reply));
	return reply->element[n];
}

bool
outbox_reply_is_array_of(const OutboxReply *reply, int types)
{
	for (size_t i = 0; i < outbox_reply_length(reply); i++)
		if ((outbox_reply_type(reply->element[i]) & types) == 0)
			return false;
	return outbox_reply_is_array(reply);
}

const char *
outbox_reply_element_string(const OutboxReply *reply, size_t n)
{
	return n < outbox_reply_length(reply) ?
		outbox_reply_string(reply->element[n]) : "";
}

uint64
outbox_reply_element_number(const OutboxReply *reply, size_t n)
{
	return strtoull(outbox_reply_element_string(reply, n), NULL, 10);
}

void
outbox_reply_free(OutboxReply *reply)
{
	freeReplyObject(reply);
}
