// The query whose rows CatalogFacts::add_row() understands.
//
// Rows are (kind, name), every name once without and once with its schema. Kinds are
//   function:h|n|b|v|o|p  every function outside pg_catalog: harmless; likewise, but it may show when the transaction
//                     began (stable); shows what is a node's own, by its text; volatile, but known to leave no trace in
//                     the session; opaque; pinning (keeps state that no probe sees); with an x behind it, one that
//                     resets settings, as far as its text or that of a function it names says
//   operator:h|o      every operator outside pg_catalog: harmless, opaque; x likewise
//   type:o            a domain whose checks reach an opaque function, and what contains it; x likewise
//   attribute:o       an opaque function that t.name can call
//   relation:…        letters: r reading reaches an opaque function; w writing does; s writing draws from a
//                     sequence; t reading does; p only the primary can serve it, or it shows what is a node's own;
//                     n it may show when the transaction began; R, W as r, w, of a function that resets settings
//   reset_setting:    a setting that some function's text resets; "all" for any
//   event_trigger:    DDL runs an event trigger
//   custom_setting:   a setting with a dot in its name that some function's text sets: for the probe, not for
//   CatalogFacts anything:         an opaque function is in a cast, an operator class or an overload of a builtin
//   operator
//
// How it finds them: a set of (catalog, object, mode) grows from the opaque functions along pg_depend (to operators,
// aggregates, domains; to the tables with defaults, checks, indexes, triggers, policies; to views and rules), from
// relations to the views over them, to their inheritance and partition parents and, for writes, to the parents of their
// cascading foreign keys. What depends on a builtin function only is not in pg_depend, so stored expressions are
// searched for its number.
//
// An untrusted search_path changes nothing: names, operators and types are qualified, and nothing is used that looks up
// an operator by its bare name (IN, LIKE, BETWEEN, USING, CASE x WHEN, IS DISTINCT FROM). All of it exists in
// PostgreSQL 13 but prosqlbody, which is reached by way of jsonb. Takes 60 ms in a small database and a second with
// 5,000 tables; to compile it would take longer, and the client whose connection it uses may have a time-out set.

#include "sql/catalog_facts.h"

