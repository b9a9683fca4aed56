//! What the primary knows of functions and tables that decide where Pgpool-II sends a statement.

use super::Session;
use crate::observed::Silence;

impl Session {
    /// The functions of that name with their volatility, as in `random() is volatile`.
    pub async fn volatilities(&mut self, function: &str) -> Result<Vec<String>, Silence> {
        self.lines(&format!(
            "SELECT oid::regprocedure || ' is ' || \
               CASE provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END \
             FROM pg_proc WHERE proname = {} ORDER BY 1",
            literal(function)
        ))
        .await
    }

    /// What kind of relation that is, as in `t is an unlogged table`.
    pub async fn persistence(&mut self, relation: &str) -> Result<Vec<String>, Silence> {
        self.lines(&format!(
            "SELECT oid::regclass || ' is ' || CASE WHEN relnamespace = 'pg_catalog'::regnamespace THEN 'a system catalog' \
               WHEN relpersistence = 'u' THEN 'an unlogged table' WHEN relpersistence = 't' THEN 'a temporary table' \
               ELSE 'a relation with nothing special' END \
             FROM pg_class WHERE oid = to_regclass({})",
            literal(relation)
        ))
        .await
    }

    /// The first column of each row.
    pub(super) async fn lines(&mut self, sql: &str) -> Result<Vec<String>, Silence> {
        let rows = self.query(sql).await?;
        Ok(rows
            .iter()
            .filter_map(|row| row.get(0))
            .map(str::to_owned)
            .collect())
    }
}

/// A string constant of SQL.
fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_ends_where_it_should() {
        assert_eq!(literal(r"a'b\"), r"E'a''b\\'");
    }
}
