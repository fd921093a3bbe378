//! Phrases of clients that the planner does not know, said in others that mean the same here.

use std::borrow::Cow;

use super::described::SYSTEM;

/// Phrases as clients send them, and what they come to.
const PHRASES: [(&str, &str); 10] = [
    // psql, \d+: options of storage, of which no relation has any
    (
        "pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from pg_catalog.unnest(tc.reloptions) x), ', ')",
        "''",
    ),
    // psql, \dn+ and \l: rights on a thing, of which there are none
    ("pg_catalog.array_to_string(n.nspacl, E'\\n')", "''"),
    ("pg_catalog.array_to_string(d.datacl, E'\\n')", "''"),
    // ADBC: whether a type can be received; the names of functions are texts here
    ("(typreceive != 0 OR typsend != 0)", "(typreceive <> '-' OR typsend <> '-')"),
    // ADBC: kinds of relations, each one letter of a text such as {r,v}
    ("c.relkind = ANY($2)", "strpos($2, c.relkind) > 0"),
    // ADBC: a relation by its name, which is a value
    ("$1::regclass::oid", "to_regclass($1)"),
    // JDBC: whether a type is an array; the names of functions are texts here
    ("'pg_catalog.array_in'::regproc", "'array_in'"),
    ("'array_in'::regproc", "'array_in'"),
    // roles are no thing of their own: whoever connects is a token
    ("current_role", "current_user"),
    ("CURRENT_ROLE", "current_user"),
];

/// How ADBC asks for constraints of a table, of which none has any.
const CONSTRAINTS: &str = "WITH fk_unnest AS (";
const NO_CONSTRAINTS: &str = "SELECT '' AS conname, '' AS contype, '' AS colnames, '' AS fschema, '' AS ftable, '' AS fcolnames \
                              WHERE $1 = '' AND $2 = '' AND false";

/// The query as it is planned.
pub(super) fn replaced(text: &str) -> Cow<'_, str> {
    if text.trim_start().starts_with(CONSTRAINTS) {
        return Cow::Borrowed(NO_CONSTRAINTS);
    }
    let mut replaced = Cow::Borrowed(text);
    for (phrase, other) in PHRASES {
        if replaced.contains(phrase) {
            replaced = Cow::Owned(replaced.replace(phrase, other));
        }
    }
    // what is not of `public` is not found without its schema; its number says it
    for (oid, name) in SYSTEM {
        let phrase = format!("'{name}'::");
        if replaced.contains(&phrase) {
            let number = |cast: &str| (format!("{phrase}{cast}"), format!("'{oid}'::{cast}"));
            for (written, number) in ["regclass", "pg_catalog.regclass"].map(number) {
                replaced = Cow::Owned(replaced.replace(&written, &number));
            }
        }
    }
    replaced
}

/// Whether a query wants to know of columns, or what is said of things: tables are opened for that.
pub(super) fn needs_columns(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["pg_attribute", "description", "relnatts", "pg_views", "*"].iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_said_otherwise() {
        assert_eq!(replaced("select oid from pg_class"), "select oid from pg_class");
        let kinds = "select 1 from pg_catalog.pg_class c where c.relkind = ANY($2)";
        assert_eq!(replaced(kinds), "select 1 from pg_catalog.pg_class c where strpos($2, c.relkind) > 0");
        assert_eq!(replaced("select 'pg_class'::regclass::oid"), "select '1259'::regclass::oid");
        assert_eq!(
            replaced("where d.classoid = 'pg_type'::pg_catalog.regclass and t.typinput='pg_catalog.array_in'::regproc"),
            "where d.classoid = '1247'::pg_catalog.regclass and t.typinput='array_in'"
        );
        assert!(replaced("WITH fk_unnest AS (     SELECT con.conname").contains("AND false"));
        assert!(needs_columns("select attname from PG_ATTRIBUTE") && !needs_columns("select relname from pg_class"));
    }
}
