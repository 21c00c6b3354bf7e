//! How a file of payouts is written, where it does not say so itself.

use clap::Args;

use crate::settle::{ColumnNames, ReadAs, Unit};

#[derive(Debug, Clone, Args)]
pub(super) struct CsvFlags {
    /// With --csv: names of the file's columns, e.g. address=Wallet,amount=Payout,memo=Note.
    #[arg(
        long,
        value_name = "OURS=THEIRS,...",
        requires = "csv",
        conflicts_with = "to"
    )]
    columns: Option<ColumnNames>,
    /// With --csv: unit of amounts that are numbers alone: BTT, TRX, sun or raw:TOKENID.
    #[arg(
        long,
        visible_alias = "token",
        value_name = "UNIT",
        requires = "csv",
        conflicts_with = "to"
    )]
    unit: Option<Unit>,
    /// With --csv: read 12,5 as twelve and a half. Files separated by `;` or tabs need it
    /// only for numbers such as 1,234.
    #[arg(long, requires = "csv", conflicts_with = "to")]
    decimal_comma: bool,
}

impl CsvFlags {
    pub(super) fn read_as(self) -> ReadAs {
        ReadAs {
            columns: self.columns.unwrap_or_default(),
            unit: self.unit,
            decimal_comma: self.decimal_comma,
        }
    }
}
