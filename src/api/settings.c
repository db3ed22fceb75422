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

#include "api/given_settings.h"
#include "catalog/pg_type.h"
#include "queue/partition.h"
#include "queue/queue.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* in the order in which outbox.queue has them */
static const char *const field_names[] = {"enqueued_at", "queue"};

static void
read_payload_type(const JsonbValue *v, OutboxSettings *settings)
{
	if (v->type != jbvString || outbox_payload_type(outbox_jsonb_string(v)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"payload_type\" must be \"json\", \"text\" or \"bytea\"")));
	settings->payload_type = outbox_jsonb_string(v);
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
		int			field = name->type == jbvString ? outbox_field(outbox_jsonb_string(name)) : 0;

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
string_setting(const char *name, OutboxSettings *settings)
{
	return strcmp(name, "name") == 0 ? &settings->name :
		strcmp(name, "target") == 0 ? &settings->target :
		strcmp(name, "redis_key") == 0 ? &settings->redis_key :
		strcmp(name, "format") == 0 ? &settings->format : NULL;
}

static void
read_server(const JsonbValue *v, OutboxSettings *settings)
{
	if (v->type != jbvString && v->type != jbvNull)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"server\" must be the name of a server, or null")));
	settings->has_server = true;
	settings->server = v->type == jbvNull ? NULL : outbox_jsonb_string(v);
}

static void
read_force(const JsonbValue *v, OutboxSettings *settings)
{
	if (v->type != jbvBool)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"server_force\" must be true or false")));
	settings->server_force = v->val.boolean;
}

static void
read_string(const char *name, const JsonbValue *v, const char **setting)
{
	if (v->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"%s\" must be a string", name)));
	*setting = outbox_jsonb_string(v);
}

OutboxSettings
outbox_read_settings(const struct varlena *given, bool alter)
{
	OutboxSettings settings = {0};
	JsonbIterator *it = outbox_begin_settings(given, "{\"payload_type\": \"text\"}");
	char	   *name;
	JsonbValue	value;

	while (outbox_next_setting(&it, &name, &value))
	{
		const char **string = string_setting(name, &settings);

		if (strcmp(name, "payload_type") == 0)
			read_payload_type(&value, &settings);
		else if (strcmp(name, "fields") == 0)
			read_fields(&value, &settings);
		else if (strcmp(name, "server") == 0)
			read_server(&value, &settings);
		else if (strcmp(name, "server_force") == 0 && alter)
			read_force(&value, &settings);
		else if (strcmp(name, "partitions") == 0)
			settings.partitions =
				(int) outbox_number_setting(name, &value, OUTBOX_MAX_PARTITIONS);
		else if (string != NULL && alter)
			read_string(name, &value, string);
		else
			outbox_unknown_setting(name,
								   string != NULL ? "It is an argument of outbox_create_queue()." :
								   alter ? "Settings are payload_type, fields, partitions, server, server_force, name, target, redis_key and format." :
								   "Settings are payload_type, fields, partitions and server.");
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
