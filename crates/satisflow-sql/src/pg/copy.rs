//! `COPY ... TO STDOUT`: rows to the client as text, CSV or in PostgreSQL's binary form.
//!
//! There is no other COPY: the guard lets nothing through that names a file or a
//! program, or that reads.

use bytes::{BufMut, Bytes, BytesMut};
use datafusion::sql::sqlparser::ast::{
    CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget, Ident, Statement,
};
use futures::StreamExt;
use pgwire::api::portal::Format;
use pgwire::api::results::{CopyResponse, QueryResponse};
use pgwire::error::PgWireResult;
use pgwire::messages::copy::CopyData;
use pgwire::messages::data::DataRow;

const BINARY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copy {
    kind: Kind,
    delimiter: char,
    null: String,
    quote: char,
    escape: char,
    header: bool,
    quote_all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Csv,
    Binary,
}

/// The query whose rows a statement copies, and how; `None`: it is no such statement.
///
/// # Errors
/// What is asked for and not to be had.
pub(super) fn of(statement: &Statement) -> Option<Result<(String, Copy), String>> {
    let Statement::Copy { source, to: true, target: CopyTarget::Stdout, options, legacy_options, .. } = statement
    else {
        return None;
    };
    Some(Copy::asked(options, legacy_options).map(|copy| (query(source), copy)))
}

fn query(source: &CopySource) -> String {
    match source {
        CopySource::Query(query) => query.to_string(),
        CopySource::Table { table_name, columns } if columns.is_empty() => format!("SELECT * FROM {table_name}"),
        CopySource::Table { table_name, columns } => {
            let names: Vec<String> = columns.iter().map(Ident::to_string).collect();
            format!("SELECT {} FROM {table_name}", names.join(", "))
        }
    }
}

impl Copy {
    fn asked(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> Result<Copy, String> {
        let (mut copy, mut null, mut delimiter, mut escape) = (Copy::text(), None, None, None);
        for option in options {
            match option {
                CopyOption::Format(name) => copy.kind = kind(&name.value)?,
                CopyOption::Delimiter(sign) => delimiter = Some(*sign),
                CopyOption::Null(text) => null = Some(text.clone()),
                CopyOption::Header(header) => copy.header = *header,
                CopyOption::Quote(sign) => copy.quote = *sign,
                CopyOption::Escape(sign) => escape = Some(*sign),
                CopyOption::ForceQuote(columns) if columns.iter().any(|c| c.value == "*") => copy.quote_all = true,
                CopyOption::Encoding(name) if name.to_ascii_lowercase().replace('-', "") == "utf8" => {}
                other => return Err(format!("COPY ... {other} is not to be had here")),
            }
        }
        for option in legacy {
            match option {
                CopyLegacyOption::Binary => copy.kind = Kind::Binary,
                CopyLegacyOption::Header => copy.header = true,
                CopyLegacyOption::Delimiter(sign) => delimiter = Some(*sign),
                CopyLegacyOption::Null(text) => null = Some(text.clone()),
                CopyLegacyOption::Csv(options) => {
                    copy.kind = Kind::Csv;
                    for option in options {
                        match option {
                            CopyLegacyCsvOption::Header => copy.header = true,
                            CopyLegacyCsvOption::Quote(sign) => copy.quote = *sign,
                            CopyLegacyCsvOption::Escape(sign) => escape = Some(*sign),
                            other => return Err(format!("COPY ... {other} is not to be had here")),
                        }
                    }
                }
                other => return Err(format!("COPY ... {other} is not to be had here")),
            }
        }
        let csv = copy.kind == Kind::Csv;
        copy.delimiter = delimiter.unwrap_or(if csv { ',' } else { '\t' });
        copy.null = null.unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() });
        copy.escape = escape.unwrap_or(copy.quote);
        Ok(copy)
    }

    fn text() -> Copy {
        Copy {
            kind: Kind::Text,
            delimiter: '\t',
            null: String::new(),
            quote: '"',
            escape: '"',
            header: false,
            quote_all: false,
        }
    }

    /// The form that rows are encoded in before they are copied.
    pub(super) fn rows(&self) -> Format {
        match self.kind {
            Kind::Binary => Format::UnifiedBinary,
            Kind::Text | Kind::Csv => Format::UnifiedText,
        }
    }

    /// The rows of a query as a copy.
    pub(super) fn response(self, query: QueryResponse) -> CopyResponse {
        let QueryResponse { row_schema, data_rows, .. } = query;
        let names: Vec<String> = row_schema.iter().map(|field| field.name().to_owned()).collect();
        let (format, columns) = (i8::from(self.kind == Kind::Binary), names.len());
        let mut head = self.head(&names);
        // A client takes each message for a row, so that the head goes with the first.
        let lines = data_rows.map(move |row| row.map(|row| self.line(std::mem::take(&mut head), &row)));
        CopyResponse::new(format, columns, lines.map(|line: PgWireResult<Bytes>| line.map(CopyData::new)))
    }

    fn head(&self, names: &[String]) -> BytesMut {
        let mut head = BytesMut::new();
        match self.kind {
            Kind::Binary => head.put_slice(BINARY_HEAD),
            _ if self.header => self.fields(names.iter().map(|name| Some(name.as_bytes())), &mut head),
            _ => {}
        }
        head
    }

    fn line(&self, mut line: BytesMut, row: &DataRow) -> Bytes {
        if self.kind == Kind::Binary {
            line.put_i16(row.field_count);
            line.put_slice(&row.data);
        } else {
            self.fields(Fields(&row.data), &mut line);
        }
        line.freeze()
    }

    fn fields<'a>(&self, fields: impl Iterator<Item = Option<&'a [u8]>>, line: &mut BytesMut) {
        let mut sign = [0; 4];
        for (index, field) in fields.enumerate() {
            if index > 0 {
                line.put_slice(self.delimiter.encode_utf8(&mut sign).as_bytes());
            }
            match field {
                None => line.put_slice(self.null.as_bytes()),
                Some(value) if self.kind == Kind::Csv => self.quoted(value, line),
                Some(value) => self.escaped(value, line),
            }
        }
        line.put_u8(b'\n');
    }

    fn escaped(&self, value: &[u8], line: &mut BytesMut) {
        for byte in value {
            match byte {
                b'\n' => line.put_slice(b"\\n"),
                b'\r' => line.put_slice(b"\\r"),
                b'\t' => line.put_slice(b"\\t"),
                b'\\' => line.put_slice(b"\\\\"),
                byte if char::from(*byte) == self.delimiter => line.put_slice(&[b'\\', *byte]),
                byte => line.put_u8(*byte),
            }
        }
    }

    fn quoted(&self, value: &[u8], line: &mut BytesMut) {
        let special = |byte: &u8| {
            matches!(byte, b'\n' | b'\r') || [self.delimiter, self.quote, self.escape].contains(&char::from(*byte))
        };
        let plain = !self.quote_all && value != self.null.as_bytes() && value != b"\\." && !value.iter().any(special);
        if plain {
            return line.put_slice(value);
        }
        let (mut quote, mut escape) = ([0; 4], [0; 4]);
        let (quote, escape) = (self.quote.encode_utf8(&mut quote), self.escape.encode_utf8(&mut escape));
        line.put_slice(quote.as_bytes());
        for byte in value {
            if [self.quote, self.escape].contains(&char::from(*byte)) {
                line.put_slice(escape.as_bytes());
            }
            line.put_u8(*byte);
        }
        line.put_slice(quote.as_bytes());
    }
}

