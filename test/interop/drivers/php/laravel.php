<?php
// Copyright (c) 2026, the outbox developers
//
// Laravel's database component.
require 'Illuminate/Database/autoload.php';
require __DIR__ . '/cells.php';

use Illuminate\Database\Capsule\Manager;
use Illuminate\Database\QueryException;

restore_error_handler();
echo 'client illuminate/database ', trim(shell_exec("dpkg-query -W -f '\${Version}' php-illuminate-database")), "\n";

function ways($db): array
{
	$call = fn(string $sql, ?callable $convert = null) => fn(string $queue, $value) =>
		array_values((array)$db->selectOne($sql, [$queue, $convert ? $convert($value) : $value]))[0];
	return [
		'plain' => $call(PLAIN), 'json()' => $call(JSON), 'dumped' => $call(PLAIN, 'dumps'),
		'dumped json()' => $call(JSON, 'dumps'), 'as jsonb' => $call(cast('jsonb')),
		'as bytea' => $call(cast('bytea')), 'dumped many' => $call(MANY, 'listed'),
	];
}

$manager = new Manager();
foreach (['default', 'emulated@transaction'] as $mode) {
	[$port, $database] = host($mode);
	$manager->addConnection(['driver' => 'pgsql', 'host' => '127.0.0.1', 'port' => $port,
		'database' => $database, 'username' => 'postgres', 'password' => '', 'charset' => 'utf8',
		'options' => [PDO::ATTR_EMULATE_PREPARES => $mode !== 'default']], $mode);
	run($mode, ways($manager->getConnection($mode)),
		fn($e) => $e instanceof QueryException && $e->getCode() !== 'HY000' ? $e->getCode() : null);
}
