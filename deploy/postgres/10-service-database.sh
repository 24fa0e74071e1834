#!/bin/sh
# Makes the service's database and its two roles, by the one script that says how. PostgreSQL's image runs this when
# its data folder is new; running it again is harmless and sets the passwords to the ones given:
#   docker compose exec registry-db /docker-entrypoint-initdb.d/10-service-database.sh
set -eu

# Statements with passwords are never logged, not even when they fail.
export PGOPTIONS='-c log_statement=none -c log_min_error_statement=panic -c log_min_duration_statement=-1'

# \getenv and not -v: the arguments of a process are for everyone to read.
psql --no-psqlrc --quiet --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\set ON_ERROR_STOP on
\getenv database SERVICE_DATABASE
\getenv owner_password SERVICE_OWNER_PASSWORD
\getenv app_password SERVICE_APP_PASSWORD
\set owner :database _owner
\set app :database _app
\o /dev/null
\ir /usr/local/share/nno/service-database.sql
SQL
