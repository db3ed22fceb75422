# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=bash
python_drivers()
{
	local name wants=()
	for name in psycopg2 psycopg asyncpg pg8000 sqlalchemy django; do
		if wanted $name; then wants+=("$name"); fi
	done
	((${#wants[@]})) || return 0
	venv psycopg2-binary==2.9.13 psycopg==3.3.9 psycopg-binary==3.3.9 asyncpg==0.32.0 \
		pg8000==1.31.6 SQLAlchemy==2.1.9 Django==5.2.19
	for name in "${wants[@]}"; do
		program $name python "python/use_$name.py"
	done
}
python_drivers
