<?php
// Copyright (c) 2026, the outbox developers
//
// PDO: statements that the server prepares, and emulated ones (literals).
require __DIR__ . '/cells.php';

echo 'client PDO pgsql ', phpversion('pdo_pgsql'), "\n";

function ways(PDO $pdo): array
{
	$call = fn(string $sql, ?callable $convert = null, ?int $type = null) =>
		function (string $queue, $value) use ($pdo, $sql, $convert, $type) {
			$payload = $convert ? $convert($value) : $value;
			$statement = $pdo->prepare($sql);
			if ($type === null) {
				$statement->execute([$queue, $payload]);
			} else {
				$statement->bindValue(1, $queue);
				$statement->bindValue(2, $payload, $type);
				$statement->execute();
			}
			return $statement->fetchColumn();
		};
	return [
		'plain' => $call(PLAIN), 'json()' => $call(JSON), 'dumped' => $call(PLAIN, 'dumps'),
		'dumped json()' => $call(JSON, 'dumps'), 'PARAM_LOB' => $call(PLAIN, null, PDO::PARAM_LOB),
		'PARAM_INT' => $call(PLAIN, fn($v) => is_int($v) ? $v : throw new NoWay(), PDO::PARAM_INT),
		'PARAM_BOOL' => $call(PLAIN, fn($v) => is_bool($v) ? $v : throw new NoWay(), PDO::PARAM_BOOL),
		'as jsonb' => $call(cast('jsonb')), 'as text' => $call(cast('text')),
		'as bytea' => $call(cast('bytea')),
		'as bytea PARAM_LOB' => $call(cast('bytea'), null, PDO::PARAM_LOB),
		'dumped many' => $call(MANY, 'listed'),
	];
}

foreach (['prepared', 'emulated', 'direct', 'emulated@transaction', 'direct@transaction', 'emulated@statement'] as $mode) {
	[$port, $database] = host($mode);
	$pdo = new PDO("pgsql:host=127.0.0.1;port=$port;dbname=$database", 'postgres', '', [
		PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
		PDO::ATTR_EMULATE_PREPARES => str_starts_with($mode, 'emulated'),
		PDO::PGSQL_ATTR_DISABLE_PREPARES => str_starts_with($mode, 'direct'),
	]);
	run($mode, ways($pdo), fn($e) => $e instanceof PDOException && $e->getCode() !== 'HY000' ? $e->getCode() : null);
}
