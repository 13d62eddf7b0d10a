"""The ledger's tables as they were before they had a version.

Where such a database exists already, this changes nothing.
"""

from alembic import op

revision = "0001"
down_revision = None

_TABLES = """
create schema if not exists sessions_platform;
create sequence if not exists sessions_platform.version;

create table if not exists sessions_platform.streams (stream text primary key, calendars jsonb not null);

create table if not exists sessions_platform.landing_files (
    stream text, uri text, landing_partition text not null,
    first_seen_at timestamptz not null default now(),
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
    contract_version text not null, policy_version text not null,
    run_id text not null, published_at timestamptz not null default now(),
    reference_digests jsonb not null default '{}', shape jsonb not null default '{"rows": 0, "fields": {}}'
);
create unique index if not exists landing_current
    on sessions_platform.landing_versions (stream, landing_partition) where is_current;

create table if not exists sessions_platform.session_versions (
    version bigint primary key default nextval('sessions_platform.version'),
    stream text not null, session_partition text not null, is_current boolean not null default false,
    path text not null, rows bigint not null, bytes bigint not null,
    duplicates_across bigint not null, conflicts_across bigint not null,
    first_event timestamptz, last_event timestamptz, longest_chain_seconds double precision not null,
    snapshot bigint not null, policy_version text not null,
    run_id text not null, written_at timestamptz not null default now(), loaded_at timestamptz
);
create unique index if not exists session_current
    on sessions_platform.session_versions (stream, session_partition) where is_current;
create index if not exists session_newest
    on sessions_platform.session_versions (stream, session_partition, version);

create table if not exists sessions_platform.waiting (
    stream text, session_partition text, version bigint,
    primary key (stream, session_partition, version)
);

create table if not exists sessions_platform.replayed (
    stream text, rejection_id text, payload_digest text,
    landing_partition text not null, uri text not null, position bigint not null,
    root_id text not null, root_uri text not null, root_position bigint not null,
    sequence bigint not null default nextval('sessions_platform.version'),
    run_id text not null, replayed_at timestamptz not null default now(),
    primary key (stream, rejection_id, payload_digest)
);
create index if not exists replayed_in on sessions_platform.replayed (stream, landing_partition);
create index if not exists replayed_of on sessions_platform.replayed (stream, root_id);
"""


def upgrade() -> None:
    """Make the tables that are missing."""
    op.execute(_TABLES)
