//! How many connections PgBouncer takes and makes: the one place where it is computed.

use serde::Serialize;

/// Clients that PgBouncer takes at once; the next one gets an error.
pub const BOUNCER_CLIENTS: u32 = 500;

/// What the templates see of PgBouncer.
#[derive(Debug, Serialize)]
pub struct View {
    /// Clients at once.
    clients: u32,
    /// Seconds for which a client waits for a server connection.
    patience: u32,
    /// Server connections of one role to one database.
    pool: u32,
    /// Pairs of role and database that can use their connections to the full at the same time.
    pairs: u32,
    /// Server connections of one role, or to one database, in all.
    share: u32,
    pub spec: String,
}

/// Sizes for a Pgpool-II with so many children.
///
/// PgBouncer has no limit for all its server connections together. A fifth for each pair of role and database, and
/// three fifths for one role or one database, leave the others their part.
pub fn view(children: u32) -> View {
    let usable = children.saturating_sub(1);
    let pool = (children / 5).clamp(1, usable.max(1));
    View {
        clients: BOUNCER_CLIENTS,
        patience: 30,
        pool,
        pairs: usable / pool,
        share: (children * 3 / 5).clamp(1, usable.max(1)),
        spec: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pool_is_larger_than_what_pgpool_serves() {
        for children in 2..400 {
            let View {
                pool, share, pairs, ..
            } = view(children);
            assert!(
                pool <= share && share < children && pool * pairs < children,
                "{children}"
            );
        }
    }

    #[test]
    fn several_roles_and_databases_fit_at_once() {
        let view = view(100);
        assert_eq!((view.pool, view.share, view.pairs), (20, 60, 4));
    }
}
