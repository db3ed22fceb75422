# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=bash
php_drivers()
{
	local name
	for name in pdo pgsql laravel doctrine; do
		wanted $name || continue
		if fetched need php; then program $name php "php/$name.php"; fi
	done
}
php_drivers
