#!/bin/sh
# Two databases and three logins, none of which owns more than it has to; when the server's volume is first used.
set -eu
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  --set dagster="$DAGSTER_PASSWORD" <<'SQL'
create role dagster login password :'dagster';
create database dagster owner dagster encoding 'UTF8' template template0;
revoke connect on database dagster from public;
create database sessions encoding 'UTF8' template template0;
revoke connect on database sessions from public;
SQL
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname sessions --file "${ROLES:-/roles.sql}"
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname sessions \
  --set etl="$ETL_PASSWORD" --set dashboards="$DASHBOARDS_PASSWORD" <<'SQL'
create role etl login password :'etl' in role sessions_loader;
create role dashboards login password :'dashboards' in role sessions_reader;
SQL
