//! Pgpool-II's query cache, and what a database has that it cannot see.

use super::Session;
use crate::hazards::Hazard;
use crate::observed::{CacheFacts, Silence};

/// What makes QUERY_CACHE=all wrong, as `kind|what`; `mixed`: rows of another table, `late`: rows of before.
///
/// A cached result is found by user, database and the text of the query. It is dropped by a write that goes through
/// Pgpool-II and names the same table. Left out here is what Pgpool-II never caches: views, temporary and unlogged
/// tables, tables with row security, catalogs.
const HAZARDS: &str = r#"
WITH
extensions AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
schemas AS (
  SELECT oid, nspname FROM pg_namespace n
  WHERE nspname !~ '^(pg_|_timescaledb|timescaledb_)' AND nspname NOT IN ('information_schema', 'pgcluster')),
tables AS (
  SELECT c.oid, s.nspname, c.relname, c.relkind FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence = 'p'
    AND NOT EXISTS (SELECT FROM extensions e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)),
found (kind, what, names) AS (
  SELECT 'mixed', 'search_path decides which table is meant, and is no part of the key', array(
    SELECT relname || ' in ' || string_agg(nspname, ', ' ORDER BY nspname)
    FROM tables GROUP BY relname HAVING count(*) > 1 ORDER BY relname)
  UNION ALL SELECT 'late', 'search_path has several schemas, and is no part of the key', array(
    SELECT DISTINCT coalesce('role ' || quote_ident(r.rolname), 'database ' || quote_ident(current_database()), '')
    FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS setting
    WHERE setting LIKE 'search\_path=%,%' AND setting <> 'search_path="$user", public'
      AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) ORDER BY 1)
  UNION ALL SELECT 'late', 'triggers may write to other tables unseen', array(
    SELECT DISTINCT relname::text FROM pg_trigger g JOIN tables t ON t.oid = g.tgrelid JOIN pg_proc p ON p.oid = g.tgfoid
    WHERE NOT g.tgisinternal AND g.tgenabled <> 'D'
      AND NOT EXISTS (SELECT FROM extensions e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid) ORDER BY 1)
  UNION ALL SELECT 'late', 'rules may write to other tables unseen', array(
    SELECT DISTINCT relname::text FROM pg_rewrite w JOIN tables t ON t.oid = w.ev_class WHERE w.ev_type <> '1' ORDER BY 1)
  UNION ALL SELECT 'late', 'foreign keys cascade to it unseen', array(
    SELECT DISTINCT relname::text FROM pg_constraint k JOIN tables t ON t.oid = k.conrelid
    WHERE k.contype = 'f' AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd')) ORDER BY 1)
  UNION ALL SELECT 'late', 'a write to the whole is not seen by a query of a part, nor the other way round', array(
    SELECT DISTINCT relname::text FROM pg_inherits i JOIN tables t ON t.oid = i.inhparent ORDER BY 1)
  UNION ALL SELECT 'late', 'functions may write unseen', array(
    SELECT DISTINCT proname || '()' FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
    WHERE p.provolatile = 'v' AND p.prokind IN ('f', 'p') AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
      AND NOT EXISTS (SELECT FROM extensions e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid) ORDER BY 1)
  UNION ALL SELECT 'late', 'logical replication writes past the pool', array(
    SELECT subname::text FROM pg_subscription WHERE subenabled
      AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1))
SELECT kind, what, array_to_string(names[:3], ', ') || CASE WHEN cardinality(names) > 3
    THEN ' and ' || cardinality(names) - 3 || ' more' ELSE '' END
FROM found WHERE cardinality(names) > 0"#;

impl Session {
    /// The statistics of the query cache; only for a session with Pgpool-II.
    pub async fn cache_facts(&mut self) -> Result<CacheFacts, Silence> {
        let rows = self.query("SHOW POOL_CACHE").await?;
        let number = |column: &str| {
            let row = rows.first()?;
            row.try_get(column).ok().flatten()?.parse().ok()
        };
        Ok(CacheFacts {
            hits: number("num_cache_hits").unwrap_or(0),
            selects: number("num_selects").unwrap_or(0),
            entries: number("num_cache_entries").unwrap_or(0),
            used_bytes: number("used_cache_entries_size").unwrap_or(0),
            free_bytes: number("free_cache_entries_size").unwrap_or(0),
        })
    }

    /// The databases that clients can use.
    pub async fn databases(&mut self) -> Result<Vec<String>, Silence> {
        self.lines("SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1")
            .await
    }

    /// What in this database QUERY_CACHE=all cannot see; only for a session with the primary.
    pub async fn cache_hazards(&mut self) -> Result<Vec<Hazard>, Silence> {
        let rows = self.query(HAZARDS).await?;
        let hazard = |row: &super::SimpleQueryRow| {
            Some(Hazard {
                mixes: row.get(0)? == "mixed",
                what: row.get(1)?.to_owned(),
                names: row.get(2)?.to_owned(),
            })
        };
        Ok(rows.iter().filter_map(hazard).collect())
    }
}
