/*-------------------------------------------------------------------------
 *
 * message_args.c
 *	  Parts of a message, and arguments for a script.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Encoders read a message and append arguments; this file has what several of
 * them need for both.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/message_args.h"

#include "redis/resp.h"
#include "utils/builtins.h"

void
outbox_add_arg(OutboxArgs *args, const char *data, size_t len)
{
	outbox_resp_arg(&args->data, data, len);
	args->count++;
}

void
outbox_add_number(OutboxArgs *args, int64 n)
{
	char		buf[MAXINT8LEN + 1];

	outbox_add_arg(args, buf, pg_lltoa(n, buf));
}

bool
outbox_next_header(JsonbIterator **it, OutboxBytes *name, OutboxBytes *value)
{
	JsonbIteratorToken token;
	JsonbValue	v;

	while ((token = JsonbIteratorNext(it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			*name = outbox_utf8_bytes(v.val.string.val, v.val.string.len);
		if (token != WJB_VALUE)
			continue;
		*value = outbox_utf8_bytes(v.val.string.val, v.val.string.len);
		return true;
	}
	return false;
}

OutboxBytes
outbox_headers_json(const OutboxMessage *msg)
{
	Jsonb	   *jsonb;
	char	   *text;

	if (msg->headers == NULL)
		return (OutboxBytes) {"{}", 2};
	jsonb = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(msg->headers));
	text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	return outbox_utf8_bytes(text, strlen(text));
}

OutboxBytes
outbox_header(const OutboxMessage *msg, OutboxBytes name)
{
	Jsonb	   *jsonb;
	JsonbValue	key = {.type = jbvString};
	JsonbValue *v;

	if (msg->headers == NULL)
		return (OutboxBytes) {NULL, 0};
	jsonb = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(msg->headers));
	key.val.string.val = unconstify(char *, name.data);
	key.val.string.len = (int) name.len;
	v = findJsonbValueFromContainer(&jsonb->root, JB_FOBJECT, &key);
	if (v == NULL)
		return (OutboxBytes) {NULL, 0};
	return (OutboxBytes) {v->val.string.val, v->val.string.len};
}

OutboxBytes
outbox_text_option(const struct varlena *options, const char *name)
{
	OutboxBytes none = {NULL, 0};
	Jsonb	   *jsonb;
	JsonbValue	key = {.type = jbvString};
	JsonbValue *v;

	if (options == NULL)
		return none;
	jsonb = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(options));
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	v = findJsonbValueFromContainer(&jsonb->root, JB_FOBJECT, &key);
	if (v == NULL || v->type != jbvString)
		return none;
	return (OutboxBytes) {v->val.string.val, v->val.string.len};
}
