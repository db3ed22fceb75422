<?php
// Copyright (c) 2026, the outbox developers
//
// Doctrine DBAL, with the types that it has.
require 'Doctrine/DBAL/autoload.php';
require __DIR__ . '/cells.php';

use Doctrine\DBAL\DriverManager;
use Doctrine\DBAL\Exception\DriverException;
use Doctrine\DBAL\ParameterType;

restore_error_handler();
echo 'client doctrine/dbal ', trim(shell_exec("dpkg-query -W -f '\${Version}' php-doctrine-dbal")), "\n";

function ways($db): array
{
	$call = fn(string $sql, $type = ParameterType::STRING, ?callable $convert = null) =>
		fn(string $queue, $value) => $db->fetchOne($sql, [$queue, $convert ? $convert($value) : $value],
			[ParameterType::STRING, $type]);
	$not_bytes = function ($value) {
		dumps($value);
		return $value;
	};
	return [
		'plain' => $call(PLAIN), 'json()' => $call(JSON), 'dumped' => $call(PLAIN, convert: 'dumps'),
		'dumped json()' => $call(JSON, convert: 'dumps'), "type 'json'" => $call(PLAIN, 'json', $not_bytes),
		"type 'json' json()" => $call(JSON, 'json', $not_bytes),
		'LARGE_OBJECT' => $call(PLAIN, ParameterType::LARGE_OBJECT),
		'BINARY' => $call(PLAIN, ParameterType::BINARY), 'as bytea BINARY' => $call(cast('bytea'), ParameterType::BINARY),
		'dumped many' => $call(MANY, convert: 'listed'),
	];
}

foreach (['pdo_pgsql', 'pgsql'] as $mode) {
	[$port, $database] = host($mode);
	try {
		$db = DriverManager::getConnection(['driver' => $mode, 'host' => '127.0.0.1', 'port' => $port,
			'dbname' => $database, 'user' => 'postgres']);
	} catch (Doctrine\DBAL\Exception $e) {
		continue;	// before 3.6 there is no driver pgsql
	}
	run($mode, ways($db), fn($e) => $e instanceof DriverException && $e->getSQLState() !== 'HY000' ? $e->getSQLState() : null);
}
