SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA sessions_platform;
CREATE SCHEMA shop;
CREATE SCHEMA web_shop;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE sessions_platform.landing_files (
    stream text NOT NULL,
    uri text NOT NULL,
    landing_partition text NOT NULL,
    first_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    fingerprint text,
    digest text,
    path text,
    rows bigint,
    bytes bigint,
    sequence bigint,
    run_id text,
    read_at timestamp with time zone
);
CREATE TABLE sessions_platform.landing_versions (
    version bigint NOT NULL,
    stream text NOT NULL,
    landing_partition text NOT NULL,
    is_current boolean NOT NULL,
    raw_sequence bigint NOT NULL,
    raw_files jsonb NOT NULL,
    events_path text NOT NULL,
    rejected_path text NOT NULL,
    raw_rows bigint NOT NULL,
    accepted bigint NOT NULL,
    rejected bigint NOT NULL,
    duplicates bigint NOT NULL,
    rejected_by_reason jsonb NOT NULL,
    first_event timestamp with time zone,
    last_event timestamp with time zone,
    contract_version text NOT NULL,
    policy_version text NOT NULL,
    run_id text NOT NULL,
    published_at timestamp with time zone DEFAULT now() NOT NULL,
    reference_digests jsonb DEFAULT '{}'::jsonb NOT NULL,
    shape jsonb DEFAULT '{"rows": 0, "fields": {}}'::jsonb NOT NULL
);
CREATE SEQUENCE sessions_platform.version
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE sessions_platform.replayed (
    stream text NOT NULL,
    rejection_id text NOT NULL,
    payload_digest text NOT NULL,
    landing_partition text NOT NULL,
    uri text NOT NULL,
    "position" bigint NOT NULL,
    root_id text NOT NULL,
    root_uri text NOT NULL,
    root_position bigint NOT NULL,
    sequence bigint DEFAULT nextval('sessions_platform.version'::regclass) NOT NULL,
    run_id text NOT NULL,
    replayed_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE sessions_platform.session_versions (
    version bigint DEFAULT nextval('sessions_platform.version'::regclass) NOT NULL,
    stream text NOT NULL,
    session_partition text NOT NULL,
    is_current boolean DEFAULT false NOT NULL,
    path text NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    duplicates_across bigint NOT NULL,
    conflicts_across bigint NOT NULL,
    first_event timestamp with time zone,
    last_event timestamp with time zone,
    longest_chain_seconds double precision NOT NULL,
    snapshot bigint NOT NULL,
    policy_version text NOT NULL,
    run_id text NOT NULL,
    written_at timestamp with time zone DEFAULT now() NOT NULL,
    loaded_at timestamp with time zone
);
CREATE TABLE sessions_platform.streams (
    stream text NOT NULL,
    calendars jsonb NOT NULL
);
CREATE TABLE sessions_platform.waiting (
    stream text NOT NULL,
    session_partition text NOT NULL,
    version bigint NOT NULL
);
CREATE TABLE shop.rejected_events (
    rejection_id text NOT NULL,
    landing_partition text,
    source_uri text,
    "position" bigint,
    payload text,
    payload_encoding text,
    reasons jsonb,
    contract_version text,
    rejected_at timestamp with time zone,
    run_id text
)
WITH (fillfactor='100');
CREATE TABLE shop.rejection_decisions (
    decision_id bigint NOT NULL,
    rejection_id text NOT NULL,
    status text NOT NULL,
    because text NOT NULL,
    decided_by text NOT NULL,
    replacement_uri text,
    replacement_position bigint,
    decided_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT rejection_decisions_status_check CHECK ((status = ANY (ARRAY['open'::text, 'resolved'::text, 'discarded'::text, 'expired'::text])))
);
CREATE VIEW shop.dead_letters AS
 SELECT t.rejection_id,
    t.landing_partition,
    t.source_uri,
    t."position",
    t.payload,
    t.payload_encoding,
    t.reasons,
    t.contract_version,
    t.rejected_at,
    t.run_id,
    COALESCE(d.status, 'open'::text) AS status,
    d.because,
    d.decided_by,
    d.decided_at,
    d.replacement_uri,
    d.replacement_position
   FROM (shop.rejected_events t
     LEFT JOIN LATERAL ( SELECT rejection_decisions.decision_id,
            rejection_decisions.rejection_id,
            rejection_decisions.status,
            rejection_decisions.because,
            rejection_decisions.decided_by,
            rejection_decisions.replacement_uri,
            rejection_decisions.replacement_position,
            rejection_decisions.decided_at
           FROM shop.rejection_decisions
          WHERE (rejection_decisions.rejection_id = t.rejection_id)
          ORDER BY rejection_decisions.decision_id DESC
         LIMIT 1) d ON (true));
COMMENT ON VIEW shop.dead_letters IS 'The dead-letter queue: rejected rows with what was decided about them. Columns: rejection_id, landing_partition, source_uri, position, payload, payload_encoding, reasons, contract_version, rejected_at, run_id.';
CREATE TABLE shop.loaded_partitions (
    session_partition text NOT NULL,
    digest text,
    written_by text
)
WITH (fillfactor='100');
CREATE VIEW shop.rejected_by_day AS
 SELECT ("left"(t.landing_partition, 10))::date AS day,
    (reason.value ->> 'code'::text) AS code,
    count(DISTINCT t.rejection_id) AS rows
   FROM shop.rejected_events t,
    LATERAL jsonb_array_elements(t.reasons) reason(value)
  GROUP BY ("left"(t.landing_partition, 10))::date, (reason.value ->> 'code'::text);
COMMENT ON VIEW shop.rejected_by_day IS 'Rejected rows by day of landing and by reason. A row counts once under each of its codes.';
ALTER TABLE shop.rejection_decisions ALTER COLUMN decision_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME shop.rejection_decisions_decision_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE shop.repeated_event_ids (
    user_id text,
    event_timestamp timestamp with time zone,
    event_id text,
    landing_partition text,
    source_uri text,
    "position" bigint
)
WITH (fillfactor='100');
CREATE TABLE shop.session_changes (
    session_id text,
    change text,
    successor_id text,
    session_partition text,
    run_id text,
    changed_at timestamp with time zone
)
WITH (fillfactor='100');
CREATE TABLE shop.sessions (
    session_id text NOT NULL,
    user_id text,
    session_start timestamp with time zone,
    session_end timestamp with time zone,
    duration_seconds double precision,
    event_count bigint,
    primary_action text,
    entry_page text,
    exit_page text,
    spent bigint,
    session_partition text,
    policy_version text,
    open_until timestamp with time zone,
    loaded_at timestamp with time zone DEFAULT now()
)
WITH (fillfactor='66');
CREATE VIEW shop.sessions_now AS
 SELECT COALESCE((newest.event <= t.open_until), false) AS is_open,
    (t.session_start = own.first) AS is_first,
    t.session_id,
    t.user_id,
    t.session_start,
    t.session_end,
    t.duration_seconds,
    t.event_count,
    t.primary_action,
    t.entry_page,
    t.exit_page,
    t.spent,
    t.session_partition,
    t.policy_version,
    t.open_until,
    t.loaded_at
   FROM ((shop.sessions t
     CROSS JOIN ( SELECT max(landing_versions.last_event) AS event
           FROM sessions_platform.landing_versions
          WHERE ((landing_versions.stream = 'shop'::text) AND landing_versions.is_current)) newest)
     LEFT JOIN ( SELECT sessions.user_id,
            min(sessions.session_start) AS first
           FROM shop.sessions
          GROUP BY sessions.user_id) own ON ((own.user_id = t.user_id)));
COMMENT ON VIEW shop.sessions_now IS 'Sessions; open while the stream''s newest event is not after open_until, first where the user has none before. Columns: session_id, user_id, session_start, session_end, duration_seconds, event_count, primary_action, entry_page, exit_page, spent, session_partition, policy_version.';
CREATE TABLE web_shop.rejected_events (
    rejection_id text NOT NULL,
    landing_partition text,
    source_uri text,
    "position" bigint,
    payload text,
    payload_encoding text,
    reasons jsonb,
    contract_version text,
    rejected_at timestamp with time zone,
    run_id text
)
WITH (fillfactor='100');
CREATE TABLE web_shop.rejection_decisions (
    decision_id bigint NOT NULL,
    rejection_id text NOT NULL,
    status text NOT NULL,
    because text NOT NULL,
    decided_by text NOT NULL,
    replacement_uri text,
    replacement_position bigint,
    decided_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT rejection_decisions_status_check CHECK ((status = ANY (ARRAY['open'::text, 'resolved'::text, 'discarded'::text, 'expired'::text])))
);
CREATE VIEW web_shop.dead_letters AS
 SELECT t.rejection_id,
    t.landing_partition,
    t.source_uri,
    t."position",
    t.payload,
    t.payload_encoding,
    t.reasons,
    t.contract_version,
    t.rejected_at,
    t.run_id,
    COALESCE(d.status, 'open'::text) AS status,
    d.because,
    d.decided_by,
    d.decided_at,
    d.replacement_uri,
    d.replacement_position
   FROM (web_shop.rejected_events t
     LEFT JOIN LATERAL ( SELECT rejection_decisions.decision_id,
            rejection_decisions.rejection_id,
            rejection_decisions.status,
            rejection_decisions.because,
            rejection_decisions.decided_by,
            rejection_decisions.replacement_uri,
            rejection_decisions.replacement_position,
            rejection_decisions.decided_at
           FROM web_shop.rejection_decisions
          WHERE (rejection_decisions.rejection_id = t.rejection_id)
          ORDER BY rejection_decisions.decision_id DESC
         LIMIT 1) d ON (true));
COMMENT ON VIEW web_shop.dead_letters IS 'The dead-letter queue: rejected rows with what was decided about them. Columns: rejection_id, landing_partition, source_uri, position, payload, payload_encoding, reasons, contract_version, rejected_at, run_id.';
CREATE TABLE web_shop.loaded_partitions (
    session_partition text NOT NULL,
    digest text,
    written_by text
)
WITH (fillfactor='100');
CREATE VIEW web_shop.rejected_by_day AS
 SELECT ("left"(t.landing_partition, 10))::date AS day,
    (reason.value ->> 'code'::text) AS code,
    count(DISTINCT t.rejection_id) AS rows
   FROM web_shop.rejected_events t,
    LATERAL jsonb_array_elements(t.reasons) reason(value)
  GROUP BY ("left"(t.landing_partition, 10))::date, (reason.value ->> 'code'::text);
COMMENT ON VIEW web_shop.rejected_by_day IS 'Rejected rows by day of landing and by reason. A row counts once under each of its codes.';
ALTER TABLE web_shop.rejection_decisions ALTER COLUMN decision_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME web_shop.rejection_decisions_decision_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE web_shop.repeated_event_ids (
    user_id text,
    event_timestamp timestamp with time zone,
    event_id text,
    landing_partition text,
    source_uri text,
    "position" bigint
)
WITH (fillfactor='100');
CREATE TABLE web_shop.session_changes (
    session_id text,
    change text,
    successor_id text,
    session_partition text,
    run_id text,
    changed_at timestamp with time zone
)
WITH (fillfactor='100');
CREATE TABLE web_shop.sessions (
    session_id text NOT NULL,
    user_id text,
    session_start timestamp with time zone,
    session_end timestamp with time zone,
    duration_seconds double precision,
    event_count bigint,
    primary_action text,
    entry_page text,
    exit_page text,
    total_amount double precision,
    landing_page text,
    pages bigint,
    session_partition text,
    policy_version text,
    open_until timestamp with time zone,
    loaded_at timestamp with time zone DEFAULT now()
)
WITH (fillfactor='66');
CREATE VIEW web_shop.sessions_now AS
 SELECT COALESCE((newest.event <= t.open_until), false) AS is_open,
    (t.session_start = own.first) AS is_first,
    t.session_id,
    t.user_id,
    t.session_start,
    t.session_end,
    t.duration_seconds,
    t.event_count,
    t.primary_action,
    t.entry_page,
    t.exit_page,
    t.total_amount,
    t.landing_page,
    t.pages,
    t.session_partition,
    t.policy_version,
    t.open_until,
    t.loaded_at
   FROM ((web_shop.sessions t
     CROSS JOIN ( SELECT max(landing_versions.last_event) AS event
           FROM sessions_platform.landing_versions
          WHERE ((landing_versions.stream = 'web_shop'::text) AND landing_versions.is_current)) newest)
     LEFT JOIN ( SELECT sessions.user_id,
            min(sessions.session_start) AS first
           FROM web_shop.sessions
          GROUP BY sessions.user_id) own ON ((own.user_id = t.user_id)));
COMMENT ON VIEW web_shop.sessions_now IS 'Sessions; open while the stream''s newest event is not after open_until, first where the user has none before. Columns: session_id, user_id, session_start, session_end, duration_seconds, event_count, primary_action, entry_page, exit_page, total_amount, landing_page, pages, session_partition, policy_version.';
INSERT INTO sessions_platform.landing_files VALUES
	('shop', 'landing/2026-03-01/one-7f6373d9c95c.ndjson', '2026-03-01', '2026-11-28 10:45:21.023719+00', '827-1795862710196758049-1795862710196758049-10152173', '7f6373d9c95cac04288654f03d7a7a198a5fc33ceb99e8bd724f2d27bce45866', 'shop/raw_events/2026-03-01/0e0ed89617914afe90de990cf9e8c759.parquet', 10, 3615, 1, 'de8417ed-856c-4526-a277-fc5fd45e6480', '2026-11-28 10:45:21.131711+00'),
	('shop', 'landing/2026-03-02/two-b08a8b39adfa.ndjson', '2026-03-02', '2026-11-28 10:45:54.891712+00', '417-1795862745271295940-1795862745271295940-10158850', 'b08a8b39adfae600fe67a940147458e31d62020302e5c9deb0dbc7eb059440c8', 'shop/raw_events/2026-03-02/b55a11171f504963adc2797983377e89.parquet', 5, 3697, 4, 'b45378cf-d6fd-4851-adf5-d9509c9caf81', '2026-11-28 10:45:54.935943+00'),
	('shop', 'landing/2026-03-02/late-71352ec75cd3.ndjson', '2026-03-02', '2026-11-28 10:46:22.529223+00', '90-1795862773517240169-1795862773517240169-10158674', '71352ec75cd3b08718a8607481dc4acdfac493898fc80c2d869a0ee2f7b1e014', 'shop/raw_events/2026-03-02/444bd8e7079845b1a5d3fa38b9e7f2b3.parquet', 1, 3613, 8, '150b0bf7-7e2e-430f-989d-aa3e6bb6ff69', '2026-11-28 10:46:22.619723+00'),
	('shop', 'landing/2026-03-02/broken-7ac8209dc25b.ndjson.gz', '2026-03-02', '2026-11-28 10:46:51.159719+00', '112-1795862801797592193-1795862801797592193-10158691', '7ac8209dc25bc4e19cf49a1cdbea55761b4a1b2a3199369d4edb58b29526bcbe', 'shop/raw_events/2026-03-02/970cda28794a4ffe931c49259b36d4b9.parquet', 4, 4178, 11, '93badd84-7829-4f8b-87a1-959cdaf32355', '2026-11-28 10:46:51.271711+00'),
	('shop', 'replay:17b07b2c5fc2bcb7c4ddacbfd49fe024', '2026-03-01', '2026-11-28 10:47:21.779714+00', 'replay', '17b07b2c5fc2bcb7c4ddacbfd49fe024345254e7c5d5386119f68407069a6ce2', 'shop/raw_events/2026-03-01/73051e148c97413a86814032f82c0b52.parquet', 2, 3604, 14, 'command line 149d1841-3ab7-4e6e-b14c-178ba44b4605', '2026-11-28 10:47:21.779714+00'),
	('shop', 'landing/2026-03-02/three.ndjson', '2026-03-02', '2026-11-28 10:47:50.456338+00', '86-1795862870271318351-1795862870271318351-10160096', '6e7e67ce2df708644912d16b4d9ca2cba06fcd2ededc7d25bb1d555c53ac0e7c', 'shop/raw_events/2026-03-02/dd95fa562d1d4256831521585ec2bc85.parquet', 1, 3499, 19, 'a run', '2026-11-28 10:47:50.494454+00');
INSERT INTO sessions_platform.landing_versions VALUES
	(5, 'shop', '2026-03-02', false, 4, '[{"uri": "landing/2026-03-02/two-b08a8b39adfa.ndjson", "path": "shop/raw_events/2026-03-02/b55a11171f504963adc2797983377e89.parquet", "digest": "b08a8b39adfae600fe67a940147458e31d62020302e5c9deb0dbc7eb059440c8"}]', 'shop/events/2026-03-02/701b3ab0a0eb4e349a2be15073e2ddf0.parquet', 'shop/rejected_events/2026-03-02/972782df711845529792dad5a81caf77.parquet', 5, 3, 2, 0, '{"bad_timestamp": 2}', '2026-03-02 00:10:00+00', '2026-03-02 12:05:00+00', 'fb48da66d5a7', '1194d57a6362', 'b45378cf-d6fd-4851-adf5-d9509c9caf81', '2026-11-28 10:45:55.827707+00', '{}', '{"rows": 5, "fields": {"id": {"string": 5}, "ts": {"string": 5}, "url": {"string": 3}, "type": {"string": 5}, "user": {"string": 5}, "amount": {"integer": 1}}}'),
	(9, 'shop', '2026-03-02', false, 8, '[{"uri": "landing/2026-03-02/late-71352ec75cd3.ndjson", "path": "shop/raw_events/2026-03-02/444bd8e7079845b1a5d3fa38b9e7f2b3.parquet", "digest": "71352ec75cd3b08718a8607481dc4acdfac493898fc80c2d869a0ee2f7b1e014"}, {"uri": "landing/2026-03-02/two-b08a8b39adfa.ndjson", "path": "shop/raw_events/2026-03-02/b55a11171f504963adc2797983377e89.parquet", "digest": "b08a8b39adfae600fe67a940147458e31d62020302e5c9deb0dbc7eb059440c8"}]', 'shop/events/2026-03-02/2a65035026b04d3dacabb60fe5d84ce9.parquet', 'shop/rejected_events/2026-03-02/60af237ac51f4740a3d6010b92858f8e.parquet', 6, 4, 2, 0, '{"bad_timestamp": 2}', '2026-03-01 10:45:00+00', '2026-03-02 12:05:00+00', 'fb48da66d5a7', '1194d57a6362', '150b0bf7-7e2e-430f-989d-aa3e6bb6ff69', '2026-11-28 10:46:24.2557+00', '{}', '{"rows": 6, "fields": {"id": {"string": 6}, "ts": {"string": 6}, "url": {"string": 4}, "type": {"string": 6}, "user": {"string": 6}, "amount": {"integer": 1}}}'),
	(2, 'shop', '2026-03-01', false, 1, '[{"uri": "landing/2026-03-01/one-7f6373d9c95c.ndjson", "path": "shop/raw_events/2026-03-01/0e0ed89617914afe90de990cf9e8c759.parquet", "digest": "7f6373d9c95cac04288654f03d7a7a198a5fc33ceb99e8bd724f2d27bce45866"}]', 'shop/events/2026-03-01/05d76bf22e524331aa33715a53ca525f.parquet', 'shop/rejected_events/2026-03-01/9796274361b4482c927542d2455d6184.parquet', 10, 5, 4, 1, '{"malformed": 1, "out_of_range": 1, "bad_timestamp": 1, "missing_identity": 1}', '2026-03-01 08:00:00+00', '2026-03-01 23:50:00+00', 'fb48da66d5a7', '1194d57a6362', 'de8417ed-856c-4526-a277-fc5fd45e6480', '2026-11-28 10:45:22.539999+00', '{}', '{"rows": 9, "fields": {"id": {"string": 9}, "ts": {"string": 9}, "url": {"null": 1, "string": 5}, "note": {"object": 1}, "type": {"string": 9}, "user": {"null": 1, "string": 8}, "amount": {"integer": 4}}}'),
	(12, 'shop', '2026-03-02', false, 11, '[{"uri": "landing/2026-03-02/broken-7ac8209dc25b.ndjson.gz", "path": "shop/raw_events/2026-03-02/970cda28794a4ffe931c49259b36d4b9.parquet", "digest": "7ac8209dc25bc4e19cf49a1cdbea55761b4a1b2a3199369d4edb58b29526bcbe"}, {"uri": "landing/2026-03-02/late-71352ec75cd3.ndjson", "path": "shop/raw_events/2026-03-02/444bd8e7079845b1a5d3fa38b9e7f2b3.parquet", "digest": "71352ec75cd3b08718a8607481dc4acdfac493898fc80c2d869a0ee2f7b1e014"}, {"uri": "landing/2026-03-02/two-b08a8b39adfa.ndjson", "path": "shop/raw_events/2026-03-02/b55a11171f504963adc2797983377e89.parquet", "digest": "b08a8b39adfae600fe67a940147458e31d62020302e5c9deb0dbc7eb059440c8"}]', 'shop/events/2026-03-02/1192bf83a1ce4e1584b196ecb563b1b7.parquet', 'shop/rejected_events/2026-03-02/566dd5105ec1496298bbe9ed7bc59ea4.parquet', 10, 7, 3, 0, '{"bad_timestamp": 2, "unreadable_file": 1}', '2026-03-01 10:45:00+00', '2026-03-02 12:05:00+00', 'fb48da66d5a7', '1194d57a6362', '93badd84-7829-4f8b-87a1-959cdaf32355', '2026-11-28 10:46:53.043723+00', '{}', '{"rows": 9, "fields": {"id": {"string": 9}, "ts": {"string": 9}, "url": {"string": 7}, "type": {"string": 9}, "user": {"string": 9}, "amount": {"integer": 1}}}'),
	(17, 'shop', '2026-03-01', true, 14, '[{"uri": "landing/2026-03-01/one-7f6373d9c95c.ndjson", "path": "shop/raw_events/2026-03-01/0e0ed89617914afe90de990cf9e8c759.parquet", "digest": "7f6373d9c95cac04288654f03d7a7a198a5fc33ceb99e8bd724f2d27bce45866"}, {"uri": "replay:17b07b2c5fc2bcb7c4ddacbfd49fe024", "path": "shop/raw_events/2026-03-01/73051e148c97413a86814032f82c0b52.parquet", "digest": "17b07b2c5fc2bcb7c4ddacbfd49fe024345254e7c5d5386119f68407069a6ce2"}]', 'shop/events/2026-03-01/4e337171245f4d51b833e371bc51bf38.parquet', 'shop/rejected_events/2026-03-01/ea53a59cd1224756abc7c27fdeb9af25.parquet', 12, 7, 4, 1, '{"malformed": 1, "out_of_range": 1, "bad_timestamp": 1, "missing_identity": 1}', '2026-03-01 08:00:00+00', '2026-03-01 23:50:00+00', 'fb48da66d5a7', '1194d57a6362', '93ce0d07-afde-4122-873d-a5545fb2b9dc', '2026-11-28 10:47:35.563492+00', '{}', '{"rows": 11, "fields": {"id": {"string": 11}, "ts": {"string": 11}, "url": {"null": 1, "string": 5}, "note": {"object": 1}, "type": {"string": 11}, "user": {"null": 1, "string": 10}, "amount": {"integer": 5}}}'),
	(20, 'shop', '2026-03-02', true, 19, '[{"uri": "landing/2026-03-02/broken-7ac8209dc25b.ndjson.gz", "path": "shop/raw_events/2026-03-02/970cda28794a4ffe931c49259b36d4b9.parquet", "digest": "7ac8209dc25bc4e19cf49a1cdbea55761b4a1b2a3199369d4edb58b29526bcbe"}, {"uri": "landing/2026-03-02/late-71352ec75cd3.ndjson", "path": "shop/raw_events/2026-03-02/444bd8e7079845b1a5d3fa38b9e7f2b3.parquet", "digest": "71352ec75cd3b08718a8607481dc4acdfac493898fc80c2d869a0ee2f7b1e014"}, {"uri": "landing/2026-03-02/three.ndjson", "path": "shop/raw_events/2026-03-02/dd95fa562d1d4256831521585ec2bc85.parquet", "digest": "6e7e67ce2df708644912d16b4d9ca2cba06fcd2ededc7d25bb1d555c53ac0e7c"}, {"uri": "landing/2026-03-02/two-b08a8b39adfa.ndjson", "path": "shop/raw_events/2026-03-02/b55a11171f504963adc2797983377e89.parquet", "digest": "b08a8b39adfae600fe67a940147458e31d62020302e5c9deb0dbc7eb059440c8"}]', 'shop/events/2026-03-02/20d39e44f81449528ee1cacacc1388d4.parquet', 'shop/rejected_events/2026-03-02/96ac93c95cd244ed8ce11ec28ea73781.parquet', 11, 8, 3, 0, '{"bad_timestamp": 2, "unreadable_file": 1}', '2026-03-01 10:45:00+00', '2026-03-02 20:00:00+00', 'fb48da66d5a7', '1194d57a6362', 'a run', '2026-11-28 10:47:51.101052+00', '{}', '{"rows": 10, "fields": {"id": {"string": 10}, "ts": {"string": 10}, "url": {"string": 8}, "type": {"string": 10}, "user": {"string": 10}, "amount": {"integer": 1}}}');
INSERT INTO sessions_platform.replayed VALUES
	('shop', 'a84a1bc8-cca5-41be-9c9c-6249f17e90a7', '78a395e7860ff078cb20cbd704f2de2d477e75277cb7dac1f4d805f876bbdccf', '2026-03-01', 'replay:17b07b2c5fc2bcb7c4ddacbfd49fe024', 1, 'a84a1bc8-cca5-41be-9c9c-6249f17e90a7', 'landing/2026-03-01/one-7f6373d9c95c.ndjson', 6, 15, 'command line 149d1841-3ab7-4e6e-b14c-178ba44b4605', '2026-11-28 10:47:21.779714+00'),
	('shop', '44d66b71-e5e2-3502-2dbb-ed17ac105141', 'c1ebf968dab3b830a5fb84482f37c91b4d30dd2cf754c40be594adcc2e940b7f', '2026-03-01', 'replay:17b07b2c5fc2bcb7c4ddacbfd49fe024', 2, '44d66b71-e5e2-3502-2dbb-ed17ac105141', 'landing/2026-03-01/one-7f6373d9c95c.ndjson', 8, 16, 'command line 149d1841-3ab7-4e6e-b14c-178ba44b4605', '2026-11-28 10:47:21.779714+00');
INSERT INTO sessions_platform.session_versions VALUES
	(3, 'shop', '2026-03-01', false, 'shop/sessionized_events/2026-03-01/4514ea0333304e169b84e4a26dc4e35b.parquet', 5, 6424, 0, 0, '2026-03-01 08:00:00+00', '2026-03-01 23:50:00+00', 1200, 2, '1194d57a6362', '4abfc3a6-c020-4c32-8536-8a33d64f1b48', '2026-11-28 10:45:23.921937+00', '2026-11-28 10:45:24.619003+00'),
	(6, 'shop', '2026-03-01', false, 'shop/sessionized_events/2026-03-01/253393748be9429383cabc0883acf5f4.parquet', 6, 6489, 0, 0, '2026-03-01 08:00:00+00', '2026-03-02 00:10:00+00', 1200, 5, '1194d57a6362', '9b1d85e2-5ccf-4cff-b538-2121af5c148a', '2026-11-28 10:45:56.920551+00', '2026-11-28 10:45:57.339616+00'),
	(7, 'shop', '2026-03-02', false, 'shop/sessionized_events/2026-03-02/d00a39d98825455896a036c945a16c26.parquet', 2, 5946, 0, 0, '2026-03-02 12:00:00+00', '2026-03-02 12:05:00+00', 300, 5, '1194d57a6362', '9b1d85e2-5ccf-4cff-b538-2121af5c148a', '2026-11-28 10:45:56.920551+00', '2026-11-28 10:45:57.339616+00'),
	(13, 'shop', '2026-03-02', true, 'shop/sessionized_events/2026-03-02/c1f47b66a9e34a2aa6335daaec3bd48c.parquet', 5, 6158, 0, 0, '2026-03-02 10:00:00+00', '2026-03-02 12:05:00+00', 300, 12, '1194d57a6362', 'ca38ff4f-b814-43db-84d9-75afcf1d63ef', '2026-11-28 10:46:54.203743+00', '2026-11-28 10:46:54.750657+00'),
	(10, 'shop', '2026-03-01', false, 'shop/sessionized_events/2026-03-01/dca32b5e9eed4ccbb493a316b3e35630.parquet', 7, 6513, 0, 0, '2026-03-01 08:00:00+00', '2026-03-02 00:10:00+00', 4500, 9, '1194d57a6362', '2fea650e-06ae-4c6b-b58a-bcf3d4017ab3', '2026-11-28 10:46:25.459714+00', '2026-11-28 10:46:25.955712+00'),
	(18, 'shop', '2026-03-01', true, 'shop/sessionized_events/2026-03-01/1337cdc53ea5419ab19b3878466feada.parquet', 9, 6617, 0, 0, '2026-03-01 08:00:00+00', '2026-03-02 00:10:00+00', 4500, 17, '1194d57a6362', 'ccf44274-d7da-49a5-9d8d-fbe70729831b', '2026-11-28 10:47:36.994201+00', '2026-11-28 10:47:37.344556+00');
INSERT INTO sessions_platform.streams VALUES
	('shop', '{"session.timezone": "UTC", "landing.partition": "daily", "session.partition": "daily"}');
INSERT INTO sessions_platform.waiting VALUES
	('shop', '2026-03-02', 20);
INSERT INTO shop.loaded_partitions VALUES
	('2026-03-02', '0fa01fce138dad125ca90108c87d80f379e286d3cf776cc59f83a02edff89cc0', '1196: 1, 1587: 3; session_id 1 25, user_id 2 25, session_start 3 1184, session_end 4 1184, duration_seconds 5 701, event_count 6 20, primary_action 7 25, entry_page 8 25, exit_page 9 25, spent 10 20, session_partition 11 25, policy_version 12 25'),
	('2026-03-01', '370525f4db4f532e7b198bdaa59a5c27deafb7aca4d67b29f4ca3a18462e67ca', '1195: 1, 1391: 1, 1783: 2; session_id 1 25, user_id 2 25, session_start 3 1184, session_end 4 1184, duration_seconds 5 701, event_count 6 20, primary_action 7 25, entry_page 8 25, exit_page 9 25, spent 10 20, session_partition 11 25, policy_version 12 25');
INSERT INTO shop.rejected_events VALUES
	('a84a1bc8-cca5-41be-9c9c-6249f17e90a7', '2026-03-01', 'landing/2026-03-01/one-7f6373d9c95c.ndjson', 6, '{"id": "x1", "user": "cid", "ts": "yesterday", "type": "view"}', 'utf-8', '[{"code": "bad_timestamp", "rule": "a timestamp of the formats %+; in UTC if it states no zone", "value": "yesterday", "column": "event_timestamp"}]', 'fb48da66d5a7', '2026-11-28 10:45:22.539999+00', 'de8417ed-856c-4526-a277-fc5fd45e6480'),
	('b2de5756-4d7e-bc9d-847a-06ed75d1e233', '2026-03-01', 'landing/2026-03-01/one-7f6373d9c95c.ndjson', 7, '{"id": "x2", "user": null, "ts": "2026-03-01T09:00:00Z", "type": "view"}', 'utf-8', '[{"code": "missing_identity", "rule": "not null", "value": null, "column": "user_id"}]', 'fb48da66d5a7', '2026-11-28 10:45:22.539999+00', 'de8417ed-856c-4526-a277-fc5fd45e6480'),
	('44d66b71-e5e2-3502-2dbb-ed17ac105141', '2026-03-01', 'landing/2026-03-01/one-7f6373d9c95c.ndjson', 8, '{"id": "x3", "user": "dan", "ts": "2026-03-01T09:00:00Z", "type": "view", "amount": -3}', 'utf-8', '[{"code": "out_of_range", "rule": "at least 0", "value": "-3", "column": "amount"}]', 'fb48da66d5a7', '2026-11-28 10:45:22.539999+00', 'de8417ed-856c-4526-a277-fc5fd45e6480'),
	('c213ec55-edb3-3dd5-1506-055c9834f594', '2026-03-01', 'landing/2026-03-01/one-7f6373d9c95c.ndjson', 9, '{not json', 'utf-8', '[{"code": "malformed", "rule": "is not one JSON object: object keys must be strings (byte 1)", "value": null, "column": ""}]', 'fb48da66d5a7', '2026-11-28 10:45:22.539999+00', 'de8417ed-856c-4526-a277-fc5fd45e6480'),
	('5c032775-29f1-61e1-cbec-69ed4369c363', '2026-03-02', 'landing/2026-03-02/two-b08a8b39adfa.ndjson', 4, '{"id": "x4", "user": "eve", "ts": "2026-03-02 13:00", "type": "view"}', 'utf-8', '[{"code": "bad_timestamp", "rule": "a timestamp of the formats %+; in UTC if it states no zone", "value": "2026-03-02 13:00", "column": "event_timestamp"}]', 'fb48da66d5a7', '2026-11-28 10:45:55.827707+00', 'b45378cf-d6fd-4851-adf5-d9509c9caf81'),
	('adf12745-6325-ce08-89bf-57acc535f946', '2026-03-02', 'landing/2026-03-02/two-b08a8b39adfa.ndjson', 5, '{"id": "x4", "user": "eve", "ts": "2026-03-02 13:00", "type": "view"}', 'utf-8', '[{"code": "bad_timestamp", "rule": "a timestamp of the formats %+; in UTC if it states no zone", "value": "2026-03-02 13:00", "column": "event_timestamp"}]', 'fb48da66d5a7', '2026-11-28 10:45:55.827707+00', 'b45378cf-d6fd-4851-adf5-d9509c9caf81'),
	('96208754-a8e2-db88-c570-2699587bb386', '2026-03-02', 'landing/2026-03-02/broken-7ac8209dc25b.ndjson.gz', 4, 'shop/file_copies/7ac8209dc25bc4e19cf49a1cdbea55761b4a1b2a3199369d4edb58b29526bcbe', 'utf-8', '[{"code": "unreadable_file", "rule": "the file ends in the middle of its gzip data", "value": null, "column": ""}]', 'fb48da66d5a7', '2026-11-28 10:46:53.043723+00', '93badd84-7829-4f8b-87a1-959cdaf32355');
INSERT INTO shop.rejection_decisions OVERRIDING SYSTEM VALUE VALUES
	(1, '44d66b71-e5e2-3502-2dbb-ed17ac105141', 'resolved', 'a mend of it is accepted', '93ce0d07-afde-4122-873d-a5545fb2b9dc', 'replay:17b07b2c5fc2bcb7c4ddacbfd49fe024', 2, '2026-11-28 10:47:35.563492+00'),
	(2, 'a84a1bc8-cca5-41be-9c9c-6249f17e90a7', 'resolved', 'a mend of it is accepted', '93ce0d07-afde-4122-873d-a5545fb2b9dc', 'replay:17b07b2c5fc2bcb7c4ddacbfd49fe024', 1, '2026-11-28 10:47:35.563492+00'),
	(3, 'b2de5756-4d7e-bc9d-847a-06ed75d1e233', 'discarded', 'nobody''s event', 'root', NULL, NULL, '2026-11-28 10:47:45.095714+00');
INSERT INTO shop.session_changes VALUES
	('1a5caaa0-684e-5f0f-0237-7871ede6583b', 'appeared', NULL, '2026-03-01', '4abfc3a6-c020-4c32-8536-8a33d64f1b48', '2026-11-28 10:45:24.619003+00'),
	('5df8c05c-d89c-2bd6-7fb4-8c5a798f0446', 'appeared', NULL, '2026-03-01', '4abfc3a6-c020-4c32-8536-8a33d64f1b48', '2026-11-28 10:45:24.619003+00'),
	('6f26250f-776f-fe2a-06ab-31f3dcfed7dc', 'appeared', NULL, '2026-03-01', '4abfc3a6-c020-4c32-8536-8a33d64f1b48', '2026-11-28 10:45:24.619003+00'),
	('98ade05e-8992-3838-750c-ff38911d40f7', 'appeared', NULL, '2026-03-01', '4abfc3a6-c020-4c32-8536-8a33d64f1b48', '2026-11-28 10:45:24.619003+00'),
	('03634c4f-0a9c-1205-97ae-6857b293eb2c', 'appeared', NULL, '2026-03-02', '9b1d85e2-5ccf-4cff-b538-2121af5c148a', '2026-11-28 10:45:57.339616+00'),
	('98ade05e-8992-3838-750c-ff38911d40f7', 'changed', NULL, '2026-03-01', '9b1d85e2-5ccf-4cff-b538-2121af5c148a', '2026-11-28 10:45:57.339616+00'),
	('1a5caaa0-684e-5f0f-0237-7871ede6583b', 'vanished', '6f26250f-776f-fe2a-06ab-31f3dcfed7dc', '2026-03-01', '2fea650e-06ae-4c6b-b58a-bcf3d4017ab3', '2026-11-28 10:46:25.955712+00'),
	('6f26250f-776f-fe2a-06ab-31f3dcfed7dc', 'changed', NULL, '2026-03-01', '2fea650e-06ae-4c6b-b58a-bcf3d4017ab3', '2026-11-28 10:46:25.955712+00'),
	('97768bef-59b2-6474-742c-3a267c3fb243', 'appeared', NULL, '2026-03-02', 'ca38ff4f-b814-43db-84d9-75afcf1d63ef', '2026-11-28 10:46:54.750657+00'),
	('bc4b6bea-2c8a-5e88-c053-ee8fdda6d775', 'appeared', NULL, '2026-03-02', 'ca38ff4f-b814-43db-84d9-75afcf1d63ef', '2026-11-28 10:46:54.750657+00'),
	('cd328414-f689-9136-a90c-6b6bf43b813f', 'appeared', NULL, '2026-03-02', 'ca38ff4f-b814-43db-84d9-75afcf1d63ef', '2026-11-28 10:46:54.750657+00'),
	('5df8c05c-d89c-2bd6-7fb4-8c5a798f0446', 'changed', NULL, '2026-03-01', 'ccf44274-d7da-49a5-9d8d-fbe70729831b', '2026-11-28 10:47:37.344556+00'),
	('06ada440-f878-0655-6fbd-acae0c4c53b1', 'appeared', NULL, '2026-03-01', 'ccf44274-d7da-49a5-9d8d-fbe70729831b', '2026-11-28 10:47:37.344556+00');
INSERT INTO shop.sessions VALUES
	('03634c4f-0a9c-1205-97ae-6857b293eb2c', 'dan', '2026-03-02 12:00:00+00', '2026-03-02 12:05:00+00', 300, 2, 'view', '/', '/cart', NULL, '2026-03-02', '1194d57a6362', '2026-03-02 12:35:00+00', '2026-11-28 10:45:57.339616+00'),
	('98ade05e-8992-3838-750c-ff38911d40f7', 'bob', '2026-03-01 23:50:00+00', '2026-03-02 00:10:00+00', 1200, 2, 'view', '/', '/pay', 12, '2026-03-01', '1194d57a6362', '2026-03-02 00:40:00+00', '2026-11-28 10:45:57.339616+00'),
	('6f26250f-776f-fe2a-06ab-31f3dcfed7dc', 'ann', '2026-03-01 10:00:00+00', '2026-03-01 11:15:00+00', 4500, 4, 'view', '/', '/pay', 12, '2026-03-01', '1194d57a6362', '2026-03-01 11:45:00+00', '2026-11-28 10:46:25.955712+00'),
	('97768bef-59b2-6474-742c-3a267c3fb243', 'eve', '2026-03-02 11:00:00+00', '2026-03-02 11:00:00+00', 0, 1, 'view', '/111111111', '/111111111', NULL, '2026-03-02', '1194d57a6362', NULL, '2026-11-28 10:46:54.750657+00'),
	('bc4b6bea-2c8a-5e88-c053-ee8fdda6d775', 'eve', '2026-03-02 10:00:00+00', '2026-03-02 10:00:00+00', 0, 1, 'view', '/000000000', '/000000000', NULL, '2026-03-02', '1194d57a6362', NULL, '2026-11-28 10:46:54.750657+00'),
	('cd328414-f689-9136-a90c-6b6bf43b813f', 'eve', '2026-03-02 12:00:00+00', '2026-03-02 12:00:00+00', 0, 1, 'view', '/222222222', '/222222222', NULL, '2026-03-02', '1194d57a6362', '2026-03-02 12:30:00+00', '2026-11-28 10:46:54.750657+00'),
	('5df8c05c-d89c-2bd6-7fb4-8c5a798f0446', 'cid', '2026-03-01 08:00:00+00', '2026-03-01 08:10:00+00', 600, 2, 'view', NULL, NULL, NULL, '2026-03-01', '1194d57a6362', '2026-03-01 08:40:00+00', '2026-11-28 10:47:37.344556+00'),
	('06ada440-f878-0655-6fbd-acae0c4c53b1', 'dan', '2026-03-01 09:00:00+00', '2026-03-01 09:00:00+00', 0, 1, 'view', NULL, NULL, 3, '2026-03-01', '1194d57a6362', NULL, '2026-11-28 10:47:37.344556+00');
SELECT pg_catalog.setval('sessions_platform.version', 20, true);
SELECT pg_catalog.setval('shop.rejection_decisions_decision_id_seq', 3, true);
SELECT pg_catalog.setval('web_shop.rejection_decisions_decision_id_seq', 1, false);
ALTER TABLE ONLY sessions_platform.landing_files
    ADD CONSTRAINT landing_files_pkey PRIMARY KEY (stream, uri);
ALTER TABLE ONLY sessions_platform.landing_versions
    ADD CONSTRAINT landing_versions_pkey PRIMARY KEY (version);
ALTER TABLE ONLY sessions_platform.replayed
    ADD CONSTRAINT replayed_pkey PRIMARY KEY (stream, rejection_id, payload_digest);
ALTER TABLE ONLY sessions_platform.session_versions
    ADD CONSTRAINT session_versions_pkey PRIMARY KEY (version);
ALTER TABLE ONLY sessions_platform.streams
    ADD CONSTRAINT streams_pkey PRIMARY KEY (stream);
ALTER TABLE ONLY sessions_platform.waiting
    ADD CONSTRAINT waiting_pkey PRIMARY KEY (stream, session_partition, version);
ALTER TABLE ONLY shop.loaded_partitions
    ADD CONSTRAINT loaded_partitions_pkey PRIMARY KEY (session_partition);
ALTER TABLE ONLY shop.rejected_events
    ADD CONSTRAINT rejected_events_pkey PRIMARY KEY (rejection_id);
ALTER TABLE ONLY shop.rejection_decisions
    ADD CONSTRAINT rejection_decisions_pkey PRIMARY KEY (decision_id);
ALTER TABLE ONLY shop.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (session_id);
ALTER TABLE ONLY web_shop.loaded_partitions
    ADD CONSTRAINT loaded_partitions_pkey PRIMARY KEY (session_partition);
ALTER TABLE ONLY web_shop.rejected_events
    ADD CONSTRAINT rejected_events_pkey PRIMARY KEY (rejection_id);
ALTER TABLE ONLY web_shop.rejection_decisions
    ADD CONSTRAINT rejection_decisions_pkey PRIMARY KEY (decision_id);
ALTER TABLE ONLY web_shop.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (session_id);
CREATE UNIQUE INDEX landing_current ON sessions_platform.landing_versions USING btree (stream, landing_partition) WHERE is_current;
CREATE INDEX landing_files_of ON sessions_platform.landing_files USING btree (stream, landing_partition);
CREATE INDEX replayed_in ON sessions_platform.replayed USING btree (stream, landing_partition);
CREATE INDEX replayed_of ON sessions_platform.replayed USING btree (stream, root_id);
CREATE UNIQUE INDEX session_current ON sessions_platform.session_versions USING btree (stream, session_partition) WHERE is_current;
CREATE INDEX session_newest ON sessions_platform.session_versions USING btree (stream, session_partition, version);
CREATE INDEX rejected_events_landing_partition_idx ON shop.rejected_events USING btree (landing_partition);
CREATE INDEX rejection_decisions_newest ON shop.rejection_decisions USING btree (rejection_id, decision_id DESC);
CREATE INDEX session_changes_changed_at_idx ON shop.session_changes USING brin (changed_at);
CREATE INDEX session_changes_session_id_idx ON shop.session_changes USING brin (session_id text_bloom_ops (n_distinct_per_range='5000')) WITH (pages_per_range='64');
CREATE INDEX sessions_session_partition_idx ON shop.sessions USING btree (session_partition);
CREATE INDEX sessions_user_id_session_start_idx ON shop.sessions USING btree (user_id, session_start);
CREATE INDEX rejection_decisions_newest ON web_shop.rejection_decisions USING btree (rejection_id, decision_id DESC);
