//! What this server can do, as clients ask before they show a dialog.

use arrow_flight::error::Result;
use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity, SqlSupportedTransaction, XdbcDataType,
};

/// The types of features and keys by their names in SQL: what ODBC and JDBC call them, bits or letters, and whether a
/// literal stands in quotes.
const TYPES: [(&str, XdbcDataType, Option<i32>, bool); 9] = [
    ("BOOLEAN", XdbcDataType::XdbcBit, Some(1), false),
    ("INTEGER", XdbcDataType::XdbcInteger, Some(32), false),
    ("BIGINT", XdbcDataType::XdbcBigint, Some(64), false),
    ("REAL", XdbcDataType::XdbcReal, Some(24), false),
    ("DOUBLE", XdbcDataType::XdbcDouble, Some(53), false),
    ("VARCHAR", XdbcDataType::XdbcVarchar, None, true),
    ("BYTEA", XdbcDataType::XdbcVarbinary, None, true),
    ("TIMESTAMP", XdbcDataType::XdbcTimestamp, Some(26), true),
    ("DATE", XdbcDataType::XdbcDate, Some(10), true),
];

/// Name, version, and what is understood.
pub(super) fn abilities() -> Result<SqlInfoData> {
    let mut said = SqlInfoDataBuilder::new();
    said.append(SqlInfo::FlightSqlServerName, "hitherto");
    said.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    // the version of Arrow's format that both sides speak
    said.append(SqlInfo::FlightSqlServerArrowVersion, "1.5");
    said.append(SqlInfo::FlightSqlServerReadOnly, true);
    said.append(SqlInfo::FlightSqlServerSql, true);
    said.append(SqlInfo::FlightSqlServerSubstrait, false);
    said.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    said.append(SqlInfo::FlightSqlServerCancel, false);
    said.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    said.append(SqlInfo::SqlDdlCatalog, false);
    said.append(SqlInfo::SqlDdlSchema, false);
    said.append(SqlInfo::SqlDdlTable, false);
    said.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    said.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    said.append(SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32);
    said.append(SqlInfo::SqlAllTablesAreSelectable, true);
    said.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    said.append(SqlInfo::SqlSearchStringEscape, "\\");
    said.append(SqlInfo::SqlSupportsColumnAliasing, true);
    said.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    said.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    said.append(SqlInfo::SqlSchemaTerm, "schema");
    said.append(SqlInfo::SqlCatalogTerm, "catalog");
    said.append(SqlInfo::SqlCatalogAtStart, true);
    said.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    said.append(SqlInfo::SqlStoredProceduresSupported, false);
    said.build()
}

/// The types of SQL.
pub(super) fn types() -> Result<XdbcTypeInfoData> {
    let mut said = XdbcTypeInfoDataBuilder::new();
    for (name, data_type, size, is_quoted) in TYPES {
        let quote = is_quoted.then(|| "'".to_owned());
        said.append(XdbcTypeInfo {
            type_name: name.to_owned(),
            data_type,
            column_size: size,
            literal_prefix: quote.clone(),
            literal_suffix: quote,
            nullable: Nullable::NullabilityNullable,
            case_sensitive: name == "VARCHAR",
            searchable: Searchable::Full,
            unsigned_attribute: Some(false),
            auto_increment: Some(false),
            local_type_name: Some(name.to_owned()),
            sql_data_type: data_type,
            ..XdbcTypeInfo::default()
        });
    }
    said.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ability_and_each_type_is_told_once() {
        let said = abilities().expect("abilities").record_batch([SqlInfo::FlightSqlServerReadOnly as u32]);
        assert_eq!(said.expect("rows").num_rows(), 1);
        let types = types().expect("types");
        assert_eq!(types.record_batch(None::<i32>).expect("rows").num_rows(), TYPES.len());
        let varchar = types.record_batch(XdbcDataType::XdbcVarchar as i32).expect("rows");
        assert_eq!(varchar.num_rows(), 1);
    }
}
