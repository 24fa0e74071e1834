#!/bin/sh
# Creates the service's database and its two roles with service-database.sql. PostgreSQL's image runs this script when its
# data folder is new. Running it again is harmless and sets the passwords to the given ones:
#   docker compose exec registry-db /docker-entrypoint-initdb.d/10-service-database.sh
set -eu

# Statements with passwords are never logged, not even when they fail.
export PGOPTIONS='-c log_statement=none -c log_min_error_statement=panic -c log_min_duration_statement=-1'

# \getenv instead of -v: other users can read the arguments of a process.
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