namespace pgbalancer {

namespace {

constexpr std::string_view kQuery = R"sql(
SET LOCAL jit TO off; SET LOCAL statement_timeout TO 0;
WITH RECURSIVE
-- Numbers of builtin functions and views, as they appear in stored expressions, and what they make of whom they serve.
builtin(letter, number) AS MATERIALIZED (
  SELECT c.letter, c.number
    FROM (
      SELECT CASE
          WHEN p.proname OPERATOR(pg_catalog.~) '^(set_config|setseed|pg_(try_)?advisory_lock.*|(query|cursor|table|schema|database)_to_xml.*)$'
            OR p.proname OPERATOR(pg_catalog.~) '^(ts_stat|ts_rewrite|pg_replication_origin_(session|xact)_.*|pg_(backup_start|start_backup))$'
            OR p.proname OPERATOR(pg_catalog.~) '^pg_(create|copy)_(logical|physical)_replication_slot$' THEN 'r'
          WHEN p.proname OPERATOR(pg_catalog.~) '^(nextval|setval)$' THEN 't'
          WHEN p.provolatile OPERATOR(pg_catalog.=) 'v'
            OR p.proname OPERATOR(pg_catalog.~) '^(pg_stat_get_.*|pg_backend_pid|inet_(client|server)_.*|pg_show_all.*)$'
            OR p.proname OPERATOR(pg_catalog.~) '^pg_(lock_status|cursor|prepared_.*|listening_channels|my_temp_schema|conf_load_time)$'
            OR p.proname OPERATOR(pg_catalog.~) '^(txid|pg)_current_.*|pg_(is_other_temp_schema|get_replication_slots|postmaster_start_time)$'
            THEN 'p'
          WHEN p.proname OPERATOR(pg_catalog.~) '^(now|transaction_timestamp)$'
            OR (p.proname OPERATOR(pg_catalog.=) 'age' AND p.pronargs OPERATOR(pg_catalog.=) 1) THEN 'n'
        END::pg_catalog.text, p.oid::pg_catalog.text
        FROM pg_catalog.pg_proc p
       WHERE p.oid OPERATOR(pg_catalog.<) 16384
      UNION ALL
      SELECT v.letter, c.oid::pg_catalog.text
        FROM pg_catalog.pg_class c
       CROSS JOIN (VALUES
          ('p', '^(pg_stat_.*|pg_statio_.*|pg_locks|pg_settings|pg_file_settings|pg_cursors|pg_prepared_.*|pg_sequences)$'),
          ('p', '^pg_(replication_(slots|origin_status)|shmem_allocations.*|backend_memory_contexts)$'),
          ('w', '^pg_settings$')) v(letter, pattern)
       WHERE c.oid OPERATOR(pg_catalog.<) 16384 AND c.relname OPERATOR(pg_catalog.~) v.pattern
    ) c(letter, number)
   WHERE c.letter IS NOT NULL
),
-- What the texts of functions reset: RESET, SET … TO DEFAULT and SET TIME ZONE DEFAULT where a statement begins (also one in quotes, for
-- EXECUTE), set_config(…, NULL, …), UPDATE pg_settings SET setting = NULL. UPDATE … SET a = DEFAULT is none.
-- Backslashes stand in E'' alone: the connection may have standard_conforming_strings = off.
reset(oid, setting) AS MATERIALIZED (
  SELECT p.oid, pg_catalog.btrim(COALESCE(m.match[1], m.match[2], m.match[3], m.match[4], 'all'), ' ''"')
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang
   CROSS JOIN LATERAL pg_catalog.regexp_matches(
      CASE WHEN p.prosrc OPERATOR(pg_catalog.~*) 'reset|default|set_config|pg_settings' THEN p.prosrc END,
      E'(?:(?:^|[;''$]|>>|\\m(?:begin|then|else|loop|atomic)\\M)(?:\\s|--[^\\n]*\\n|/\\*(?:[^*]|\\*(?!/))*\\*/)*|")'
      '(?:reset\\s+([[:alpha:]_][[:alnum:]_.]*|["''%$])'
      '|set\\s+(?:(?:session|local)\\s+)?([^[:space:]=;]+)\\s*(?:=|\\mto\\M)\\s*default\\M'
      '|set\\s+(?:(?:session|local)\\s+)?(time)\\s+zone\\s+(?:default|local)\\M)'
      '|set_config\\s*\\(([^,();]*),\\s*null\\M'
      '|''\\s*(?:=|to\\M)\\s*default\\M'
      '|\\mupdate\\s+(?:pg_catalog\\.)?pg_settings\\M[^;]*\\m(?:null|default)\\M', 'gi') m(match)
   WHERE p.oid OPERATOR(pg_catalog.>=) 16384 AND l.lanname OPERATOR(pg_catalog.<>) ALL (ARRAY['c', 'internal'])
),
-- The functions that do it and those whose texts name one of them.
resetting(oid, name) AS (
  SELECT p.oid, p.proname::pg_catalog.text
    FROM pg_catalog.pg_proc p WHERE p.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT r.oid FROM reset r))
  UNION
  SELECT p.oid, p.proname::pg_catalog.text
    FROM resetting r
    JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.>=) 16384
     AND p.prosrc OPERATOR(pg_catalog.~*) pg_catalog.concat(E'\\m', pg_catalog.regexp_replace(r.name, E'\\W', '.', 'g'), E'\\M')
    JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang AND l.lanname OPERATOR(pg_catalog.<>) ALL (ARRAY['c', 'internal'])
),
-- The functions outside pg_catalog, by what their declaration promises, and whether they reset settings.
fn(oid, resets, letter) AS MATERIALIZED (
  SELECT p.oid, p.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT r.oid FROM resetting r)),
         CASE
           WHEN e.extname OPERATOR(pg_catalog.=) 'dblink' AND l.lanname OPERATOR(pg_catalog.=) 'c'
             THEN CASE WHEN p.proname OPERATOR(pg_catalog.~) '^dblink_connect' THEN 'p' ELSE 'v' END
           WHEN e.extname OPERATOR(pg_catalog.=) 'isn' AND p.proname OPERATOR(pg_catalog.=) 'isn_weak' THEN 'p'
           -- Custom settings are listed nowhere: one whose name is computed could never be found again.
           WHEN l.lanname OPERATOR(pg_catalog.<>) ALL (ARRAY['c', 'internal']) AND p.prosrc OPERATOR(pg_catalog.~*) E'set_config\\s*\\(\\s*[^''[:space:]]'
             THEN 'p'
           WHEN p.provolatile OPERATOR(pg_catalog.=) 'v' OR p.prokind OPERATOR(pg_catalog.=) 'p'
             THEN CASE WHEN l.lanname OPERATOR(pg_catalog.=) 'c' AND p.proname OPERATOR(pg_catalog.<>) 'set_limit'
                        AND e.extname OPERATOR(pg_catalog.=) ANY (ARRAY['adminpack', 'amcheck', 'bloom', 'btree_gin', 'btree_gist', 'citext', 'cube',
                          'earthdistance', 'file_fdw', 'fuzzystrmatch', 'hstore', 'intarray', 'lo', 'ltree', 'moddatetime',
                          'pageinspect', 'pg_buffercache', 'pg_freespacemap', 'pg_prewarm', 'pg_stat_statements', 'pg_trgm',
                          'pg_visibility', 'pg_walinspect', 'pgcrypto', 'pgrowlocks', 'pgstattuple', 'postgres_fdw', 'seg',
                          'sslinfo', 'tcn', 'unaccent', 'uuid-ossp'])
                       THEN 'v' ELSE 'o' END
           -- Declared stable or immutable, but its text does what only a volatile one may.
           WHEN l.lanname OPERATOR(pg_catalog.=) ANY (ARRAY['c', 'internal'])
             THEN CASE WHEN p.provolatile OPERATOR(pg_catalog.=) 's' THEN 'n' ELSE 'h' END
           WHEN p.prosrc OPERATOR(pg_catalog.~*) '(set_config|advisory_lock|setseed|dblink)' THEN 'o'
           WHEN p.prosrc OPERATOR(pg_catalog.=) '' AND EXISTS (
                  SELECT FROM pg_catalog.regexp_matches(pg_catalog.to_jsonb(p.*) OPERATOR(pg_catalog.->>) 'prosqlbody',
                                                        ':(?:funcid|relid) ([0-9]+)', 'g') m(match)
                    JOIN builtin b ON b.number OPERATOR(pg_catalog.=) m.match[1]
                   WHERE b.letter OPERATOR(pg_catalog.=) 'r') THEN 'o'
           WHEN p.prosrc OPERATOR(pg_catalog.~*) '(pg_stat|pg_locks|pg_is_in_recovery|pg_backend_pid|pg_postmaster|pg_last_|pg_(xact|current_)|txid_|inet_(server|client)|hot_standby|transaction_(read_only|isolation)|pg_settings|_value\s+from)' THEN 'b'
           WHEN p.prosrc OPERATOR(pg_catalog.=) '' AND EXISTS (
                  SELECT FROM pg_catalog.regexp_matches(pg_catalog.to_jsonb(p.*) OPERATOR(pg_catalog.->>) 'prosqlbody',
                                                        ':(?:funcid|relid) ([0-9]+)', 'g') m(match)
                    JOIN builtin b ON b.number OPERATOR(pg_catalog.=) m.match[1]
                   WHERE b.letter OPERATOR(pg_catalog.=) 'p') THEN 'b'
           WHEN p.provolatile OPERATOR(pg_catalog.=) 's' THEN 'n'
           ELSE 'h'
         END::pg_catalog.text
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang
    LEFT JOIN pg_catalog.pg_depend d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid OPERATOR(pg_catalog.=) p.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'
    LEFT JOIN pg_catalog.pg_extension e ON e.oid OPERATOR(pg_catalog.=) d.refobjid
   WHERE p.oid OPERATOR(pg_catalog.>=) 16384 OR n.nspname OPERATOR(pg_catalog.=) 'information_schema'
),
-- Expressions the server keeps for an object, and whether they run when it is written only.
stored(expression, class, object, writes) AS (
  SELECT r.ev_action::pg_catalog.text OPERATOR(pg_catalog.||) r.ev_qual::pg_catalog.text, 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, r.ev_class, r.ev_type OPERATOR(pg_catalog.<>) '1'
    FROM pg_catalog.pg_rewrite r WHERE r.ev_class OPERATOR(pg_catalog.>=) 16384
  UNION ALL
  SELECT a.adbin::pg_catalog.text, 'pg_catalog.pg_class'::pg_catalog.regclass, a.adrelid, true
    FROM pg_catalog.pg_attrdef a WHERE a.adrelid OPERATOR(pg_catalog.>=) 16384
  UNION ALL
  SELECT c.conbin::pg_catalog.text, 'pg_catalog.pg_class'::pg_catalog.regclass, c.conrelid, true
    FROM pg_catalog.pg_constraint c WHERE c.conbin IS NOT NULL AND c.conrelid OPERATOR(pg_catalog.>=) 16384
  UNION ALL
  SELECT c.conbin::pg_catalog.text, 'pg_catalog.pg_type'::pg_catalog.regclass, c.contypid, false
    FROM pg_catalog.pg_constraint c WHERE c.conbin IS NOT NULL AND c.contypid OPERATOR(pg_catalog.>=) 16384
  UNION ALL
  SELECT pg_catalog.concat(q.polqual, q.polwithcheck), 'pg_catalog.pg_class'::pg_catalog.regclass, q.polrelid, false
    FROM pg_catalog.pg_policy q
  UNION ALL
  SELECT t.typdefaultbin::pg_catalog.text, 'pg_catalog.pg_class'::pg_catalog.regclass, a.attrelid, true
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_attribute a ON a.atttypid OPERATOR(pg_catalog.=) t.oid
   WHERE t.typdefaultbin IS NOT NULL AND t.typtype OPERATOR(pg_catalog.=) 'd' AND t.oid OPERATOR(pg_catalog.>=) 16384
),
-- The builtins in them.
mentioned(class, object, writes, letter) AS MATERIALIZED (
  SELECT DISTINCT s.class, s.object, s.writes, b.letter
    FROM stored s
   CROSS JOIN LATERAL pg_catalog.regexp_matches(s.expression, ':(?:funcid|relid) ([0-9]+)', 'g') m(match)
    JOIN builtin b ON b.number OPERATOR(pg_catalog.=) m.match[1]
   WHERE pg_catalog.strpos(s.expression, ':funcid ') OPERATOR(pg_catalog.>) 0
      OR pg_catalog.strpos(s.expression, ':relid ') OPERATOR(pg_catalog.>) 0
  UNION
  -- current_timestamp and relatives
  SELECT s.class, s.object, s.writes, 'n'
    FROM stored s WHERE s.expression OPERATOR(pg_catalog.~) '{SQLVALUEFUNCTION :op [0-8] '
),
-- From an object in a mode to an object in a mode. Modes: f an opaque function may run when the object is used; a relation's
-- r, w, s, t and p as above.
edge(from_class, from_object, from_mode, class, object, mode) AS MATERIALIZED (
  SELECT d.refclassid, d.refobjid, 'f'::pg_catalog.text, d.classid, d.objid, 'f'::pg_catalog.text
    FROM pg_catalog.pg_depend d
   WHERE d.refobjid OPERATOR(pg_catalog.>=) 16384
     AND d.classid OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.pg_proc', 'pg_catalog.pg_operator', 'pg_catalog.pg_type', 'pg_catalog.pg_cast',
           'pg_catalog.pg_opclass', 'pg_catalog.pg_opfamily', 'pg_catalog.pg_amproc', 'pg_catalog.pg_amop']::pg_catalog.regclass[]::pg_catalog.oid[])
  UNION ALL
  SELECT d.refclassid, d.refobjid, m.from_mode, owner.class, owner.object, CASE WHEN m.from_mode OPERATOR(pg_catalog.=) 'f' THEN owner.mode ELSE m.from_mode END
    FROM pg_catalog.pg_depend d
    JOIN (
      SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, a.oid, 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, a.adrelid, 'w'
        FROM pg_catalog.pg_attrdef a
      UNION ALL
      SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, 'pg_catalog.pg_class'::pg_catalog.regclass, i.indrelid, 'w'
        FROM pg_catalog.pg_index i
      UNION ALL
      SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 'w'
        FROM pg_catalog.pg_class c WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p', 'f', 'v']::pg_catalog."char"[])
      UNION ALL
      SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 'pg_catalog.pg_type'::pg_catalog.regclass, c.reltype, 'f'
        FROM pg_catalog.pg_class c WHERE c.relkind OPERATOR(pg_catalog.=) 'c'
      UNION ALL
      SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid, 'pg_catalog.pg_class'::pg_catalog.regclass, t.tgrelid, 'w'
        FROM pg_catalog.pg_trigger t
      UNION ALL
      SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid, 'pg_catalog.pg_class'::pg_catalog.regclass, r.ev_class,
             CASE WHEN r.ev_type OPERATOR(pg_catalog.=) '1' THEN 'r' ELSE 'w' END
        FROM pg_catalog.pg_rewrite r
      UNION ALL
      SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass, q.oid, 'pg_catalog.pg_class'::pg_catalog.regclass, q.polrelid, 'r'
        FROM pg_catalog.pg_policy q
      UNION ALL
      SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 'pg_catalog.pg_class'::pg_catalog.regclass, k.conrelid, 'w'
        FROM pg_catalog.pg_constraint k WHERE k.conrelid OPERATOR(pg_catalog.<>) 0
      UNION ALL
      SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 'pg_catalog.pg_type'::pg_catalog.regclass, k.contypid, 'f'
        FROM pg_catalog.pg_constraint k WHERE k.contypid OPERATOR(pg_catalog.<>) 0
    ) owner(by_class, by_object, class, object, mode) ON owner.by_class OPERATOR(pg_catalog.=) d.classid AND owner.by_object OPERATOR(pg_catalog.=) d.objid
    -- What a view or a policy shows by way of a function.
    JOIN (VALUES ('f'), ('n'), ('p')) m(from_mode) ON m.from_mode OPERATOR(pg_catalog.=) 'f' OR owner.mode OPERATOR(pg_catalog.=) 'r'
   WHERE d.refobjid OPERATOR(pg_catalog.>=) 16384 AND d.refclassid OPERATOR(pg_catalog.<>) 'pg_catalog.pg_class'::pg_catalog.regclass
  UNION ALL
  -- A view's or rule's relations; a policy's.
  SELECT d.refclassid, d.refobjid, m.from_mode, d.refclassid, r.ev_class, CASE WHEN r.ev_type OPERATOR(pg_catalog.=) '1' THEN m.from_mode ELSE m.rule_mode END
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON r.oid OPERATOR(pg_catalog.=) d.objid AND r.ev_class OPERATOR(pg_catalog.<>) d.refobjid
   CROSS JOIN (VALUES ('r', 'w'), ('w', 'w'), ('s', 's'), ('t', 's'), ('p', 'p'), ('n', 'n')) m(from_mode, rule_mode)
   WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
  UNION ALL
  SELECT d.refclassid, d.refobjid, m.mode, d.refclassid, q.polrelid, m.mode
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_policy q ON q.oid OPERATOR(pg_catalog.=) d.objid AND q.polrelid OPERATOR(pg_catalog.<>) d.refobjid
   CROSS JOIN (VALUES ('r'), ('t'), ('p'), ('n')) m(mode)
   WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
  UNION ALL
  -- Whoever reads or writes a parent does so with its children.
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, h.inhrelid, m.mode, 'pg_catalog.pg_class'::pg_catalog.regclass, h.inhparent, m.mode
    FROM pg_catalog.pg_inherits h
   CROSS JOIN (VALUES ('r'), ('w'), ('s'), ('t'), ('p'), ('n')) m(mode)
  UNION ALL
  SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, k.conrelid, m.mode, 'pg_catalog.pg_class'::pg_catalog.regclass, k.confrelid, 'w'
    FROM pg_catalog.pg_constraint k
   CROSS JOIN (VALUES ('r'), ('w')) m(mode)
   WHERE k.contype OPERATOR(pg_catalog.=) 'f'
     AND (k.confdeltype OPERATOR(pg_catalog.=) ANY (ARRAY['c', 'n', 'd']::pg_catalog."char"[]) OR k.confupdtype OPERATOR(pg_catalog.=) ANY (ARRAY['c', 'n', 'd']::pg_catalog."char"[]))
),
reached(class, object, mode, resets) AS (
  SELECT start.class, start.object, start.mode, start.resets
    FROM (
      SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid, fn.oid, 'f'::pg_catalog.text, fn.resets
        FROM fn WHERE fn.letter OPERATOR(pg_catalog.=) ANY (ARRAY['o', 'p'])
      UNION ALL
      SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, fn.oid, CASE WHEN fn.letter OPERATOR(pg_catalog.=) 'b' THEN 'p' ELSE 'n' END, false
        FROM fn WHERE fn.letter OPERATOR(pg_catalog.=) ANY (ARRAY['n', 'b'])
      UNION ALL
      SELECT m.class, m.object,
             CASE WHEN m.class OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass THEN 'f'
                  WHEN NOT m.writes THEN m.letter
                  WHEN m.letter OPERATOR(pg_catalog.=) 't' THEN 's'
                  ELSE 'w' END, false
        FROM mentioned m
       WHERE m.letter OPERATOR(pg_catalog.=) 'r'
          OR (m.class OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
              AND NOT (m.writes AND m.letter OPERATOR(pg_catalog.=) ANY (ARRAY['p', 'n'])))
      UNION ALL
      SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, a.attrelid, 's', false
        FROM pg_catalog.pg_attribute a WHERE a.attidentity OPERATOR(pg_catalog.<>) '' AND NOT a.attisdropped
      UNION ALL
      SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 'p', false
        FROM pg_catalog.pg_class c
       WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['S', 'f']::pg_catalog."char"[]) OR (c.relpersistence OPERATOR(pg_catalog.=) 'u' AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'm', 'p']::pg_catalog."char"[]))
    ) start(class, object, mode, resets)
  UNION
  SELECT e.class, e.object, e.mode, r.resets
    FROM reached r
    JOIN edge e ON e.from_class OPERATOR(pg_catalog.=) r.class AND e.from_object OPERATOR(pg_catalog.=) r.object AND e.from_mode OPERATOR(pg_catalog.=) r.mode
),
opaque(class, object, resets) AS (
  SELECT r.class, r.object, CASE WHEN pg_catalog.bool_or(r.resets) THEN 'x' ELSE '' END
    FROM reached r WHERE r.mode OPERATOR(pg_catalog.=) 'f' GROUP BY r.class, r.object
),
-- Names, still with their schemas apart.
found(kind, schema, name) AS (
  SELECT 'function:' OPERATOR(pg_catalog.||) CASE WHEN fn.letter OPERATOR(pg_catalog.=) 'p' OR o.object IS NULL THEN fn.letter ELSE 'o' END OPERATOR(pg_catalog.||) COALESCE(o.resets, ''), n.nspname::pg_catalog.text, p.proname::pg_catalog.text
    FROM fn
    JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) fn.oid
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
    LEFT JOIN opaque o ON o.class OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass AND o.object OPERATOR(pg_catalog.=) fn.oid
  UNION
  SELECT 'attribute:o', n.nspname, p.proname
    FROM opaque o
    JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) o.object
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
    JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) p.proargtypes[0]
   WHERE o.class OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
     AND p.pronargs OPERATOR(pg_catalog.>=) 1 AND p.pronargs OPERATOR(pg_catalog.-) p.pronargdefaults OPERATOR(pg_catalog.<=) 1
     AND t.typtype OPERATOR(pg_catalog.=) ANY (ARRAY['c', 'p', 'd']::pg_catalog."char"[])
  UNION
  SELECT 'operator:' OPERATOR(pg_catalog.||) COALESCE('o' OPERATOR(pg_catalog.||) o.resets, 'h'), n.nspname, x.oprname
    FROM pg_catalog.pg_operator x
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) x.oprnamespace
    LEFT JOIN opaque o ON o.class OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.object OPERATOR(pg_catalog.=) x.oid
   WHERE x.oid OPERATOR(pg_catalog.>=) 16384
  UNION
  SELECT 'type:o' OPERATOR(pg_catalog.||) o.resets, n.nspname, t.typname
    FROM opaque o
    JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) o.object
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
   WHERE o.class OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
  UNION
  SELECT 'relation:' OPERATOR(pg_catalog.||) pg_catalog.string_agg(CASE WHEN r.resets THEN pg_catalog.upper(r.mode) ELSE r.mode END, ''), n.nspname, c.relname
    FROM reached r
    JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) r.object
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
   WHERE r.class OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid OPERATOR(pg_catalog.>=) 16384
   GROUP BY c.oid, n.nspname, c.relname
)
SELECT f.kind, f.name FROM found f
UNION
SELECT f.kind, f.schema OPERATOR(pg_catalog.||) '.' OPERATOR(pg_catalog.||) f.name FROM found f
UNION
SELECT 'custom_setting:', pg_catalog.lower(m.match[1])
  FROM pg_catalog.pg_proc p
 CROSS JOIN LATERAL pg_catalog.regexp_matches(p.prosrc, E'(?:set_config\\s*\\(\\s*''+|\\mset\\s+(?:session\\s+)?)([[:alpha:]_][[:alnum:]_$]*(?:\\.[[:alpha:]_][[:alnum:]_$]*)+)', 'gi') m(match)
 WHERE p.oid OPERATOR(pg_catalog.>=) 16384
