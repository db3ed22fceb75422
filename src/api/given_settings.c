/*-------------------------------------------------------------------------
 *
 * given_settings.c
 *	  The argument "settings" of functions: an object, member by member.
 *
 * Copyright (c) 2026, the outbox developers
 *
 *-------------------------------------------------------------------------
 */
#include "api/given_settings.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

JsonbIterator *
outbox_begin_members(JsonbContainer *object)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbValue	begin;

	(void) JsonbIteratorNext(&it, &begin, true);
	return it;
}

JsonbIterator *
outbox_begin_settings(const struct varlena *given, const char *example)
{
	Jsonb	   *jsonb;

	if (given == NULL)
		return NULL;
	jsonb = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(given));
	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("settings must be an object"),
				 errhint("For example settings => '%s'.", example)));
	return outbox_begin_members(&jsonb->root);
}

bool
outbox_next_setting(JsonbIterator **it, char **name, JsonbValue *value)
{
	JsonbValue	key;

	if (*it == NULL || JsonbIteratorNext(it, &key, true) != WJB_KEY)
		return false;
	*name = outbox_jsonb_string(&key);
	(void) JsonbIteratorNext(it, value, true);
	return true;
}

char *
outbox_jsonb_string(const JsonbValue *v)
{
	return pnstrdup(v->val.string.val, v->val.string.len);
}

bool
outbox_boolean_setting(const char *name, const JsonbValue *v)
{
	if (v->type != jbvBool)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"%s\" must be true or false", name)));
	return v->val.boolean;
}

int64
outbox_number_setting(const char *name, const JsonbValue *v, int64 most)
{
	int64		n = 0;

	if (v->type == jbvNumeric && !numeric_is_nan(v->val.numeric) &&
		!numeric_is_inf(v->val.numeric) &&
		DatumGetBool(DirectFunctionCall2(numeric_le, NumericGetDatum(v->val.numeric),
										 NumericGetDatum(int64_to_numeric(most)))))
		n = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(v->val.numeric)));
	if (n < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"%s\" must be a number from 1 to " INT64_FORMAT,
						name, most)));
	return n;
}

void
outbox_unknown_setting(const char *name, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown setting \"%s\"", name),
			 errhint("%s", hint)));
}
