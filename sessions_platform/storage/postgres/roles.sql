-- The database roles of the sessions platform, in the database that this is run in. Running it again changes nothing.
--
--     psql "$SESSIONS_WAREHOUSE_URL" -f roles.sql     as a role that may create roles and owns the database
--
-- sessions_owner   owns the platform's schemas and tables. It creates and changes them.
-- sessions_loader  reads and changes rows. It takes on sessions_owner where a table is created or changed.
-- sessions_reader  reads, and nothing else.
--
-- None of them may log in by itself. Logins are made by an administrator:
--
--     create role etl login password '…' in role sessions_loader;           SESSIONS_WAREHOUSE_URL
--     create role dashboards login password '…' in role sessions_reader;    SESSIONS_READER_URL

do $roles$
declare
    role_name text;
begin
    foreach role_name in array array['sessions_owner', 'sessions_loader', 'sessions_reader'] loop
        if not exists (select from pg_roles where rolname = role_name) then
            execute format('create role %I nologin', role_name);
        end if;
    end loop;
    if current_setting('server_version_num')::int >= 160000 then
        grant sessions_owner to sessions_loader with inherit false, set true;
    else
        alter role sessions_loader noinherit;
        grant sessions_owner to sessions_loader;
    end if;
    -- Whoever is no superuser has to be a member to give tables away, and to read as the reader does.
    if not (select rolsuper from pg_roles where rolname = current_user) then
        execute format('grant sessions_owner, sessions_reader to %I', current_user);
    end if;
    execute format('grant connect, create, temporary on database %I to sessions_owner', current_database());
    execute format('grant connect, temporary on database %I to sessions_loader', current_database());
    execute format('grant connect on database %I to sessions_reader', current_database());
end
$roles$;

alter default privileges for role sessions_owner grant usage on schemas to sessions_loader, sessions_reader;
alter default privileges for role sessions_owner grant select on tables to sessions_reader;
alter default privileges for role sessions_owner
    grant select, insert, update, delete, truncate on tables to sessions_loader;
alter default privileges for role sessions_owner grant usage, select on sequences to sessions_loader;

-- What exists already: the schemas of the ledger and of the streams, and all that is in them.
do $existing$
declare
    schemas text[] := array['sessions_platform'];
    object record;
begin
    if to_regclass('sessions_platform.streams') is not null then
        schemas := schemas || array(select stream from sessions_platform.streams);
    end if;
    for object in select nspname from pg_namespace where nspname = any(schemas) loop
        execute format('alter schema %I owner to sessions_owner', object.nspname);
        execute format('grant usage on schema %I to sessions_loader, sessions_reader', object.nspname);
    end loop;
    -- Indexes follow their table, and so do sequences that belong to a column.
    for object in
        select c.oid::regclass as name, c.relkind
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = any(schemas) and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
        order by c.relkind = 'S', c.oid
    loop
        if object.relkind <> 'S' then
            execute format('alter table %s owner to sessions_owner', object.name);
            execute format('grant select on table %s to sessions_reader', object.name);
            execute format('grant select, insert, update, delete, truncate on table %s to sessions_loader', object.name);
        else
            execute format('grant usage, select on sequence %s to sessions_loader', object.name);
        end if;
    end loop;
end
$existing$;
