# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=bash
ruby_drivers()
{
	local name
	for name in ruby-pg activerecord sequel; do
		wanted $name || continue
		if fetched need ruby; then program $name ruby "ruby/$name.rb"; fi
	done
}
ruby_drivers
