"""The tables of the ledger, as SQL."""

import psycopg

from sessions_platform.storage.postgres.database import lock

_TABLES = """
create schema if not exists sessions_platform;
create sequence if not exists sessions_platform.version;

-- What partition keys mean; under another meaning none of the rows below could be understood.
create table if not exists sessions_platform.streams (stream text primary key, calendars jsonb not null);

create table if not exists sessions_platform.landing_files (
    stream text, uri text, landing_partition text not null,
    first_seen_at timestamptz not null default now(),
    -- what was last read of it; null until it was
    fingerprint text, digest text, path text, rows bigint, bytes bigint,
    sequence bigint, run_id text, read_at timestamptz,
    primary key (stream, uri)
);
create index if not exists landing_files_of on sessions_platform.landing_files (stream, landing_partition);

create table if not exists sessions_platform.landing_versions (
    version bigint primary key,
    stream text not null, landing_partition text not null, is_current boolean not null,
    raw_sequence bigint not null, raw_files jsonb not null,
    events_path text not null, rejected_path text not null,
    raw_rows bigint not null, accepted bigint not null, rejected bigint not null, duplicates bigint not null,
    rejected_by_reason jsonb not null,
    first_event timestamptz, last_event timestamptz,
    contract_version text not null, session_rule_version text not null, -- what it touches was told by this rule
    run_id text not null, published_at timestamptz not null default now(),
    -- which state of each column's reference its rows were judged against, and which fields they had
    reference_digests jsonb not null default '{}', observed_schema jsonb not null default '{"rows": 0, "fields": {}}'
);
create unique index if not exists landing_current
    on sessions_platform.landing_versions (stream, landing_partition) where is_current;

create table if not exists sessions_platform.session_versions (
    version bigint primary key default nextval('sessions_platform.version'),
    stream text not null, session_partition text not null, is_current boolean not null default false,
    path text not null, rows bigint not null, bytes bigint not null,
    duplicates_across bigint not null, conflicts_across bigint not null,
    first_event timestamptz, last_event timestamptz, longest_activity_chain_seconds double precision not null,
    snapshot bigint not null, session_rule_version text not null,
    run_id text not null, written_at timestamptz not null default now(), loaded_at timestamptz
);
create unique index if not exists session_current
    on sessions_platform.session_versions (stream, session_partition) where is_current;
create index if not exists session_newest
    on sessions_platform.session_versions (stream, session_partition, version);

-- A change of accepted events, and a session partition that it touches, until a refresh that
-- has seen the change is loaded.
create table if not exists sessions_platform.stale_partitions (
    stream text, session_partition text, version bigint,
    primary key (stream, session_partition, version)
);

-- A rejected row that was mended, and the raw row that was written in its stead. A mend may be mended
-- again, so the root tells which row of a landing file it all began with. A later mend has a higher sequence.
create table if not exists sessions_platform.repairs (
    stream text, rejection_id text, payload_digest text,
    landing_partition text not null, uri text not null, position bigint not null,
    original_id text not null, original_uri text not null, original_position bigint not null,
    sequence bigint not null default nextval('sessions_platform.version'),
    run_id text not null, replayed_at timestamptz not null default now(),
    primary key (stream, rejection_id, payload_digest)
);
create index if not exists repairs_in on sessions_platform.repairs (stream, landing_partition);
create index if not exists repairs_of on sessions_platform.repairs (stream, original_id);

-- Where each source goes on reading: the position is the source's own, and is stored together with the slice.
create table if not exists sessions_platform.source_cursors (
    stream text, name text, position jsonb not null,
    run_id text not null, updated_at timestamptz not null default now(),
    primary key (stream, name)
);

-- What was last delivered to a warehouse besides this database. A delivery of the same digest changes nothing.
create table if not exists sessions_platform.deliveries (
    stream text, target text, session_partition text, version bigint not null, digest text not null,
    run_id text not null, delivered_at timestamptz not null default now(),
    primary key (stream, target, session_partition)
);
"""


def make_tables(connection: psycopg.Connection) -> None:
    """Make them where they are missing; many may do so at once."""
    if connection.execute("select to_regclass('sessions_platform.deliveries')").fetchone() == (None,):
        lock(connection, "sessions_platform")
        connection.execute(_TABLES)
