<?php
// Copyright (c) 2026, the outbox developers
//
// The functions of PHP's extension pgsql.
require __DIR__ . '/cells.php';

echo 'client php pgsql ', phpversion('pgsql'), "\n";

class Refused extends Exception
{
}

function ways($c): array
{
	$call = fn(string $sql, ?callable $convert = null) =>
		function (string $queue, $value) use ($c, $sql, $convert) {
			$payload = $convert ? $convert($value) : $value;
			$sql = vsprintf(str_replace('?', '$%d', $sql), [1, 2]);
			if (!pg_send_query_params($c, $sql, [$queue, $payload]))
				throw new Exception(pg_last_error($c));
			for ($result = pg_get_result($c); $next = pg_get_result($c); $result = $next);
			$state = pg_result_error_field($result, PGSQL_DIAG_SQLSTATE);
			if ($state)
				throw new Refused($state . ' ' . pg_result_error($result));
			return pg_fetch_result($result, 0, 0);
		};
	return [
		'plain' => $call(PLAIN), 'json()' => $call(JSON), 'dumped' => $call(PLAIN, 'dumps'),
		'dumped json()' => $call(JSON, 'dumps'), 'as jsonb' => $call(cast('jsonb')),
		'as bytea' => $call(cast('bytea')),
		'pg_escape_bytea' => $call(PLAIN, fn($v) => is_string($v) ? pg_escape_bytea($c, $v) : throw new NoWay()),
		'dumped many' => $call(MANY, 'listed'),
	];
}

foreach (['params', 'params@transaction', 'params@statement'] as $mode) {
	[$port, $database] = host($mode);
	$c = pg_connect("host=127.0.0.1 port=$port dbname=$database user=postgres");
	run($mode, ways($c), fn($e) => $e instanceof Refused ? substr($e->getMessage(), 0, 5) : null);
}
