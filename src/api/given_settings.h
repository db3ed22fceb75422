/*-------------------------------------------------------------------------
 *
 * given_settings.h
 *	  The argument "settings" of functions: an object, member by member.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Process: backend.
 * Transaction: the caller's.
 * Memory: palloc'ed in the current context.
 * Errors: INVALID_PARAMETER_VALUE.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_GIVEN_SETTINGS_H
#define OUTBOX_GIVEN_SETTINGS_H

#include "outbox.h"
#include "utils/jsonb.h"

/*
 * Begin with the members of what was given, jsonb or NULL; an error, with an example
 * of what is right, unless it is an object.
 */
extern JsonbIterator *outbox_begin_settings(const struct varlena *given, const char *example);

/* the same of an object within */
extern JsonbIterator *outbox_begin_members(JsonbContainer *object);

/* the next member; false if there is none */
extern bool outbox_next_setting(JsonbIterator **it, char **name, JsonbValue *value);

extern char *outbox_jsonb_string(const JsonbValue *v);
extern bool outbox_boolean_setting(const char *name, const JsonbValue *v);

/* returns a number from 1 to most; an error if it is another one */
extern int64 outbox_number_setting(const char *name, const JsonbValue *v, int64 most);

/* an error; the hint says which settings there are */
extern void outbox_unknown_setting(const char *name, const char *hint);

#endif							/* OUTBOX_GIVEN_SETTINGS_H */