UNION
SELECT 'reset_setting:', CASE WHEN r.setting OPERATOR(pg_catalog.~*) '^[a-z_][a-z0-9_.]*$' THEN pg_catalog.lower(r.setting) ELSE 'all' END
  FROM reset r
UNION
SELECT 'event_trigger:', ''
  FROM pg_catalog.pg_event_trigger t WHERE t.evtenabled OPERATOR(pg_catalog.<>) 'D'
UNION
-- Casts and operator classes are found by the types at hand, and builtin operator names are looked up no further.
SELECT 'anything:', ''
  FROM opaque o
  LEFT JOIN pg_catalog.pg_operator x ON o.class OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass AND x.oid OPERATOR(pg_catalog.=) o.object
 WHERE o.class OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.pg_cast', 'pg_catalog.pg_opclass', 'pg_catalog.pg_opfamily', 'pg_catalog.pg_amproc']::pg_catalog.regclass[]::pg_catalog.oid[])
    OR EXISTS (SELECT FROM pg_catalog.pg_operator y WHERE y.oprname OPERATOR(pg_catalog.=) x.oprname AND y.oid OPERATOR(pg_catalog.<) 16384)
)sql";

} // namespace

std::string_view catalog_facts_query() { return kQuery; }

} // namespace pgbalancer
