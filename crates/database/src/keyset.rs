//! Pages by keyset: the cursor holds the key of the last row, and a page begins after it.

/// Restricts a query to the page after a cursor, newest first: by `created_at`, then by `id`.
///
/// `$table` is the `dsl` module of the table, `$after` the [`Cursor`](domain::Cursor), `$last` its id in the column's
/// type and `$limit` the [`Limit`](domain::Limit). The first condition repeats a part of the second one, because
/// PostgreSQL begins an index scan only at a plain comparison.
#[macro_export]
macro_rules! newest {
    ($query:expr, $table:ident, $after:ident, $last:expr, $limit:ident $(,)?) => {
        $query
            .filter($table::created_at.le($after.at))
            .filter(
                $table::created_at
                    .lt($after.at)
                    .or($table::created_at.eq($after.at).and($table::id.lt($last))),
            )
            .order(($table::created_at.desc(), $table::id.desc()))
            .limit($limit.rows())
    };
}
