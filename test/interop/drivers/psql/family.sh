# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=bash
# psql: a variable as a quoted literal.  What is no text, it can't have.
psql_cells()
{
	local way statement name queue value
	echo "client $(psql --version)"
	while IFS=$'\t' read -r way statement; do
		while IFS=$'\t' read -r name value; do
			for queue in json text bytea; do
				psql_cell
			done
		done <<-'VALUES'
			string	hé "llo"
			digits	123
			object	{"a": 1, "b": "é"}
			array	[1, 2]
			words	["a", "b"]
			empty	[]
			bytes	-
			document	{"a": 1}
			null	-
			number	42
			true	true
		VALUES
	done <<-'WAYS'
		:'p'	SELECT outbox_enqueue(:'q', :'p')
		:'p' json()	SELECT outbox_enqueue_json(:'q', :'p')
		:'p' ::jsonb	SELECT outbox_enqueue(:'q', :'p'::jsonb)
		to_jsonb	SELECT outbox_enqueue(:'q', to_jsonb(:'p'::text))
		convert_to	SELECT outbox_enqueue(:'q', convert_to(:'p', 'UTF8'))
		many	SELECT (outbox_enqueue_many(:'q', jsonb_build_array(:'p'::jsonb)))[1]
	WAYS
}

psql_cell()
{
	local said state
	[[ $value != - && ($way != to_jsonb || $name == string || $name == digits) ]] ||
		{ printf 'variables\t%s\t%s\t%s\tnone\n' "$way" "$name" "$queue"; return; }
	if said=$(psql -qAt -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -v q="$queue" -v p="$value" 2>&1 <<<"$statement;"); then
		printf 'variables\t%s\t%s\t%s\tid\t%s\n' "$way" "$name" "$queue" "$said"
	else
		state=$(sed -n 's/.*ERROR:  \([0-9A-Z]\{5\}\): .*/\1/p' <<<"$said")
		printf 'variables\t%s\t%s\t%s\tserver\t%s\t%s\n' "$way" "$name" "$queue" "$state" "${said//$'\n'/ }"
	fi
}
if wanted psql; then program psql psql_cells; fi