fn kind(name: &str) -> Result<Kind, String> {
    match name.to_ascii_lowercase().as_str() {
        "text" => Ok(Kind::Text),
        "csv" => Ok(Kind::Csv),
        "binary" => Ok(Kind::Binary),
        other => Err(format!("COPY format \"{other}\" is none of text, csv, binary")),
    }
}

/// The fields of a row: four bytes of length, -1 for NULL, and the value.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        let (value, rest) = match usize::try_from(length) {
            Ok(length) => rest.split_at_checked(length).map(|(value, rest)| (Some(value), rest))?,
            Err(_) => (None, rest),
        };
        self.0 = rest;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn copied(sql: &str, row: &[Option<&str>]) -> Result<String, String> {
        let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        let (_, copy) = of(&statements[0]).unwrap()?;
        let mut data = BytesMut::new();
        for field in row {
            data.put_i32(field.map_or(-1, |text| text.len() as i32));
            data.put_slice(field.unwrap_or_default().as_bytes());
        }
        let line = copy.line(copy.head(&["a".to_owned(), "b c".to_owned()]), &DataRow::new(data, row.len() as i16));
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    #[test]
    fn rows_are_written_as_postgresql_writes_them() {
        let row = [Some("x\ty\\"), None, Some(""), Some("say \"hi\", you")];
        let all = |sql: &str| copied(sql, &row).unwrap();
        assert_eq!(all("COPY t TO STDOUT"), "x\\ty\\\\\t\\N\t\tsay \"hi\", you\n");
        assert_eq!(all("COPY t TO STDOUT (FORMAT csv)"), "x\ty\\,,\"\",\"say \"\"hi\"\", you\"\n");
        assert_eq!(all("COPY t TO STDOUT csv header"), "a,b c\nx\ty\\,,\"\",\"say \"\"hi\"\", you\"\n");
        let own = "COPY (SELECT 1) TO STDOUT (FORMAT csv, DELIMITER ';', NULL 'NIL', QUOTE '''', ESCAPE '\\')";
        assert_eq!(all(own), "'x\ty\\\\';NIL;;say \"hi\", you\n");
        assert!(copied("COPY t TO STDOUT (FORMAT parquet)", &row).is_err());
        assert!(copied("COPY t TO STDOUT (FREEZE)", &row).is_err());
    }

    #[test]
    fn a_table_is_copied_as_a_query() {
        let query = |sql: &str| {
            let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
            of(&statements[0]).map(|copy| copy.unwrap().0)
        };
        assert_eq!(query("COPY kpis (n, \"N\") TO STDOUT").as_deref(), Some("SELECT n, \"N\" FROM kpis"));
        assert_eq!(query("COPY public.kpis TO STDOUT").as_deref(), Some("SELECT * FROM public.kpis"));
        assert_eq!(query("COPY kpis TO '/tmp/x'"), None);
        assert_eq!(query("COPY kpis FROM STDIN"), None);
    }
}
