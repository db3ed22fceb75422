<?php
// Copyright (c) 2026, the outbox developers
//
// What the programs for PHP share: see ../run for what they print.

const PLAIN = 'SELECT outbox_enqueue(?, ?)';
const JSON = 'SELECT outbox_enqueue_json(?, ?)';
const MANY = 'SELECT (outbox_enqueue_many(?, ?))[1]';

function cast(string $type): string
{
	return "SELECT outbox_enqueue(?, CAST(? AS $type))";
}

class NoWay extends Exception
{
}

const VALUES = [
	'string' => 'hé "llo"', 'digits' => '123', 'object' => ['a' => 1, 'b' => 'é'],
	'array' => [1, 2], 'words' => ['a', 'b'], 'empty' => [], 'bytes' => "\x00\xff{",
	'document' => '{"a": 1}', 'null' => null, 'number' => 42, 'true' => true,
];

// what a string is only the program knows
function dumps($value): string
{
	if ($value === VALUES['bytes'] || $value === VALUES['document'])
		throw new NoWay();
	return json_encode($value);
}

function listed($value): string
{
	dumps($value);
	return json_encode([$value]);
}

function host(string $mode): array
{
	$bouncer = explode('@', $mode)[1] ?? null;
	return [$bouncer ? getenv('BOUNCER_PORT') : getenv('PGPORT'), $bouncer ?? getenv('PGDATABASE')];
}

// a warning isn't an error, and what is sent then is what it says
set_error_handler(function (int $number, string $message) {
	throw new ErrorException($message);
});

function run(string $mode, array $ways, callable $sqlstate): void
{
	foreach ($ways as $way => $call)
		foreach (VALUES as $name => $value)
			foreach (['json', 'text', 'bytea'] as $queue) {
				try {
					$result = ['id', $call($queue, $value)];
				} catch (NoWay $e) {
					$result = ['none'];
				} catch (Throwable $e) {
					$state = $sqlstate($e);
					$said = substr(preg_replace('/\s+/', ' ', $e->getMessage()), 0, 200);
					$result = $state ? ['server', $state, $said] : ['driver', get_class($e), $said];
				}
				echo implode("\t", [$mode, $way, $name, $queue, ...$result]), "\n";
			}
}
