//! The flags that say what things cost, and what the job may.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::job::Meter;
use crate::model::{Error, Money, Prices};

#[derive(Debug, Args)]
#[command(next_help_heading = "What it costs")]
pub(super) struct PriceArgs {
    /// Table of prices, JSON [default: figures of AWS that are built in, for estimates]
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// End the run, to be resumed, once the job has cost about AMOUNT dollars, as 5 or 0.50
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    max_cost: Option<Money>,
    /// Do not ask before restores that are estimated at more than 100 dollars
    #[arg(long)]
    yes: bool,
}

fn amount(text: &str) -> Result<Money, String> {
    match text.parse()? {
        Money::ZERO => Err("it must be more than nothing".to_owned()),
        amount => Ok(amount),
    }
}

/// The prices that were given.
#[derive(Debug)]
pub(super) struct Priced {
    given: Option<Arc<Prices>>,
    /// What the job may cost.
    pub(super) max_cost: Option<Money>,
    yes: bool,
}

impl PriceArgs {
    /// Reads the table.
    ///
    /// # Errors
    /// [`Error::Usage`] for one that cannot be read, which says what is wrong in it.
    pub(super) fn read(&self) -> Result<Priced, Error> {
        let read = |path: &PathBuf| {
            let refused = |why: String| Error::Usage(format!("--prices {}: {why}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
            Prices::parse(&text).map(Arc::new).map_err(refused)
        };
        Ok(Priced { given: self.prices.as_ref().map(read).transpose()?, max_cost: self.max_cost, yes: self.yes })
    }
}

impl Priced {
    /// Whether dear restores are asked for: nothing bounds what they cost.
    pub(super) fn asks(&self) -> bool {
        !self.yes && self.max_cost.is_none()
    }

    /// The prices of stores of which all are AWS or not: those that are built in are only AWS's.
    ///
    /// # Errors
    /// [`Error::Usage`] for a `--max-cost` without prices.
    pub(super) fn of_stores(&self, are_aws: bool) -> Result<Option<Arc<Prices>>, Error> {
        let prices = match &self.given {
            Some(given) => Some(Arc::clone(given)),
            None if are_aws => Some(Arc::new(Prices::built_in().map_err(Error::Internal)?)),
            None => None,
        };
        match (&prices, self.max_cost) {
            (None, Some(max_cost)) => Err(Error::Usage(format!(
                "--max-cost {max_cost} says nothing of a store that is not AWS: give its prices with --prices FILE"
            ))),
            _ => Ok(prices),
        }
    }

    /// What counts the spend of a job that writes objects of the class `writes`.
    pub(super) fn meter(&self, prices: Option<Arc<Prices>>, writes: Option<&str>) -> Meter {
        Meter::new(prices, writes, self.max_cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(prices: Option<&str>, max_cost: Option<&str>) -> PriceArgs {
        PriceArgs {
            prices: prices.map(PathBuf::from),
            max_cost: max_cost.map(|text| amount(text).unwrap()),
            yes: false,
        }
    }

    #[test]
    fn built_in_prices_are_those_of_aws() {
        let priced = args(None, Some("$5")).read().unwrap();
        assert!(priced.of_stores(true).unwrap().unwrap().built_in);
        let error = priced.of_stores(false).unwrap_err().to_string();
        assert!(error.contains("--max-cost $5.00") && error.contains("--prices FILE"), "{error}");
        assert!(args(None, None).read().unwrap().of_stores(false).unwrap().is_none());
    }

    #[test]
    fn a_table_that_is_wrong_is_refused() {
        let error = args(Some("/no/such/file"), None).read().unwrap_err();
        assert!(matches!(&error, Error::Usage(text) if text.contains("--prices /no/such/file: ")), "{error}");
        assert!(amount("0").is_err() && amount("much").is_err() && amount("-5").is_err());
    }
}
