/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The settings of a queue that have no argument of their own.
 *
 * Copyright (c) 2026, the outbox developers
 *
 *-------------------------------------------------------------------------
 */
#include "api/settings.h"

#include "catalog/pg_type.h"
#include "queue/queue.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

/* in the order in which outbox.queue has them */
static const char *const field_names[] = {"enqueued_at", "queue"};

static char *
string_of(const JsonbValue *v)
{
	return pnstrdup(v->val.string.val, v->val.string.len);
}

static bool
is_key(const JsonbValue *v, const char *name)
{
	return v->val.string.len == strlen(name) &&
		memcmp(v->val.string.val, name, v->val.string.len) == 0;
}

static void
read_payload_type(const JsonbValue *v, OutboxSettings *settings)
{
	if (v->type != jbvString || outbox_payload_type(string_of(v)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"payload_type\" must be \"json\", \"text\" or \"bytea\"")));
	settings->payload_type = string_of(v);
}

static void
read_fields(const JsonbValue *v, OutboxSettings *settings)
{
	int			n = v->type == jbvBinary && JsonContainerIsArray(v->val.binary.data) ?
	JsonContainerSize(v->val.binary.data) : v->type == jbvNull ? 0 : -1;

	settings->has_fields = true;
	for (int i = 0; i < n; i++)
	{
		JsonbValue *name = getIthJsonbValueFromContainer(v->val.binary.data, i);
		int			field = name->type == jbvString ? outbox_field(string_of(name)) : 0;

		if (field == 0)
			n = -1;
		settings->fields |= field;
	}
	if (n < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"fields\" must be an array of \"enqueued_at\" and \"queue\"")));
}

/*
 * Returns where a setting goes that is a string; NULL if there is none of this
 * name.
 */
static const char **
string_setting(const JsonbValue *key, OutboxSettings *settings)
{
	return is_key(key, "name") ? &settings->name :
		is_key(key, "target") ? &settings->target :
		is_key(key, "redis_key") ? &settings->redis_key :
		is_key(key, "format") ? &settings->format : NULL;
}

static void
read_string(const JsonbValue *key, const JsonbValue *v, const char **setting)
{
	if (v->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"%s\" must be a string", string_of(key))));
	*setting = string_of(v);
}

static void
unknown_setting(const JsonbValue *key, bool alter, bool is_argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown setting \"%s\"", string_of(key)),
			 is_argument ? errhint("It is an argument of outbox_create_queue().") :
			 alter ? errhint("Settings are payload_type, fields, name, target, redis_key and format.") :
			 errhint("Settings are payload_type and fields.")));
}

OutboxSettings
outbox_read_settings(const struct varlena *given, bool alter)
{
	OutboxSettings settings = {0};
	Jsonb	   *jsonb;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	if (given == NULL)
		return settings;
	jsonb = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(given));
	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("settings must be an object"),
				 errhint("For example settings => '{\"payload_type\": \"text\"}'.")));
	it = JsonbIteratorInit(&jsonb->root);
	(void) JsonbIteratorNext(&it, &value, true);
	while ((token = JsonbIteratorNext(&it, &key, true)) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&it, &value, true);
		if (is_key(&key, "payload_type"))
			read_payload_type(&value, &settings);
		else if (is_key(&key, "fields"))
			read_fields(&value, &settings);
		else if (alter && string_setting(&key, &settings) != NULL)
			read_string(&key, &value, string_setting(&key, &settings));
		else
			unknown_setting(&key, alter, string_setting(&key, &settings) != NULL);
	}
	return settings;
}

Datum
outbox_fields_array(int fields)
{
	Datum		names[lengthof(field_names)];
	int			n = 0;

	for (int i = 0; i < lengthof(field_names); i++)
		if ((fields & outbox_field(field_names[i])) != 0)
			names[n++] = CStringGetTextDatum(field_names[i]);
	if (n == 0)
		return (Datum) 0;
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}
